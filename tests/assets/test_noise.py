import numpy as np

from id3d_engine.assets.noise import fbm, spots


def points(count=4000):
    return np.random.default_rng(0).uniform(-0.1, 0.1, (count, 3)).astype(np.float32)


def test_noise_is_centred_bounded_and_seeded():
    p = points()
    noise = fbm(p, 200.0, 1, octaves=3)
    assert abs(noise.mean()) < 0.03 and np.abs(noise).max() <= 1
    assert np.array_equal(noise, fbm(p, 200.0, 1, octaves=3))
    assert abs(np.corrcoef(noise, fbm(p, 200.0, 2, octaves=3))[0, 1]) < 0.1


def test_noise_is_continuous_across_cells():
    x = np.linspace(-0.05, 0.05, 20001, dtype=np.float32)
    line = np.stack([x, np.full_like(x, 0.013), np.full_like(x, -0.02)], axis=1)
    assert np.abs(np.diff(fbm(line, 100.0, 3))).max() < 0.01


def test_frequency_per_axis_stretches_the_noise():
    p = points()
    moved = p + np.array([0.0, 0.0, 0.001], np.float32)
    slow = np.abs(fbm(p, (300.0, 300.0, 1.0), 4) - fbm(moved, (300.0, 300.0, 1.0), 4)).max()
    fast = np.abs(fbm(p, 300.0, 4) - fbm(moved, 300.0, 4)).max()
    assert slow < 0.02 < fast


def test_spots_are_continuous_and_their_share_counts():
    p = points(20000)
    few, many = (spots(p, 100.0, share, 5) > 0 for share in (0.1, 0.9))
    assert 3 * few.mean() < many.mean() < 0.9
    assert not spots(p, 100.0, 0.0, 5).any()
    x = np.linspace(-0.05, 0.05, 40001, dtype=np.float32)
    line = np.stack([x, x * 0.3, -x], axis=1)
    assert np.abs(np.diff(spots(line, 100.0, 1.0, 6))).max() < 0.02

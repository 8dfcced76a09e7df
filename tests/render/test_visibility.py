import numpy as np
import pytest
import torch

from id3d_engine.errors import InputError, MissingDependency
from id3d_engine.render import visibility as module
from id3d_engine.render.cameras import orbit
from id3d_engine.render.visibility import visibility


def by_rays(clip, triangles, size):
    """Float64 ray casting in clip space: pixel (x, y) sees the points s * (x, y, ., 1), s > 0.

    Returns the nearest triangle and, for every pixel, how far it is from being undecided: the
    smallest barycentric of any hit or near miss, and the gap in depth to the next hit.
    """
    height, width = size
    points = clip.double().numpy()
    x = (np.arange(width) + 0.5) * 2 / width - 1
    y = 1 - (np.arange(height) + 0.5) * 2 / height
    ray = np.stack([*np.meshgrid(x, y), np.ones((height, width))], -1)
    out, margin = np.full((len(points), height, width), -1), np.full((len(points), height, width), np.inf)
    for b, p in enumerate(points):
        best = np.full((height, width), np.inf)
        for index, corner in enumerate(triangles.numpy()):
            matrix = p[corner][:, [0, 1, 3]].T
            if abs(np.linalg.det(matrix)) < 1e-18:
                continue
            weights = ray @ np.linalg.inv(matrix).T
            scale = weights.sum(-1)
            inside = weights.min(-1)
            z = weights @ p[corner][:, 2]
            hit = (inside > 0) & (z > -1) & (z < 1)
            relative = np.abs(weights).min(-1) / np.abs(scale)
            close = (inside > -1e-6 * np.abs(weights).max(-1)) | hit
            margin[b] = np.where(close, np.minimum(margin[b], relative), margin[b])
            margin[b] = np.where(hit & np.isfinite(best), np.minimum(margin[b], np.abs(z - best)), margin[b])
            nearer = hit & (z < best)
            out[b][nearer], best[nearer] = index, z[nearer]
    return out, margin


def check(clip, triangles, size):
    ids = visibility(clip, triangles, size).numpy()
    expected, margin = by_rays(clip, triangles, size)
    decided = margin > 1e-5
    assert decided.mean() > 0.99
    np.testing.assert_array_equal(ids[decided], expected[decided])
    return ids


def test_a_ball_matches_ray_casting_exactly_off_the_edges(ball, two_cameras):
    vertices, triangles = ball
    ids = check(two_cameras.clip(vertices), triangles, (48, 40))
    assert (ids >= 0).mean() > 0.2


def test_random_triangles_match_ray_casting_even_across_the_eye():
    generator = torch.Generator().manual_seed(0)
    clip = torch.rand(2, 60, 4, generator=generator) * 4 - 2
    clip[..., 3] = clip[..., 3].abs()
    clip[:, ::4, 3] *= -1  # a quarter of the vertices behind the eye
    clip[..., 2] *= 0.3
    triangles = torch.arange(60, dtype=torch.int32).view(20, 3)
    ids = check(clip, triangles, (32, 32))
    assert len(np.unique(ids)) > 8


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (64, 64), (33, 50)])
def test_shared_edges_leave_no_gap_and_no_double_hit(size):
    # A fan whose edges run through many pixel centres; the whole image must be covered exactly once.
    angles = torch.arange(16) * (2 * torch.pi / 16)
    rim = torch.stack([4 * angles.cos(), 4 * angles.sin()], 1)
    points = torch.cat([torch.zeros(1, 2), rim])
    clip = torch.cat([points, torch.zeros(17, 1), torch.ones(17, 1)], 1)[None]
    fan = torch.tensor([[0, 1 + k, 1 + (k + 1) % 16] for k in range(16)], dtype=torch.int32)
    fan[::2] = fan[::2].roll(1, 1)
    hits = torch.stack([visibility(clip, fan[k : k + 1], size)[0] >= 0 for k in range(16)]).sum(0)
    assert (hits == 1).all()


def test_a_square_covers_exactly_its_pixels(square):
    ids = visibility(*square, (16, 16))[0]
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[4:12, 4:12] = True
    assert torch.equal(ids >= 0, expected)


def test_a_square_whose_border_hits_pixel_centres_keeps_its_area(square):
    clip, triangles = square
    ids = visibility(clip + torch.tensor([1 / 16, 1 / 16, 0, 0]), triangles, (16, 16))[0]
    assert int((ids >= 0).sum()) == 64


def test_nearest_wins_and_order_does_not_matter():
    near = torch.tensor([[-1.0, -1, -0.5, 1], [3, -1, -0.5, 1], [-1, 3, -0.5, 1]])
    far = near + torch.tensor([0.0, 0, 0.6, 0])
    clip = torch.cat([near, far])[None]
    triangles = torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.int32)
    assert (visibility(clip, triangles, (8, 8)) == 0).all()
    assert (visibility(clip, triangles.flip(0), (8, 8)) == 1).all()


def test_at_equal_depth_the_first_triangle_wins(square):
    clip, triangles = square
    twice = torch.cat([triangles, triangles])
    assert torch.equal(visibility(clip, twice, (16, 16)), visibility(clip, triangles, (16, 16)))


def test_row_zero_is_the_top():
    clip = torch.tensor([[[-1.0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1]]])
    ids = visibility(clip, torch.tensor([[0, 1, 2]]), (8, 8))[0]
    assert (ids[:4] >= 0).any() and (ids[4:] < 0).all()


def test_behind_the_camera_beyond_the_far_plane_and_nothing_at_all(ball):
    vertices, triangles = ball
    away = orbit(0.0, target=(0.0, -5.0, 0.115))
    assert (visibility(away.clip(vertices), triangles, (16, 16)) < 0).all()
    clip = torch.tensor([[[-1.0, -1, 1.5, 1], [1, -1, 1.5, 1], [0, 1, 1.5, 1]]])
    assert (visibility(clip, torch.tensor([[0, 1, 2]]), (8, 8)) < 0).all()
    assert (visibility(clip, torch.zeros(0, 3, dtype=torch.int32), (8, 8)) < 0).all()
    assert visibility(clip[:0], torch.tensor([[0, 1, 2]]), (8, 8)).shape == (0, 8, 8)


def test_degenerate_and_broken_triangles_are_not_seen(square):
    clip, triangles = square
    clip = torch.cat([clip, torch.full((1, 1, 4), torch.nan)], 1)
    broken = torch.tensor([[0, 0, 2], [0, 1, 4]], dtype=torch.int32)
    together = visibility(clip, torch.cat([triangles, broken]), (16, 16))
    assert torch.equal(together, visibility(clip[:, :4], triangles, (16, 16)))


def test_a_batch_is_its_images(ball, two_cameras):
    vertices, triangles = ball
    clip = two_cameras.clip(vertices)
    both = visibility(clip, triangles, (24, 24))
    assert torch.equal(both[:1], visibility(clip[:1], triangles, (24, 24)))
    assert torch.equal(both[1:], visibility(clip[1:], triangles, (24, 24)))


def test_threads_do_not_change_the_picture(ball, two_cameras):
    vertices, triangles = ball
    clip = two_cameras.clip(vertices)
    one = visibility(clip, triangles, (37, 24))
    torch.set_num_threads(5)
    assert torch.equal(one, visibility(clip, triangles, (37, 24)))


def test_wrong_input_is_named(square):
    clip, triangles = square
    with pytest.raises(InputError, match=r"needs clip \(B, V, 4\)"):
        visibility(clip[0], triangles, (8, 8))
    with pytest.raises(InputError, match="unknown visibility backend 'opengl'"):
        visibility(clip, triangles, (8, 8), backend="opengl")
    with pytest.raises(InputError, match=r"outside 0\.\.3"):
        visibility(clip, triangles + 2, (8, 8))


def test_cuda_without_nvdiffrast_says_how_to_get_it(square, monkeypatch):
    monkeypatch.setattr("id3d_engine.render.visibility._nvdiffrast_installed", lambda: False)
    with pytest.raises(MissingDependency, match="nvdiffrast is not installed: install it from"):
        visibility(*square, (8, 8), backend="cuda")


def test_cuda_needs_cuda_tensors(square, monkeypatch):
    monkeypatch.setattr("id3d_engine.render.visibility._nvdiffrast_installed", lambda: True)
    with pytest.raises(MissingDependency, match="needs tensors on a CUDA device"):
        visibility(*square, (8, 8), backend="cuda")


def test_on_a_gpu_an_nvdiffrast_that_does_not_work_is_done_without(monkeypatch, tmp_path):
    # As it is where there is no compiler: found, and failing at first use.
    package = tmp_path / "nvdiffrast"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "torch.py").write_text("raise OSError('CUDA_HOME is not set')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_CONTEXTS", {})
    assert module._nvdiffrast_installed()
    assert module._best_of(torch.device("cuda")) == "torch"
    assert module._best_of(torch.device("cpu")) == "cpu"
    with pytest.raises(OSError, match="CUDA_HOME"):
        module._context(torch.device("cuda"))


@pytest.mark.gpu
def test_cuda_sees_what_the_cpu_sees(fine_ball, two_cameras):
    pytest.importorskip("nvdiffrast")
    vertices, triangles = fine_ball
    clip = two_cameras.clip(vertices)
    on_cpu = visibility(clip, triangles, (128, 96), backend="cpu")
    on_gpu = visibility(clip.cuda(), triangles.cuda(), (128, 96), backend="cuda").cpu()
    assert (on_cpu != on_gpu).float().mean() < 2e-3  # subpixel snapping moves some edges
    assert (on_cpu >= 0).eq(on_gpu >= 0).float().mean() > 0.9995

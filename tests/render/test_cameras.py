import pytest
import torch

from id3d_engine.errors import InputError
from id3d_engine.render.cameras import CLOSEUPS, distance_for, join, orbit, sample_cameras, view_text


def on_screen(cameras, point):
    clip = cameras.clip(torch.tensor([point]))[:, 0]
    return clip[:, :3] / clip[:, 3:]


def test_the_front_camera_stands_at_minus_y_and_sees_the_heads_left_on_its_right():
    camera = orbit(0.0, 0.0, 0.8, target=(0.0, 0.0, 0.1))
    torch.testing.assert_close(camera.position, torch.tensor([[0.0, -0.8, 0.1]]))
    assert on_screen(camera, (0.05, 0.0, 0.1))[0, 0] > 0.1
    assert on_screen(camera, (0.0, 0.0, 0.2))[0, 1] > 0.1


def test_positive_azimuth_goes_to_the_heads_left_and_positive_elevation_up():
    position = orbit(torch.tensor([90.0, 0.0]), torch.tensor([0.0, 40.0])).position
    assert position[0, 0] > 0.8 and abs(position[0, 1]) < 1e-6
    assert position[1, 2] > 0.5


def test_view_matrices_are_rotations_and_look_at_the_target():
    cameras = sample_cameras(32, torch.Generator().manual_seed(0))
    identity = torch.eye(3).expand(32, 3, 3)
    torch.testing.assert_close(cameras.rotation @ cameras.rotation.mT, identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(cameras.rotation), torch.ones(32))
    centre = orbit(cameras.azimuth_deg, cameras.elevation_deg, target=(0.1, 0.2, 0.3))
    assert on_screen(centre, (0.1, 0.2, 0.3))[:, :2].abs().max() < 1e-5


def test_depth_runs_from_minus_one_to_one():
    camera = orbit(0.0, 0.0, 1.0, target=(0.0, 0.0, 0.0))
    depth = [float(on_screen(camera, (0.0, y, 0.0))[0, 2]) for y in (-0.9, 0.0, 1.0)]
    assert depth == pytest.approx([-1.0, depth[1], 1.0], abs=1e-5) and -1 < depth[1] < 1


def test_the_frame_holds_the_asked_for_height():
    camera = orbit(0.0, 0.0, distance_for(24.0, 0.3), 24.0, (0.0, 0.0, 0.1))
    assert float(on_screen(camera, (0.0, 0.0, 0.25))[0, 1]) == pytest.approx(1.0, abs=1e-5)


def test_sampling_is_a_function_of_the_generator_alone():
    torch.manual_seed(1)
    first = sample_cameras(5, torch.Generator().manual_seed(3))
    torch.manual_seed(2)
    second = sample_cameras(5, torch.Generator().manual_seed(3))
    assert torch.equal(first.view, second.view) and torch.equal(first.projection, second.projection)
    assert not torch.equal(first.view, sample_cameras(5, torch.Generator().manual_seed(4)).view)


def test_sampled_views_go_all_round_and_favour_the_front():
    cameras = sample_cameras(400, torch.Generator().manual_seed(0))
    azimuth = cameras.azimuth_deg
    front = (azimuth.abs() < 90).float().mean()
    assert 0.74 < front < 0.76
    counts = torch.histc(azimuth, 12, -180, 180)
    assert counts.min() > 10 and azimuth.abs().max() <= 180
    assert cameras.elevation_deg.min() >= -15 and cameras.elevation_deg.max() <= 30


def test_a_head_with_hair_stays_in_the_frame():
    cameras = sample_cameras(64, torch.Generator().manual_seed(0))
    ends = torch.tensor([[0.0, 0.0, -0.02], [0.0, 0.0, 0.25], [0.09, 0.0, 0.11], [-0.09, 0.0, 0.11]])
    clip = cameras.clip(ends)
    assert (clip[..., :2] / clip[..., 3:]).abs().max() < 1


@pytest.mark.parametrize("closeup", CLOSEUPS)
def test_close_ups_look_at_their_landmarks(closeup):
    landmarks = {
        "mouth_left": torch.tensor([0.02, -0.1, 0.05]),
        "mouth_right": torch.tensor([-0.02, -0.1, 0.05]),
    }
    landmarks |= {
        "eye_left": torch.tensor([0.03, -0.1, 0.12]),
        "eye_right": torch.tensor([-0.03, -0.1, 0.12]),
    }
    aim = {"mouth": (0.0, -0.1, 0.05), "eyes": (0.0, -0.1, 0.12), "face": (0.0, -0.1, 0.085)}[closeup]
    cameras = sample_cameras(8, torch.Generator().manual_seed(0), closeup=closeup, landmarks=landmarks)
    assert on_screen(cameras, aim)[:, :2].abs().max() < 0.15
    assert all(text.endswith(f"close-up of the {closeup}") for text in view_text(cameras))


def test_wrong_close_ups_are_named():
    generator = torch.Generator()
    with pytest.raises(InputError, match="unknown close-up 'ear'"):
        sample_cameras(1, generator, closeup="ear")
    with pytest.raises(InputError, match="close-up of the eyes needs landmarks"):
        sample_cameras(1, generator, closeup="eyes", landmarks={"mouth": torch.zeros(3)})


def test_views_are_named_from_the_heads_own_sides():
    cameras = orbit(torch.tensor([0.0, 44.0, 60.0, -90.0, 180.0, -150.0, 350.0]))
    assert view_text(cameras) == [
        "front view",
        "front view",
        "left side view",
        "right side view",
        "back view",
        "back view",
        "front view",
    ]


def test_joined_and_sliced_cameras_keep_their_text():
    close = sample_cameras(2, torch.Generator().manual_seed(0), closeup="mouth")
    cameras = join([orbit(0.0), close])
    assert len(cameras) == 3 and view_text(cameras)[0] == "front view"
    assert view_text(cameras[1:]) == view_text(close)
    assert torch.equal(cameras[:1].view, orbit(0.0).view)


def test_vertices_may_differ_between_views(two_cameras):
    vertices = torch.rand(2, 7, 3, generator=torch.Generator().manual_seed(0))
    both = two_cameras.clip(vertices)
    torch.testing.assert_close(both[1], two_cameras.clip(vertices[1])[1])

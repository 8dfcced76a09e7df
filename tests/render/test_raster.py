import pytest
import torch

from id3d_engine.errors import InputError
from id3d_engine.render.raster import interpolate, interpolate_corners, rasterize, sample_texture


def test_interpolation_is_perspective_correct():
    # One large triangle in eye space; at every pixel the eye-space position must lie on its ray.
    eye = torch.tensor([[-2.0, -1.5, -1.2], [2.5, -1.0, -4.0], [-0.5, 2.0, -2.5]], dtype=torch.float64)
    clip = torch.stack([eye[:, 0], eye[:, 1], 0.1 * eye[:, 2], -eye[:, 2]], 1)[None]
    triangles = torch.tensor([[0, 1, 2]])
    fragments = rasterize(clip, triangles, (32, 24))
    seen = interpolate(eye, triangles, fragments)[0]
    rows, columns = fragments.mask[0].nonzero(as_tuple=True)
    assert len(rows) > 100
    x, y, z = seen[:, rows, columns]
    torch.testing.assert_close(x / -z, (columns.double() + 0.5) * (2 / 24) - 1)
    torch.testing.assert_close(y / -z, 1 - (rows.double() + 0.5) * (2 / 32))
    normal = torch.linalg.cross(eye[1] - eye[0], eye[2] - eye[0])
    distance = (torch.stack([x, y, z], 1) - eye[0]) @ normal
    torch.testing.assert_close(distance, torch.zeros_like(distance), atol=1e-12, rtol=0)


def test_barycentrics_sum_to_one_and_stay_inside_in_float32(fine_ball, two_cameras):
    vertices, triangles = fine_ball
    fragments = rasterize(two_cameras.clip(vertices), triangles, (96, 96))
    inside = fragments.barycentric[fragments.mask]
    torch.testing.assert_close(inside.sum(1), torch.ones(len(inside)))
    assert inside.min() > -1e-3 and inside.max() < 1 + 1e-3
    assert fragments.barycentric[~fragments.mask].abs().max() == 0
    assert torch.equal(fragments.triangle_id >= 0, fragments.mask)


def test_float32_positions_on_tiny_triangles_are_close_to_float64(fine_ball, two_cameras):
    vertices, triangles = fine_ball
    exact = two_cameras.clip(vertices).double()
    images = []
    for clip in (exact.float(), exact):
        images.append(interpolate(vertices.to(clip.dtype), triangles, rasterize(clip, triangles, (64, 64))))
    assert (images[0] - images[1]).abs().max() < 1e-6  # a micrometre


def test_gradients_match_finite_differences(ball, two_cameras):
    vertices, triangles = ball
    generator = torch.Generator().manual_seed(0)
    clip = two_cameras.clip(vertices).double()
    attributes = torch.rand(len(vertices), 2, dtype=torch.float64, generator=generator)
    weight = torch.rand(2, 2, 16, 16, dtype=torch.float64, generator=generator)
    fixed = rasterize(clip, triangles, (16, 16)).triangle_id

    def value(c, a):
        fragments = rasterize(c, triangles, (16, 16))
        assert torch.equal(fragments.triangle_id, fixed)  # the step must not move a border
        return (interpolate(a, triangles, fragments) * weight).sum()

    c, a = clip.clone().requires_grad_(), attributes.clone().requires_grad_()
    value(c, a).backward()
    step_c = torch.randn(clip.shape, dtype=torch.float64, generator=generator)
    step_a = torch.randn(attributes.shape, dtype=torch.float64, generator=generator)
    h = 1e-7
    slope_c = (value(clip + h * step_c, attributes) - value(clip - h * step_c, attributes)) / (2 * h)
    slope_a = (value(clip, attributes + h * step_a) - value(clip, attributes - h * step_a)) / (2 * h)
    torch.testing.assert_close((c.grad * step_c).sum(), slope_c, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close((a.grad * step_a).sum(), slope_a, rtol=1e-6, atol=1e-8)


def test_batched_attributes_and_views_equal_single_ones(ball, two_cameras):
    vertices, triangles = ball
    clip = two_cameras.clip(vertices)
    attributes = torch.rand(2, len(vertices), 3, generator=torch.Generator().manual_seed(1))
    both = interpolate(attributes, triangles, rasterize(clip, triangles, (20, 20)))
    for k in range(2):
        single = interpolate(attributes[k], triangles, rasterize(clip[k : k + 1], triangles, (20, 20)))
        torch.testing.assert_close(both[k : k + 1], single, rtol=0, atol=0)


def test_an_empty_view_is_zero_and_has_zero_gradients(square):
    clip, triangles = square
    clip = (clip + torch.tensor([9.0, 0, 0, 0])).requires_grad_()
    fragments = rasterize(clip, triangles, (8, 8))
    image = interpolate(torch.ones(4, 3), triangles, fragments)
    assert image.shape == (1, 3, 8, 8) and image.abs().max() == 0
    (image.sum() + fragments.barycentric.sum()).backward()
    assert clip.grad.abs().max() == 0


def test_corner_attributes_may_differ_across_an_edge(square):
    clip, triangles = square
    colours = torch.tensor([1.0, 5.0]).view(2, 1, 1).expand(2, 3, 1)
    fragments = rasterize(clip, triangles, (16, 16))
    image = interpolate_corners(colours, fragments)[0, 0]
    assert torch.equal(image, torch.where(fragments.mask[0], 1.0 + 4.0 * fragments.triangle_id[0], 0.0))


def test_texture_v_points_up_and_texel_centres_are_exact():
    texture = torch.arange(16.0).view(1, 4, 4)
    uv = torch.tensor([[0.125, 0.875], [0.875, 0.125], [0.375, 0.875], [0.25, 0.875]]).T.view(1, 2, 1, 4)
    torch.testing.assert_close(
        sample_texture(texture, uv).flatten(), torch.tensor([0.0, 15.0, 1.0, 0.5]), atol=1e-5, rtol=0
    )


def test_one_texture_serves_all_images_and_batches_must_agree():
    uv = torch.rand(2, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    texture = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))
    shared = sample_texture(texture, uv)
    assert torch.equal(shared, sample_texture(torch.stack([texture, texture]), uv))
    with pytest.raises(InputError, match="3 textures for 2 images"):
        sample_texture(texture.expand(3, 3, 8, 8), uv)

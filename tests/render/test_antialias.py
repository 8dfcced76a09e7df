import math

import pytest
import torch

from id3d_engine.render.antialias import antialias, mesh_edges
from id3d_engine.render.cameras import orbit
from id3d_engine.render.raster import rasterize


def soft_mask(clip, triangles, size):
    fragments = rasterize(clip, triangles, size)
    return antialias(fragments.mask[:, None].to(clip.dtype), fragments, clip, triangles)


def transformed(clip, scale, shift, angle=0.0):
    c, s = math.cos(angle), math.sin(angle)
    turn = clip.new_tensor([[c, s], [-s, c]])
    return torch.cat([clip[..., :2] @ turn * scale + shift, clip[..., 2:]], -1)


@pytest.mark.parametrize("angle", [0.0, 0.3, 0.7, 1.2])
@pytest.mark.parametrize("scale", [0.91, 1.2])
def test_the_masks_sum_and_its_gradient_follow_the_area(square, angle, scale):
    clip, triangles = square
    clip = clip.double()
    size = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    area = soft_mask(transformed(clip, size, shift + 0.013, angle), triangles, (64, 64)).mean()
    assert area.item() == pytest.approx(scale**2 / 4, rel=0.01)
    area.backward()
    # d(s^2 / 4) / ds; what lies inside the frame keeps its area when it moves.
    assert float(size.grad) == pytest.approx(scale / 2, rel=0.06)
    assert shift.grad.abs().max() < 0.02


def test_moving_a_border_uncovers_its_length(square):
    clip, triangles = square
    shift = torch.tensor([0.6, 0.0], requires_grad=True)  # the right border is outside the frame
    soft_mask(transformed(clip, 1.0, shift), triangles, (32, 32)).mean().backward()
    # Height 1 of 2, so the covered share falls by 1/4 per unit of x.
    torch.testing.assert_close(shift.grad, torch.tensor([-0.25, 0.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("angle", [0.1, 0.6])
def test_gradients_of_a_weighted_mask_match_finite_differences(square, angle):
    clip, triangles = square
    clip = clip.double()
    x = torch.linspace(-1, 1, 96, dtype=torch.float64)
    weight = torch.exp(-2 * ((x[None] - 0.4) ** 2 + (x[:, None] + 0.2) ** 2))

    def value(shift):
        return (soft_mask(transformed(clip, 1.03, shift, angle), triangles, (96, 96)) * weight).mean()

    start = torch.tensor([0.017, -0.011], dtype=torch.float64)
    shift = start.clone().requires_grad_()
    value(shift).backward()
    for axis in range(2):
        # Over several pixels: at a single place the blend's corners make the slope jump.
        h = torch.zeros(2, dtype=torch.float64)
        h[axis] = 2 / 96
        grads = []
        for k in torch.linspace(-1, 1, 21):
            moved = (start + k * h).requires_grad_()
            value(moved).backward()
            grads.append(float(moved.grad[axis]))
        slope = float(value(start + h) - value(start - h)) / (2 * float(h[axis]))
        assert sum(grads) / len(grads) == pytest.approx(slope, rel=0.05)


def test_a_single_place_matches_a_small_finite_difference(square):
    clip, triangles = square
    clip = clip.double()
    weight = torch.rand(1, 1, 24, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def value(shift):
        return (soft_mask(transformed(clip, 1.03, shift, 0.2), triangles, (24, 24)) * weight).sum()

    start = torch.tensor([0.0171, -0.0113], dtype=torch.float64)
    shift = start.clone().requires_grad_()
    value(shift).backward()
    h = torch.tensor([1e-6, 0.0], dtype=torch.float64)
    slope = (value(start + h) - value(start - h)) / 2e-6
    torch.testing.assert_close(shift.grad[0], slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pixels", [24, 48, 96])
def test_outlines_of_triangles_as_small_as_pixels_keep_their_gradient(fine_ball, pixels):
    vertices, triangles = fine_ball
    centre = vertices.mean(0)
    camera = orbit(30.0, 20.0)
    scale = torch.tensor(1.0, requires_grad=True)
    area = soft_mask(camera.clip(centre + (vertices - centre) * scale), triangles, (pixels, pixels)).mean()
    area.backward()
    # A sphere of radius r at distance d fills pi r^2 / (d^2 - r^2) of the image plane.
    r, d = 0.1, 0.85
    frame = (2 * math.tan(math.radians(11))) ** 2
    share = math.pi * r * r / (d * d - r * r) / frame
    slope = math.pi / frame * 2 * r * d * d / (d * d - r * r) ** 2 * r
    assert area.item() == pytest.approx(share, rel=0.01)
    # One crossing more or less of some 2 pixels per row is this method's noise.
    assert float(scale.grad) == pytest.approx(slope, rel=1.5 / pixels)


def test_inner_outlines_blend_the_two_surfaces_and_hidden_ones_do_nothing():
    # A near square in front of a large far one; a third square hidden behind both.
    unit = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    layers = [(0.53, -0.5), (0.95, 0.0), (0.7, 0.5)]
    clip = torch.cat([torch.cat([unit * s, torch.full((4, 1), z), torch.ones(4, 1)], 1) for s, z in layers])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    triangles = torch.cat([faces + 4 * k for k in range(3)])
    fragments = rasterize(clip[None], triangles, (32, 32))
    colour = torch.tensor([9.0, 1.0, 3.0])[(fragments.triangle_id // 2).clamp(min=-1).long() + 1]
    colour = torch.where(fragments.triangle_id < 2, colour, torch.tensor(3.0))
    colour = torch.where(fragments.mask, colour, torch.tensor(0.0))[:, None]
    image = antialias(colour, fragments, clip[None], triangles)
    row = image[0, 0, 16]
    # 0.53 * 16 = 8.48 pixels from the centre: the border pixel is nearly half covered.
    assert float(row[16 + 8]) == pytest.approx(1.0 + (3.0 - 1.0) * (1 - 0.48), abs=1e-4)
    assert float(row[16 + 9]) == 3.0 and float(row[16 + 11]) == 3.0  # the hidden square ends at 11.2


def test_values_stay_between_their_neighbours_and_batches_are_images(ball, two_cameras):
    vertices, triangles = ball
    clip = two_cameras.clip(vertices)
    both = soft_mask(clip, triangles, (12, 12))
    assert both.min() >= 0 and both.max() <= 1
    assert ((both > 0.02) & (both < 0.98)).float().mean() > 0.05
    for k in range(2):
        torch.testing.assert_close(both[k : k + 1], soft_mask(clip[k : k + 1], triangles, (12, 12)))


def test_an_empty_view_passes_through(square):
    clip, triangles = square
    fragments = rasterize(clip + torch.tensor([9.0, 0, 0, 0]), triangles, (8, 8))
    image = torch.rand(1, 2, 8, 8)
    assert torch.equal(antialias(image, fragments, clip, triangles), image)


def test_an_edge_knows_its_two_sides():
    triangles = torch.tensor([[0, 1, 2], [2, 1, 3]])
    ends, sides = mesh_edges(triangles)
    found = {tuple(sorted(e)): set(s) for e, s in zip(ends.tolist(), sides.tolist(), strict=True)}
    assert found == {(1, 2): {0, 5}, (0, 1): {2, -1}, (0, 2): {1, -1}, (1, 3): {3, -1}, (2, 3): {4, -1}}


def test_what_lies_behind_a_surface_does_not_blur_it():
    # A sheet of many triangles, each of its own colour, and a hidden square behind its middle.
    side = torch.linspace(-1, 1, 17)
    y, x = torch.meshgrid(side, side, indexing="ij")
    sheet = torch.stack([x, y, torch.zeros_like(x), torch.ones_like(x)], -1).reshape(-1, 4) * 0.97
    sheet[:, 3] = 1
    index = torch.arange(17 * 17).view(17, 17)
    a, b, c, d = (t.reshape(-1) for t in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])
    hidden = torch.tensor([[-1.0, -1, 0.6, 1], [1, -1, 0.6, 1], [1, 1, 0.6, 1], [-1, 1, 0.6, 1]])
    hidden[:, :2] *= 0.53
    triangles = torch.cat([faces, torch.tensor([[0, 1, 2], [0, 2, 3]]) + len(sheet)])
    clip = torch.cat([sheet, hidden])[None]
    fragments = rasterize(clip, triangles, (24, 24))
    palette = torch.rand(len(triangles), generator=torch.Generator().manual_seed(0))
    image = palette[fragments.triangle_id.clamp(min=0).long()][:, None]
    blended = antialias(image, fragments, clip, triangles)
    assert torch.equal(blended[..., 2:-2, 2:-2], image[..., 2:-2, 2:-2])


def test_of_two_edges_between_the_same_pixels_only_the_outer_one_counts():
    unit = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    # Borders 8.7 and 8.9 pixels from the centre: 0.2 and 0.4 beyond the pixel centre at 8.5.
    layers = [
        torch.cat([unit * s / 16, torch.full((4, 1), z), torch.ones(4, 1)], 1)
        for s, z in ((8.7, 0.0), (8.9, 0.2))
    ]
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    mask = soft_mask(torch.cat(layers)[None], torch.cat([faces, faces + 4]), (32, 32))
    assert mask[0, 0, 16, 16 + 8].item() == pytest.approx(0.9, abs=1e-4)


def test_a_surface_smaller_than_its_pixel_never_overshoots():
    unit = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) * (0.1 * 2 / 9)  # a tenth of a pixel each way
    clip = torch.cat([unit, torch.zeros(4, 1), torch.ones(4, 1)], 1)[None]
    mask = soft_mask(clip, torch.tensor([[0, 1, 2], [0, 2, 3]]), (9, 9))
    assert mask[0, 0, 4, 4].item() == pytest.approx(0.0, abs=1e-5) and mask.min() >= 0

import math

import pytest
import torch

from id3d_engine.render.bake import uv_fragments
from id3d_engine.render.normal_map import bump, corner_tangents, decode, encode
from id3d_engine.render.normals import vertex_normals
from id3d_engine.render.raster import interpolate


def plate(mirrored=False, turn=0.0, metres=0.2):
    """A flat 0.2 m square facing -Y; u runs along +X (or -X when mirrored), v along +Z, turned in UV."""
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    vertices = torch.stack([corners[:, 0], torch.zeros(4), corners[:, 1]], 1) * (metres / 2)
    uv = corners * torch.tensor([-1.0 if mirrored else 1.0, 1.0])
    c, s = math.cos(turn), math.sin(turn)
    uv = uv @ torch.tensor([[c, s], [-s, c]]) * 0.35 + 0.5
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    return vertices, triangles, uv[triangles.long()]


def hill(size):
    """A round hump in the texture's middle, 10 mm high."""
    x = torch.linspace(-1, 1, size)
    return 0.01 * torch.exp(-8 * (x[None] ** 2 + x[:, None] ** 2))


@pytest.mark.parametrize("mirrored", [False, True])
def test_green_is_bright_on_the_side_of_a_hump_that_faces_plus_v(mirrored):
    vertices, triangles, triangle_uv = plate(mirrored)
    fragments = uv_fragments(triangle_uv, 64)
    world = bump(hill(64), vertices, triangles, triangle_uv, fragments)
    texture = encode(world, vertices, triangles, triangle_uv, fragments)
    above, below, right, left = texture[:, 24, 32], texture[:, 40, 32], texture[:, 32, 40], texture[:, 32, 24]
    assert above[1] > 0.55 and below[1] < 0.45  # row 24 lies above the hump's top, towards +v
    assert right[0] > 0.55 and left[0] < 0.45
    torch.testing.assert_close(
        texture[:, 31:33, 31:33].mean((1, 2)), torch.tensor([0.5, 0.5, 1.0]), atol=0.01, rtol=0
    )
    # In the world the upper side of the hump looks up, whatever the UVs do.
    assert world[2, 24, 32] > 0.1 and world[2, 40, 32] < -0.1


def test_a_slope_has_the_closed_form_angle():
    vertices, triangles, triangle_uv = plate()
    fragments = uv_fragments(triangle_uv, 64)
    v = 1 - (torch.arange(64) + 0.5) / 64
    # 0.7 of UV space spans 0.2 m, so a height of 0.1 v metres climbs 0.1 / (0.2 / 0.7) metres a metre.
    world = bump((0.1 * v)[:, None].expand(64, 64), vertices, triangles, triangle_uv, fragments)
    slope = 0.1 * 0.7 / 0.2
    expected = torch.tensor([0.0, -1.0, -slope]) / math.hypot(1, slope)
    torch.testing.assert_close(world[:, 32, 32], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0.0, 0.8])
def test_decoding_gives_the_world_normals_back(mirrored, turn):
    vertices, triangles, triangle_uv = plate(mirrored, turn)
    vertices = vertices + 0.3 * vertices[:, :1] * torch.tensor([0.0, 1.0, 0.2])
    fragments = uv_fragments(triangle_uv, 48)
    world = bump(hill(48), vertices, triangles, triangle_uv, fragments)
    texture = encode(world, vertices, triangles, triangle_uv, fragments)
    back = decode(texture, vertices, triangles, triangle_uv, fragments)
    torch.testing.assert_close(back, world, atol=1e-5, rtol=0)


def test_an_undisturbed_surface_is_flat_blue_and_so_is_the_outside(ball):
    vertices, triangles = ball
    generator = torch.Generator().manual_seed(0)
    # Every triangle gets its own little chart, at any angle.
    grid = torch.stack(torch.meshgrid(torch.arange(36), torch.arange(36), indexing="ij"), -1).reshape(-1, 2)
    shape = torch.rand(len(triangles), 3, 2, generator=generator)
    uv = (grid[: len(triangles), None] + shape) / 36
    fragments = uv_fragments(uv, 256)
    smooth = interpolate(vertex_normals(vertices, triangles), triangles, fragments)[0]
    smooth = torch.nn.functional.normalize(smooth, dim=0)
    texture = encode(smooth, vertices, triangles, uv, fragments)
    blue = torch.tensor([0.5, 0.5, 1.0])[:, None, None].expand_as(texture)
    torch.testing.assert_close(texture, blue, atol=2e-3, rtol=0)


def test_tangents_are_shared_inside_a_chart_and_split_at_mirrors(ball):
    vertices, triangles, triangle_uv = plate()
    tangents = corner_tangents(vertices, triangles, triangle_uv)
    torch.testing.assert_close(tangents, torch.tensor([1.0, 0, 0, 1]).expand(2, 3, 4), atol=1e-6, rtol=0)
    mirrored = corner_tangents(*plate(True))
    torch.testing.assert_close(mirrored, torch.tensor([-1.0, 0, 0, -1]).expand(2, 3, 4), atol=1e-6, rtol=0)

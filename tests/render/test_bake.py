import pytest
import torch

from id3d_engine.errors import InputError
from id3d_engine.render.bake import bake, dilate, uv_fragments
from id3d_engine.render.cameras import orbit
from id3d_engine.render.raster import sample_texture
from id3d_engine.render.surface import see


@pytest.fixture
def sheet():
    """A curved sheet of 6 x 6 quads seen from the front, mapped to the left half of UV space."""
    u, v = torch.meshgrid(torch.linspace(0, 1, 7), torch.linspace(0, 1, 7), indexing="xy")
    x, z = (u - 0.5) * 0.2, (v - 0.5) * 0.2 + 0.115
    vertices = torch.stack([x, 0.5 * x * x, z], -1).reshape(-1, 3)
    index = torch.arange(49).view(7, 7)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    quads = torch.stack([a, b, c, d], -1).reshape(-1, 4)
    triangles = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).int()
    uv = torch.stack([0.5 * u, v], -1).reshape(-1, 2)
    return vertices, triangles, uv[triangles.long()]


def test_texels_know_their_triangle_and_the_top_row_is_v_one(sheet):
    vertices, triangles, triangle_uv = sheet
    fragments = uv_fragments(triangle_uv, 32)
    assert fragments.mask[0, :, :16].all() and not fragments.mask[0, :, 16:].any()
    texture = bake(lambda p: p, vertices, triangles, fragments, margin=0)
    assert texture[2, 0, 3] > 0.2 and texture[2, -1, 3] < 0.03
    assert texture[0, 3, 0] < -0.09 and texture[0, 3, 15] > 0.09


def test_a_baked_field_reads_back_the_same_on_the_surface(sheet):
    vertices, triangles, triangle_uv = sheet

    def field(p):
        return torch.stack([10 * p[:, 0], 8 * p[:, 2], p[:, 0] * p[:, 2] * 50], 1)

    texture = bake(field, vertices, triangles, uv_fragments(triangle_uv, 128), margin=4, chunk=1000)
    surface = see(vertices, triangles, orbit(torch.tensor([0.0, 25.0])), (40, 40), triangle_uv)
    seen = sample_texture(texture, surface.uv)
    mask = surface.fragments.mask
    expected = field(surface.position.permute(0, 2, 3, 1)[mask])
    # At the very border the margin repeats a texel: half a texel of the steepest slope.
    assert (seen.permute(0, 2, 3, 1)[mask] - expected).abs().max() < 8 * 0.2 / 128 / 2 + 1e-4


def test_dilation_takes_the_nearest_texel_and_stops_at_its_reach():
    texture = torch.zeros(2, 9, 9)
    mask = torch.zeros(9, 9, dtype=torch.bool)
    texture[:, 4, 1], texture[:, 4, 7] = 1.0, 2.0
    mask[4, 1] = mask[4, 7] = True
    grown = dilate(texture, mask, 2)
    assert grown[0, 4, :].tolist() == [1, 1, 1, 1, 0, 2, 2, 2, 2]
    assert grown[0, :, 1].tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert grown[1, 3, 2] == 1 and grown[0, 2, 3] == 0
    assert torch.equal(dilate(texture, mask & False, 2), texture)
    assert torch.equal(dilate(texture, mask | True, 2), texture)


def test_gradients_reach_the_field_through_texture_and_margin(sheet):
    vertices, triangles, triangle_uv = sheet
    gain = torch.tensor(2.0, requires_grad=True)
    texture = bake(lambda p: gain * p[:, :1], vertices, triangles, uv_fragments(triangle_uv, 16), margin=3)
    texture.abs().sum().backward()
    assert float(gain.grad) == pytest.approx(float(texture.detach().abs().sum()) / 2, rel=1e-5)


def test_uvs_outside_the_unit_square_are_refused(sheet):
    vertices, triangles, triangle_uv = sheet
    with pytest.raises(InputError, match="no texel is covered: check that the UVs"):
        bake(lambda p: p, vertices, triangles, uv_fragments(triangle_uv + 3, 16))

import torch

from id3d_engine.render.occlusion import ambient_occlusion, closer, interreflected, soft_shadows, visible_from


def with_screen(ball):
    """The ball, and a square plate 0.2 m to its left (+X) that stands between it and that side."""
    vertices, triangles = ball
    side = torch.tensor(
        [[0.2, y, 0.115 + z] for y, z in ((-0.2, -0.2), (0.2, -0.2), (0.2, 0.2), (-0.2, 0.2))]
    )
    plate = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32) + len(vertices)
    return torch.cat([vertices, side]), torch.cat([triangles, plate])


def test_a_lone_ball_hides_nothing_from_itself(ball):
    vertices, triangles = ball
    ao = ambient_occlusion(vertices, triangles)
    assert ao.shape == (len(vertices), 1) and ao.min() > 0.9


def test_a_vertex_is_lit_exactly_where_it_faces_the_light(ball):
    vertices, triangles = ball
    towards = torch.tensor([[0.0, -1.0, 0.0], [0.6, 0.0, 0.8]])
    cosine = ((vertices - vertices.mean(0)) / 0.1 @ towards.T).T
    lit = visible_from(vertices, triangles, towards)
    assert (lit[cosine > 0.15] == 1).all() and (lit[cosine < -0.01] == 0).all()


def test_a_screen_shades_one_side_and_darkens_its_sky(ball):
    vertices, triangles = with_screen(ball)
    count = len(ball[0])
    towards = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    share = soft_shadows(vertices, triangles, towards)[:count]
    facing = vertices[:count, 0] > 0.05
    assert share[facing, 0].max() == 0
    front = vertices[:count, 1] < -0.05
    assert share[front, 1].min() == 1
    ao = ambient_occlusion(vertices, triangles)[:count, 0]
    assert ao[vertices[:count, 0] > 0.09].mean() < 0.6 < 0.85 < ao[vertices[:count, 0] < -0.05].min()


def test_a_wide_lamp_has_a_half_shadow():
    # A floor and a wall's edge above it: the border of the shadow is soft, and wider for a wider lamp.
    x = torch.linspace(-0.2, 0.2, 81)
    floor = torch.stack([x.repeat_interleave(2), torch.tensor([-0.1, 0.1]).repeat(81), torch.zeros(162)], 1)
    index = torch.arange(80) * 2
    faces = torch.cat(
        [torch.stack([index, index + 2, index + 1], 1), torch.stack([index + 1, index + 2, index + 3], 1)]
    )
    roof = torch.tensor([[0.0, -0.2, 0.1], [0.3, -0.2, 0.1], [0.3, 0.2, 0.1], [0.0, 0.2, 0.1]])
    vertices = torch.cat([floor, roof])
    triangles = torch.cat([faces, torch.tensor([[0, 1, 2], [0, 2, 3]]) + len(floor)]).int()
    up = torch.tensor([[0.0, 0.0, 1.0]])
    widths = []
    for spread in (4.0, 12.0):
        share = soft_shadows(vertices, triangles, up, spread, samples=32)[: len(floor), 0]
        assert share[floor[:, 0] < -0.06].min() == 1 and share[floor[:, 0] > 0.06].max() == 0
        widths.append(int(((share > 0.05) & (share < 0.95)).sum()))
    assert 0 < widths[0] < widths[1]


def test_a_closer_look_sees_what_small_lids_hide(ball):
    # A ball of a twentieth of the size behind a plate with a slit, 1 mm before it, beside the large ball.
    large, triangles = ball
    small = (large - large.mean(0)) / 20 + torch.tensor([0.0, -0.2, 0.0])
    corners = [[[-8, -6, z], [8, -6, z], [8, -6, end], [-8, -6, end]] for z, end in ((1, 8), (-8, -1))]
    lids = [torch.tensor(lid) / 1000 + small.mean(0) for lid in corners]
    quad = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    vertices = torch.cat([large, small, *lids])
    after = 2 * len(large)
    triangles = torch.cat([triangles, triangles + len(large), quad + after, quad + after + 4]).long()
    centre = small.mean(0)
    true = ambient_occlusion(vertices, triangles, 40, size=1600)
    far = ambient_occlusion(vertices, triangles, 40)
    found = closer(lambda v, t: ambient_occlusion(v, t, 40), far, vertices, triangles, centre, 0.03)
    seen = torch.arange(len(large), after)[small[:, 1] < -0.2]
    assert (found - true)[seen].abs().mean() < 0.25 * (far - true)[seen].abs().mean()
    # Beyond its reach, and where nothing is, all stays.
    assert torch.equal(found[: len(large)], far[: len(large)])
    nowhere = closer(lambda v, t: ambient_occlusion(v, t, 40), far, vertices, triangles, centre + 9, 0.03)
    assert torch.equal(nowhere, far)


def test_walls_light_each_other_as_in_an_integrating_sphere() -> None:
    share = torch.tensor([0.0, 0.1, 0.4, 1.0], dtype=torch.float64).view(1, 1, 1, 4)
    albedo = torch.tensor([0.0, 0.3, 0.7], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 1, 4)
    # Light that came straight through the opening, once from the wall, twice, ...
    arrived, bounced = torch.zeros_like(albedo), share.expand_as(albedo)
    for _ in range(400):
        arrived = arrived + bounced
        bounced = bounced * albedo * (1 - share)
    assert torch.allclose(interreflected(share, albedo), arrived, atol=1e-12)
    assert interreflected(torch.zeros(1, 1, 1, 1), torch.ones(1, 3, 1, 1)).isfinite().all()

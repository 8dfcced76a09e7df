import torch

from id3d_engine.render.cameras import orbit
from id3d_engine.render.normals import render_normals, vertex_normals


def test_a_balls_normals_point_outwards(ball):
    vertices, triangles = ball
    normals = vertex_normals(vertices, triangles)
    outwards = torch.nn.functional.normalize(vertices - vertices.mean(0), dim=1)
    assert (normals * outwards).sum(1).min() > 0.999
    batch = torch.stack([vertices, vertices * 2])
    torch.testing.assert_close(vertex_normals(batch, triangles)[1], vertex_normals(vertices * 2, triangles))


def test_camera_space_colours_are_right_up_and_towards_the_viewer(fine_ball):
    vertices, triangles = fine_ball
    image, mask = render_normals(vertices, triangles, orbit(torch.tensor([0.0, 115.0])), (64, 64))
    for picture, cover in zip(image, mask, strict=True):
        centre = picture[:, 31:33, 31:33].mean((1, 2))
        torch.testing.assert_close(centre, torch.tensor([0.5, 0.5, 1.0]), atol=0.02, rtol=0)
        columns = cover[0, 32].nonzero().squeeze(1)
        assert picture[0, 32, columns[-3]] > 0.9 and picture[0, 32, columns[2]] < 0.1
        rows = cover[0, :, 32].nonzero().squeeze(1)
        assert picture[1, rows[2], 32] > 0.9 and picture[1, rows[-3], 32] < 0.1
        assert picture[:, 0, 0].abs().max() == 0 and cover[0, 0, 0] == 0


def test_every_covered_colour_is_a_unit_normal(fine_ball, two_cameras):
    image, mask = render_normals(*fine_ball, two_cameras, (48, 48))
    inside = (image * 2 - 1).permute(0, 2, 3, 1)[mask[:, 0] == 1]
    assert len(inside) > 500
    torch.testing.assert_close(inside.norm(dim=1), torch.ones(len(inside)), atol=0.02, rtol=0)


def test_two_views_are_two_single_views(ball, two_cameras):
    vertices, triangles = ball
    both, masks = render_normals(vertices, triangles, two_cameras, (32, 32))
    for k in range(2):
        one, mask = render_normals(vertices, triangles, two_cameras[k : k + 1], (32, 32))
        torch.testing.assert_close(both[k : k + 1], one, atol=1e-6, rtol=0)
        torch.testing.assert_close(masks[k : k + 1], mask, atol=1e-6, rtol=0)


def test_the_gradient_deforms_a_ball_into_another(ball, two_cameras):
    vertices, triangles = ball
    with torch.no_grad():
        target, cover = render_normals(
            vertices * torch.tensor([1.2, 1.0, 0.9]), triangles, two_cameras, (32, 32)
        )
    stretch = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.Adam([stretch], 0.03)
    for _ in range(40):
        image, mask = render_normals(vertices * stretch, triangles, two_cameras, (32, 32))
        loss = (image - target).square().mean() + (mask - cover).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(stretch.detach(), torch.tensor([1.2, 1.0, 0.9]), atol=0.02, rtol=0)

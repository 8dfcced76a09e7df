import math

import pytest
import torch

from id3d_engine.render import lights
from id3d_engine.render.color import linear_to_srgb, srgb_to_linear
from id3d_engine.render.shading import _total_reflectance, brdf, shade


def hemisphere(count=20000):
    """Uniform directions above z = 0 and their solid angle."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = index / count
    angle = index * (math.pi * (3 - math.sqrt(5)))
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), z], -1), 2 * math.pi / count


def eye_at(cosine):
    return torch.tensor([math.sqrt(1 - cosine**2), 0.0, cosine], dtype=torch.float64)


def reflected(cosine, roughness, specular, albedo=1.0):
    """Diffuse and specular share of unit light from all sides that leaves towards the eye."""
    light, area = hemisphere()
    normal = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand_as(light)
    column = torch.ones(len(light), 1, dtype=torch.float64)
    diffuse, coat = brdf(
        albedo * column, normal, eye_at(cosine).expand_as(light), light, roughness * column, specular * column
    )
    return [float((part * light[:, 2:]).sum() * area) for part in (diffuse, coat)]


@pytest.mark.parametrize("roughness", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("specular", [0.0, 0.5, 1.0])
def test_a_white_surface_reflects_no_more_than_arrives(roughness, specular):
    for cosine in (0.05, 0.3, 0.7, 1.0):
        total = sum(reflected(cosine, roughness, specular))
        assert total < 1.02
        if specular == 0:
            assert total == pytest.approx(1.0, abs=2e-3)
        elif cosine > 0.5:
            assert total > 0.8  # one bounce loses some at full roughness


def test_the_brdf_is_reciprocal():
    generator = torch.Generator().manual_seed(0)

    def up(count):
        v = torch.randn(count, 3, dtype=torch.float64, generator=generator)
        return torch.nn.functional.normalize(torch.cat([v[:, :2], v[:, 2:].abs() + 0.05], 1), dim=1)

    normal = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(200, 3)
    a, b = up(200), up(200)
    albedo = torch.rand(200, 3, dtype=torch.float64, generator=generator)
    rough, spec = torch.rand(2, 200, 1, dtype=torch.float64, generator=generator)
    for one, other in zip(
        brdf(albedo, normal, a, b, rough, spec), brdf(albedo, normal, b, a, rough, spec), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_ggx_has_the_closed_form_peak_at_normal_incidence():
    up = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    _, coat = brdf(one, up, up, up, 0.5 * one, 0.5 * one)
    alpha = 0.25
    # D = 1 / (pi a^2), visibility 1/4 and F = 0.04 at n = l = v.
    assert float(coat) == pytest.approx(0.04 / (4 * math.pi * alpha**2))


@pytest.mark.parametrize("roughness", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("cosine", [0.2, 0.6, 1.0])
def test_the_environments_reflectance_follows_the_integrated_lobe(roughness, cosine):
    value = _total_reflectance(*(torch.tensor([x]) for x in (cosine, roughness, 0.5)))
    assert float(value) == pytest.approx(reflected(cosine, roughness, 0.5)[1], abs=0.03)


def flat(normal=(0.0, 0.0, 1.0), albedo=0.5, roughness=0.5, specular=0.0, batch=1):
    """Arguments of `shade` for a small flat patch at the origin seen from above."""

    def image(*values):
        return torch.tensor(values).view(1, -1, 1, 1).expand(batch, -1, 2, 2)

    eye = torch.tensor([[0.0, 0.0, 1.0]]).expand(batch, 3)
    return (
        image(albedo, albedo, albedo),
        image(*normal),
        image(0.0, 0.0, 0.0),
        image(roughness),
        image(specular),
        eye,
    )


def test_lambert_under_one_distant_light_is_analytic():
    tilt = math.radians(40)
    lamp = lights.directional((math.sin(tilt), 0.0, math.cos(tilt)), (math.pi, 2.0, 1.0))
    value = shade(*flat(), lamp)[0, :, 0, 0]
    expected = 0.5 / math.pi * math.cos(tilt) * torch.tensor([math.pi, 2.0, 1.0])
    torch.testing.assert_close(value, expected)
    below = lights.directional((0.0, 0.6, -0.8), (3.0, 3.0, 3.0))
    assert shade(*flat(specular=0.5), below).abs().max() == 0


def test_a_point_light_falls_with_the_square_of_its_distance():
    near, far = (shade(*flat(), lights.point((0.0, 0.0, d), (1.0, 1.0, 1.0)))[0, 0, 0, 0] for d in (1.0, 2.0))
    assert float(near) == pytest.approx(0.5 / math.pi) and float(near / far) == pytest.approx(4.0)


def test_uniform_light_gives_the_albedo_back():
    for normal in ((0.0, 0.0, 1.0), (0.6, 0.0, 0.8)):
        torch.testing.assert_close(shade(*flat(normal), lights.uniform(1.0)), flat(normal)[0].contiguous())


def test_an_environment_maps_irradiance_matches_its_integral():
    height, width = 32, 64
    polar = (torch.arange(height) + 0.5) * math.pi / height
    azimuth = (torch.arange(width) + 0.5) * 2 * math.pi / width - math.pi
    p, a = torch.meshgrid(polar, azimuth, indexing="ij")
    towards = torch.stack([p.sin() * a.sin(), -p.sin() * a.cos(), p.cos()], -1)
    radiance = (1.0 + 0.5 * towards[..., 2] - 0.3 * towards[..., 0])[..., None].expand(-1, -1, 3)
    for normal in ((0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (0.0, -0.6, 0.8)):
        cosine = (towards @ torch.tensor(normal)).clamp(min=0)
        area = p.sin() * (math.pi / height) * (2 * math.pi / width)
        expected = 0.5 / math.pi * (radiance[..., 0] * cosine * area).sum()
        value = shade(*flat(normal), lights.environment_map(radiance))[0, 0, 0, 0]
        assert float(value) == pytest.approx(float(expected), rel=0.01)


def test_wrapped_light_passes_the_terminator_red_first_and_keeps_its_total():
    beyond = (math.sin(math.radians(95)), 0.0, math.cos(math.radians(95)))
    lamp = lights.directional(beyond, (1.0, 1.0, 1.0))
    assert shade(*flat(), lamp).max() == 0
    red, _, blue = shade(*flat(), lamp, wrap=0.3)[0, :, 0, 0].tolist()
    assert red > blue >= 0
    total = 0.0
    for degree in range(180):
        angle = math.radians(degree + 0.5)
        lamp = lights.directional((math.sin(angle), 0.0, math.cos(angle)), (1.0, 1.0, 1.0))
        total += (
            float(shade(*flat(), lamp, wrap=0.3)[0, 0, 0, 0]) * 2 * math.pi * math.sin(angle) * math.pi / 180
        )
    assert total == pytest.approx(0.5, rel=1e-3)


def test_shadow_and_occlusion_scale_their_own_light():
    lamp = lights.directional([[0.0, 0, 1.0], [0.6, 0, 0.8]], [[1.0] * 3, [2.0] * 3])
    visible = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    only_first = shade(*flat(), lights.directional((0.0, 0, 1.0), (1.0, 1, 1)))
    torch.testing.assert_close(shade(*flat(), lamp, visible=visible), only_first)
    half = torch.full((1, 1, 2, 2), 0.5)
    sky = lights.uniform(1.0)
    torch.testing.assert_close(shade(*flat(), sky, occlusion=half), 0.5 * shade(*flat(), sky))


def test_a_batch_of_lights_is_its_single_lights():
    many = lights.sample_lights(2, torch.Generator().manual_seed(0))
    both = shade(*flat(specular=0.5, batch=2), many)
    for k in range(2):
        one = lights.Lights(*(getattr(many, f)[k : k + 1] for f in many.__dataclass_fields__))
        torch.testing.assert_close(both[k : k + 1], shade(*flat(specular=0.5), one))
    assert not torch.allclose(both[0], both[1])


def test_shading_gradients_match_finite_differences():
    generator = torch.Generator().manual_seed(2)
    lamp = lights.preset("studio")

    def value(albedo, rough, spec):
        a, n, p, _, _, eye = flat((0.3, -0.4, 0.866))
        return shade(albedo + 0 * a, n, p, rough, spec, eye, lamp).sum()

    inputs = [torch.rand(1, c, 2, 2, generator=generator) * 0.5 + 0.3 for c in (3, 1, 1)]
    leaves = [x.clone().requires_grad_() for x in inputs]
    value(*leaves).backward()
    for k, leaf in enumerate(leaves):
        up, down = list(inputs), list(inputs)
        up[k], down[k] = inputs[k] + 1e-2, inputs[k] - 1e-2
        slope = (value(*up) - value(*down)) / 2e-2
        assert float(leaf.grad.sum()) == pytest.approx(float(slope), rel=0.02, abs=1e-3)


def test_srgb_is_the_standard_curve_and_its_own_inverse():
    x = torch.linspace(0, 1, 101, dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(x)), x, atol=1e-7, rtol=0)
    assert float(srgb_to_linear(torch.tensor(0.5))) == pytest.approx(0.2140411, abs=1e-6)
    assert float(linear_to_srgb(torch.tensor(0.001))) == pytest.approx(0.01292)
    (linear_to_srgb(x).sum() + srgb_to_linear(x).sum()).backward()
    assert torch.isfinite(x.grad).all()

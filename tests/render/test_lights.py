import math

import pytest
import torch

from id3d_engine.errors import InputError
from id3d_engine.render import lights
from id3d_engine.render.cameras import orbit
from id3d_engine.render.shading import linear_to_srgb, shade
from id3d_engine.render.surface import see


def test_harmonics_are_orthonormal():
    count = 4000
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * index / count
    angle = index * (math.pi * (3 - math.sqrt(5)))
    ring = (1 - z * z).sqrt()
    values = lights.harmonics(torch.stack([ring * angle.cos(), ring * angle.sin(), z], -1))
    gram = values.T @ values * (4 * math.pi / count)
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), atol=2e-3, rtol=0)


def test_lights_add_up():
    lamp = lights.directional((0.0, 0.0, 2.0), (1.0, 2.0, 3.0))
    torch.testing.assert_close(lamp.directions, torch.tensor([[[0.0, 0.0, 1.0]]]))
    many = lights.sample_lights(3, torch.Generator().manual_seed(0)) + lamp + lights.uniform(0.5)
    assert many.directions.shape == many.irradiance.shape == (3, 3, 3)
    assert many.environment.shape == (3, 9, 3) and many.positions.shape == (3, 0, 3)


def test_an_even_map_is_uniform_light():
    even = lights.environment_map(torch.full((16, 32, 3), 0.7)).environment
    torch.testing.assert_close(even, lights.uniform(0.7).environment, atol=0.01, rtol=0)


def test_random_lights_come_from_the_generator_alone():
    first, second, other = (lights.sample_lights(2, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first.irradiance, second.irradiance)
    assert not torch.equal(first.irradiance, other.irradiance)


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="unknown light 'sunset': choose one of front"):
        lights.preset("sunset")


def brightness(ball, name):
    """Mean over the front view's left, middle and right thirds, as the viewer sees them, and the back."""
    vertices, triangles = ball
    surface = see(vertices, triangles, orbit(torch.tensor([0.0, 180.0])), (33, 33))
    half, mask = torch.full((1, 1, 1, 1), 0.5), surface.mask
    light = lights.preset(name)
    linear = shade(
        0.2 * torch.ones(1, 3, 1, 1), surface.normal, surface.position, half, half,
        surface.camera_position, light,
    )  # fmt: skip
    image = linear_to_srgb(linear.clamp(0, 1)) * mask
    total = [
        float(image[k, :, :, a:b].sum() / mask[k, :, :, a:b].sum() / 3)
        for k, a, b in ((0, 0, 14), (0, 14, 19), (0, 19, 33), (1, 0, 33))
    ]
    assert float(image.min()) >= 0 and float(image.max()) <= 1
    return total


def test_presets_light_the_side_they_name(ball):
    left, middle, right, back = brightness(ball, "front")
    assert middle > left and middle > right and middle > 1.3 * back
    left, middle, right, back = brightness(ball, "back")
    assert back > 1.5 * middle
    left, middle, right, back = brightness(ball, "direct")
    assert right > 1.5 * left
    values = brightness(ball, "diffuse")
    assert max(values) < 1.1 * min(values)

"""Photo-like pictures of a head, for the face encoder: light, lens, background and a cheap camera.

Not beautiful on purpose: an identity embedding has to survive what phones do to faces.
"""

from __future__ import annotations

import io
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..render.cameras import Cameras, orbit
from ..render.color import linear_to_srgb, srgb_to_linear
from ..render.lights import sample_lights
from ..render.occlusion import ambient_occlusion, soft_shadows
from ..render.raster import interpolate, sample_texture
from ..render.shading import shade
from ..render.surface import Surface, see
from ..template import HeadTemplate
from .asset import HeadAsset
from .bust import Bust, bust, dress
from .glasses import Frame, spectacles
from .skin import author_textures

TEXTURE_SIZE = 512
SUBSURFACE_WRAP = 0.35


def photo_like(
    asset: HeadAsset,
    template: HeadTemplate,
    generator: torch.Generator,
    size: int = 256,
    *,
    offsets: NDArray[np.floating] | None = None,
    strength: float = 1.0,
    glasses: bool = False,
) -> NDArray[np.uint8]:
    """One photograph of a head, as somebody could have taken it.

    Args:
        asset: The head.
        template: Its topology.
        generator: A CPU generator; the same state gives the same picture.
        size: Pixels of the square picture.
        offsets: (V, 3) of an expression, metres, or None for neutral.
        strength: 0 for a clean frontal studio picture, 1 for everyday variety: yaw within 35 degrees,
            pitch within 15, coloured light, blur, noise and JPEG artefacts.
        glasses: Whether the head wears spectacles, of a frame that is drawn.

    Returns:
        (size, size, 3) uint8, sRGB.
    """
    draw = _Draw(generator, strength)
    figure = bust(template)
    albedo, maps, occlusion = head_material(asset, template)
    head = asset.neutral if offsets is None else asset.neutral + np.asarray(offsets, np.float32)
    dressed = dress(figure, head, asset.skin)
    if glasses:
        frame = Frame.drawn(draw.tensor(4).numpy())
        figure, dressed = _with(figure, dressed, *spectacles(template, head.astype(np.float32), frame))
        occlusion = functional.pad(occlusion, (0, 0, 0, len(dressed) - len(occlusion)), value=1.0)
    vertices = _turned(torch.from_numpy(dressed), draw)
    cameras = _camera(vertices[template.landmarks["nose_bridge"]], draw)
    surface = see(vertices, figure.triangles, cameras, (size, size), figure.triangle_uv)
    picture = _shaded(surface, figure, vertices, albedo, maps, occlusion, draw)
    mask = surface.mask
    picture = picture * mask + _background(size, draw) * (1 - mask)
    return _camera_pipeline(surface.finish(picture)[0], draw)


def _with(
    figure: Bust, vertices: NDArray[np.float32], glasses: NDArray[np.float32], wires: NDArray[np.int64]
) -> tuple[Bust, NDArray[np.float32]]:
    """Head and cloth with spectacles: their triangles come last."""
    triangles = torch.cat([figure.triangles, torch.from_numpy(wires + len(vertices))])
    uv = torch.cat([figure.triangle_uv, torch.zeros(len(wires), 3, 2)])
    worn = replace(figure, triangles=triangles, triangle_uv=uv, first_wire=len(figure.triangles))
    return worn, np.concatenate([vertices, glasses])


class _Draw:
    """Random numbers whose spread shrinks with the strength of the effects."""

    def __init__(self, generator: torch.Generator, strength: float) -> None:
        self.generator = generator
        self.strength = strength

    def around(self, middle: float, spread: float) -> float:
        """Uniform within `spread` of `middle`, at strength 1."""
        return middle + spread * self.strength * (2 * self.share() - 1)

    def share(self) -> float:
        """Uniform in [0, 1], whatever the strength."""
        return float(torch.rand((), generator=self.generator))

    def tensor(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)


@lru_cache(maxsize=4)
def head_material(asset: HeadAsset, template: HeadTemplate) -> tuple[Tensor, Tensor, Tensor]:
    """Albedo (3, T, T), roughness and specular (2, T, T), occlusion (V + B, 1); kept for the next photo."""
    textures = author_textures(template, asset.appearance, TEXTURE_SIZE)
    albedo = as_scanned(asset, textures.albedo_srgb)
    maps = torch.from_numpy(np.stack([textures.roughness, textures.specular]))
    figure = bust(template)
    vertices = torch.from_numpy(dress(figure, asset.neutral, asset.skin))
    occlusion = ambient_occlusion(vertices, figure.triangles, directions=40, size=128)
    return albedo, maps, occlusion


def as_scanned(asset: HeadAsset, painted: NDArray[np.float32]) -> Tensor:
    """(3, T, T): a (T, T, 3) painted sRGB albedo, and the scan's where there is one."""
    if asset.scanned is not None:
        painted = painted + asset.scanned[..., 3:] * (asset.scanned[..., :3] - painted)
    return torch.from_numpy(np.ascontiguousarray(painted.transpose(2, 0, 1)))


def _turned(vertices: Tensor, draw: _Draw) -> Tensor:
    """Nod and tilt about the neck's base."""
    nod, tilt = math.radians(draw.around(0, 9)), math.radians(draw.around(0, 9))
    about_x = torch.tensor([[1, 0, 0], [0, math.cos(nod), -math.sin(nod)], [0, math.sin(nod), math.cos(nod)]])
    about_y = torch.tensor(
        [[math.cos(tilt), 0, math.sin(tilt)], [0, 1, 0], [-math.sin(tilt), 0, math.cos(tilt)]]
    )
    return vertices @ (about_y @ about_x).T


def _camera(bridge: Tensor, draw: _Draw) -> Cameras:
    """Looks at a place near the face; the nearer the lens, the wider."""
    # The sum of two uniform draws: most people face the camera.
    azimuth = draw.around(0, 17.5) + draw.around(0, 17.5)
    height = draw.around(0.36, 0.07)  # metres of the scene in the picture
    distance = draw.around(1.1, 0.6)
    fov = 2 * math.degrees(math.atan(height / 2 / distance))
    target = bridge + torch.tensor([draw.around(0, 0.03), 0.07, -0.035 + draw.around(0, 0.025)])
    return orbit(azimuth, draw.around(3, 12), distance, fov, target)


def _shaded(
    surface: Surface,
    figure: Bust,
    vertices: Tensor,
    albedo: Tensor,
    maps: Tensor,
    occlusion: Tensor,
    draw: _Draw,
) -> Tensor:
    """(1, 3, S, S) linear radiance, exposed for the face."""
    lights = sample_lights(1, draw.generator)
    shadows = soft_shadows(vertices, figure.triangles, lights.directions[0], spread_deg=9.0, samples=5)
    reach = interpolate(torch.cat([occlusion, shadows], 1), figure.triangles, surface.fragments)
    uv = surface.uv
    assert uv is not None  # `photo_like` passes triangle_uv
    colour = srgb_to_linear(sample_texture(albedo, uv))
    rough, specular = sample_texture(maps, uv).split(1, dim=1)
    cloth = (surface.fragments.triangle_id >= figure.first_cloth)[:, None].to(colour.dtype)
    shirt = srgb_to_linear(_everyday_colour(draw, 0.05, 0.85))
    stripes = 1 + 0.25 * torch.sin(
        surface.position[:, :1] * (200 * draw.share()) + surface.position[:, 2:] * 300
    )
    shirt = shirt * (stripes if draw.share() < 0.3 else 1.0)
    colour = colour * (1 - cloth) + shirt * cloth
    rough, specular = rough * (1 - cloth) + 0.8 * cloth, specular * (1 - cloth) + 0.2 * cloth
    if figure.first_wire is not None:
        wire = surface.fragments.triangle_id[:, None] >= figure.first_wire
        colour = torch.where(wire, srgb_to_linear(_everyday_colour(draw, 0.03, 0.45)), colour)
        rough, specular = torch.where(wire, 0.35, rough), torch.where(wire, 0.5, specular)
    wrap = SUBSURFACE_WRAP
    linear = shade(
        colour, surface.normal, surface.position, rough, specular, surface.camera_position, lights,
        visible=reach[:, 1:], occlusion=reach[:, :1] ** 0.8, wrap=wrap,
    )  # fmt: skip
    face = surface.mask * (1 - cloth)
    bright = (linear.mean(1, keepdim=True) * face).sum() / face.sum().clamp(min=1)
    # Cameras expose faces to a middle tone but do not make every skin the same.
    skin = (colour.mean(1, keepdim=True) * face).sum() / face.sum().clamp(min=1)
    wanted = 0.55 * float(skin) + 0.09
    return linear * (wanted / bright.clamp(min=1e-4)) * 2 ** draw.around(0, 0.6)


def _background(size: int, draw: _Draw) -> Tensor:
    """(1, 3, S, S) linear: a blurred room or street, sometimes a plain wall."""
    cells = 2 + int(5 * draw.share())
    base = srgb_to_linear(_everyday_colour(draw, 0.1, 0.95))
    hue = 1 + 0.5 * (draw.tensor(1, 3, cells, cells) - 0.5) * draw.share()
    tones = base * hue * (1 + 0.9 * (draw.tensor(1, 1, cells, cells) - 0.5))
    image = functional.interpolate(tones, size=(size, size), mode="bicubic", align_corners=False)
    if draw.share() < 0.5:
        for _ in range(1 + int(4 * draw.share())):
            x, y = int(size * draw.share()), int(size * draw.share())
            w, h = (int(size * (0.08 + 0.35 * draw.share())) for _ in range(2))
            image[:, :, y : y + h, x : x + w] *= 0.5 + 1.2 * draw.share()
        image = _blur(image, size * (0.006 + 0.02 * draw.share()))
    return image.clamp(0.005, 1.0)


def _everyday_colour(draw: _Draw, low: float, high: float) -> Tensor:
    """(1, 3, 1, 1) sRGB: mostly muted, now and then strong."""
    grey = low + (high - low) * draw.share()
    tint = (draw.tensor(1, 3, 1, 1) - 0.5) * 1.2 * draw.share() ** 2
    return (grey * (1 + tint)).clamp(0.02, 0.98)


def _camera_pipeline(linear: Tensor, draw: _Draw) -> NDArray[np.uint8]:
    """White balance, lens and sensor, tone curve, sharpening and JPEG; (3, S, S) linear to uint8."""
    size = linear.shape[-1]
    cast = torch.tensor([draw.around(1, 0.12), 1.0, draw.around(1, 0.14)]).view(3, 1, 1)
    axis = torch.linspace(-1, 1, size)
    falloff = 1 - max(draw.around(0.08, 0.12), 0.0) * (axis[:, None] ** 2 + axis[None] ** 2) / 2
    linear = linear * cast * falloff
    linear = _blur(linear[None], size / 256 * abs(draw.around(0.25, 0.55)))[0]
    noise = 0.012 * draw.strength * draw.share()
    linear = linear + noise * (linear.clamp(min=0) + 0.02).sqrt() * draw.normal(3, size, size)
    # A shoulder keeps highlights from clipping hard.
    linear = linear.clamp(min=0)
    bent = torch.where(linear > 0.6, 0.6 + 0.4 * torch.tanh((linear - 0.6) / 0.4), linear)
    encoded = linear_to_srgb(bent.clamp(0, 1))
    encoded = (encoded.clamp(1e-4, 1) ** draw.around(1, 0.15) - 0.5) * draw.around(1.0, 0.12) + 0.5
    grey = encoded.mean(0, keepdim=True)
    encoded = grey + (encoded - grey) * draw.around(0.95, 0.25)
    array = (encoded.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    quality = int(max(30, draw.around(82, 18)))
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"))


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, C, H, W), edges repeated."""
    if sigma < 0.15:
        return image
    reach = max(1, math.ceil(2.5 * sigma))
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(image.shape[1], 1, -1)
    padded = functional.pad(image, (reach,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel[:, :, None], groups=image.shape[1])
    return functional.conv2d(rows, kernel[..., None], groups=image.shape[1])

"""Orbit cameras around the head: matrices, training views and the words for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError

# The middle of the average head with hair: from -0.02 m (neck) to 0.25 m.
HEAD_CENTRE_M = (0.0, 0.0, 0.115)
# The frame's height in the plane of the target: that head fills about 85 % of it.
FRAME_HEIGHT_M = 0.33

# Close-ups: the frame's height in metres, and the largest azimuth that still shows the part.
CLOSEUPS: dict[str, tuple[float, float]] = {
    "face": (0.20, 60.0),
    "mouth": (0.085, 45.0),
    "eyes": (0.12, 40.0),
}
# Where they look on an average head, for callers without landmarks.
AVERAGE_CENTRES_M: dict[str, tuple[float, float, float]] = {
    "face": (0.0, -0.11, 0.085),
    "mouth": (0.0, -0.11, 0.048),
    "eyes": (0.0, -0.10, 0.115),
}


@dataclass(frozen=True, eq=False)
class Cameras:
    """B cameras. Matrices act on column vectors: clip = projection @ view @ (x, y, z, 1).

    Attributes:
        view: (B, 4, 4) world to camera; the camera looks down its -Z.
        projection: (B, 4, 4) OpenGL perspective, depth -1 (near) to 1 (far).
        azimuth_deg: (B,) 0 in front of the face, positive towards the head's own left (+X).
        elevation_deg: (B,) positive above.
        closeup: one of "", "face", "mouth", "eyes" a camera; empty means none is a close-up.
    """

    view: Tensor
    projection: Tensor
    azimuth_deg: Tensor
    elevation_deg: Tensor
    closeup: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.view.shape[0]

    def __getitem__(self, index: slice) -> Cameras:
        return Cameras(
            self.view[index],
            self.projection[index],
            self.azimuth_deg[index],
            self.elevation_deg[index],
            self.closeup[index],
        )

    @property
    def rotation(self) -> Tensor:
        """(B, 3, 3) world to camera directions."""
        return self.view[:, :3, :3]

    @property
    def position(self) -> Tensor:
        """(B, 3) the cameras' places in the world, metres."""
        return -(self.rotation.mT @ self.view[:, :3, 3:]).squeeze(-1)

    def to(self, device: torch.device | str) -> Cameras:
        """The matrices on a device; the angles, which become words, stay on the CPU."""
        return replace(self, view=self.view.to(device), projection=self.projection.to(device))

    def clip(self, vertices: Tensor) -> Tensor:
        """(V, 3) or (B, V, 3) world positions -> (B, V, 4) clip coordinates; differentiable."""
        matrix = self.projection @ self.view
        if vertices.dim() == 2:
            vertices = vertices.expand(len(self), -1, -1)
        return vertices @ matrix[:, :, :3].mT + matrix[:, None, :, 3]


def join(cameras: Sequence[Cameras]) -> Cameras:
    """Several batches as one."""
    closeup = tuple(name for c in cameras for name in (c.closeup or ("",) * len(c)))
    return Cameras(
        torch.cat([c.view for c in cameras]),
        torch.cat([c.projection for c in cameras]),
        torch.cat([c.azimuth_deg for c in cameras]),
        torch.cat([c.elevation_deg for c in cameras]),
        closeup if any(closeup) else (),
    )


def orbit(
    azimuth_deg: Tensor | float,
    elevation_deg: Tensor | float = 0.0,
    distance_m: Tensor | float = 0.85,
    fov_deg: Tensor | float = 22.0,
    target: Tensor | tuple[float, float, float] = HEAD_CENTRE_M,
) -> Cameras:
    """Cameras on a sphere around `target`, upright, looking at it.

    Every number may be a float or (B,), `target` (3,) or (B, 3). `fov_deg` is the full vertical
    (and horizontal) angle. Elevation must stay inside (-90, 90) degrees, or "up" is undefined.
    """
    azimuth, elevation, distance, fov = torch.broadcast_tensors(
        *(torch.as_tensor(v, dtype=torch.float32).reshape(-1) for v in (azimuth_deg, elevation_deg)),
        *(torch.as_tensor(v, dtype=torch.float32).reshape(-1) for v in (distance_m, fov_deg)),
    )
    centre = torch.as_tensor(target, dtype=torch.float32).reshape(-1, 3)
    count = max(len(azimuth), len(centre))
    azimuth, elevation, distance, fov = (v.expand(count) for v in (azimuth, elevation, distance, fov))
    a, e = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    zero = torch.zeros_like(a)
    # The camera's axes in the world: at azimuth 0 it stands at -Y, its right is +X.
    right = torch.stack([a.cos(), a.sin(), zero], -1)
    back = torch.stack([a.sin() * e.cos(), -a.cos() * e.cos(), e.sin()], -1)
    up = torch.linalg.cross(back, right)
    rotation = torch.stack([right, up, back], 1)
    position = centre + distance[:, None] * back
    view = torch.eye(4).repeat(count, 1, 1)
    view[:, :3, :3] = rotation
    view[:, :3, 3] = -(rotation @ position[:, :, None]).squeeze(-1)
    return Cameras(view, perspective(fov, 0.1 * distance, distance + 1.0), azimuth, elevation)


def perspective(fov_deg: Tensor, near_m: Tensor, far_m: Tensor) -> Tensor:
    """(B,) each -> (B, 4, 4) OpenGL perspective of a square image."""
    focal = 1 / torch.tan(torch.deg2rad(fov_deg) / 2)
    matrix = torch.zeros(len(fov_deg), 4, 4)
    matrix[:, 0, 0] = focal
    matrix[:, 1, 1] = focal
    matrix[:, 2, 2] = (far_m + near_m) / (near_m - far_m)
    matrix[:, 2, 3] = 2 * far_m * near_m / (near_m - far_m)
    matrix[:, 3, 2] = -1
    return matrix


def distance_for(fov_deg: Tensor | float, frame_height_m: Tensor | float = FRAME_HEIGHT_M) -> Tensor:
    """The distance at which the frame is `frame_height_m` high in the target's plane."""
    half = torch.deg2rad(torch.as_tensor(fov_deg, dtype=torch.float32)) / 2
    return 0.5 * torch.as_tensor(frame_height_m) / torch.tan(half)


def sample_cameras(
    count: int,
    generator: torch.Generator,
    *,
    closeup: str | None = None,
    landmarks: Mapping[str, Tensor] | None = None,
) -> Cameras:
    """Random training views; every draw comes from `generator` (a CPU generator).

    Azimuths are stratified: three quarters of the views see the front half, the rest the back.
    Elevation -15 to 30 degrees, field of view 20 to 25 degrees, some jitter of frame and target.

    Args:
        closeup: None for the whole head, or "face", "mouth", "eyes".
        landmarks: name -> (3,) position in metres, as in the head template; a close-up looks at the
            mean of those whose names hold "mouth" or "eye" ("face": both of these and "nose").
            None aims at an average head.

    Raises:
        InputError: an unknown close-up, or landmarks without the part it needs.
    """
    if closeup is not None and closeup not in CLOSEUPS:
        raise InputError(f"unknown close-up {closeup!r}: choose one of {', '.join(CLOSEUPS)}")

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    order = torch.randperm(count, generator=generator)
    share = (order + torch.rand(count, generator=generator)) / max(count, 1)
    if closeup is None:
        height, centre = FRAME_HEIGHT_M, torch.tensor(HEAD_CENTRE_M)
        # Three quarters of the shares onto the front 180 degrees, one quarter onto the back.
        front = (share - 0.375) * 240.0
        back = 90.0 + (share - 0.75) * 720.0
        azimuth = torch.where(share < 0.75, front, back)
        azimuth = torch.where(azimuth > 180, azimuth - 360, azimuth)
        elevation = uniform(-15.0, 30.0)
    else:
        height, limit = CLOSEUPS[closeup]
        centre = _centre(closeup, landmarks)
        azimuth = (2 * share - 1) * limit
        elevation = uniform(-15.0, 20.0)
    fov = uniform(20.0, 25.0)
    frame = height * uniform(0.95, 1.12)
    target = centre + 0.02 * height * uniform(-1.0, 1.0, 3)
    cameras = orbit(azimuth, elevation, distance_for(fov, frame), fov, target)
    return replace(cameras, closeup=(closeup,) * count) if closeup else cameras


def _centre(closeup: str, landmarks: Mapping[str, Tensor] | None) -> Tensor:
    if landmarks is None:
        return torch.tensor(AVERAGE_CENTRES_M[closeup])
    keys = {"mouth": ("mouth",), "eyes": ("eye",), "face": ("mouth", "eye", "nose")}[closeup]
    used = [
        torch.as_tensor(position, dtype=torch.float32).detach().cpu()
        for name, position in landmarks.items()
        if any(key in name for key in keys)
    ]
    if not used:
        raise InputError(
            f"a close-up of the {closeup} needs landmarks named after it: give some or none at all"
        )
    return torch.stack(used).mean(0)


def view_text(cameras: Cameras) -> list[str]:
    """What each camera sees, in the words that the priors are trained with.

    Left and right are the head's own: a camera at azimuth +90 sees the left side.
    """
    texts = []
    for index, azimuth in enumerate(cameras.azimuth_deg.tolist()):
        turned = math.remainder(azimuth, 360.0)
        if abs(turned) <= 45:
            text = "front view"
        elif abs(turned) >= 135:
            text = "back view"
        else:
            text = "left side view" if turned > 0 else "right side view"
        part = cameras.closeup[index] if cameras.closeup else ""
        texts.append(f"{text}, close-up of the {part}" if part else text)
    return texts

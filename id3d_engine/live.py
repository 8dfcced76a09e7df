"""The head on its way, to whoever listens to a job: a picture and a surface. The work never depends on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .geometry.correspondence import neighbour_mean
from .job import Job, silent
from .png import encode_png
from .render.cameras import Cameras, orbit

PICTURE_PX = 160  # of one view; four make the picture
SURFACE_VERTICES = 20_000  # a draft has fewer; Blender swaps as many in some 10 ms
PAUSE_S, PAUSE_OF_COST = 2.0, 20.0


class LiveView:
    """Shows a job's head from time to time: two seconds apart, and twenty times what a look costs.

    Args:
        job: Whose listener is told.
        look: What the head looks like now: (4, 3, S, S) sRGB, from `four_views()`, and the surface as
            `Progress.surface` promises it, or nothing where that has not changed.
    """

    def __init__(self, job: Job, look: Callable[[], tuple[Tensor, Mapping[str, Tensor]]]) -> None:
        self._job, self._look = job, look
        self._listens = job.folder is not None and job.listener is not silent
        self._due = 0.0

    def offer(self) -> None:
        """`show`, if it is time."""
        if time.monotonic() >= self._due:
            self.show()

    @torch.no_grad()
    def show(self) -> None:
        """Look now."""
        if not self._listens:
            return
        began = time.monotonic()
        images, surface = self._look()
        rows = torch.cat([torch.cat(list(images[:2]), dim=2), torch.cat(list(images[2:]), dim=2)], dim=1)
        self._job.show(encode_png(rows.clamp(0, 1).permute(1, 2, 0).cpu().numpy()), surface)
        now = time.monotonic()
        self._due = now + max(PAUSE_S, PAUSE_OF_COST * (now - began))


def four_views(device: torch.device | str) -> Cameras:
    """Front, three-quarter, profile, and three-quarter from the other side."""
    return orbit(torch.tensor([0.0, 45.0, 90.0, -45.0])).to(device)


def surface_of(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> dict[str, Tensor]:
    """A surface as `Progress.surface` promises it."""
    vertices, triangles = coarser(vertices, triangles, SURFACE_VERTICES)
    return {"vertices": torch.from_numpy(vertices), "triangles": torch.from_numpy(triangles)}


def coarser(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32], most: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """At most `most` vertices, for looking at: those in one cell of a lattice become their mean.

    Half a step of Laplacian smoothing then unfolds most of what the merging has folded.
    """
    cell_m = 0.004
    while len(vertices) > most:
        places = np.floor(vertices / cell_m).astype(np.int64) @ np.array([1, 1 << 20, 1 << 40])
        _, cluster, counts = np.unique(places, return_inverse=True, return_counts=True)
        if len(counts) <= most:
            sums = [np.bincount(cluster, weights=vertices[:, axis]) for axis in range(3)]
            vertices = (np.stack(sums, 1) / counts[:, None]).astype(np.float32)
            triangles = cluster[triangles].astype(np.int32)
            a, b, c = triangles.T
            triangles = _once(triangles[(a != b) & (b != c) & (c != a)])
            vertices = _smoothed(vertices, triangles)
        cell_m *= 1.2
    return vertices, triangles


def _smoothed(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Every vertex of a triangle half-way to the mean of its neighbours."""
    halfway = (vertices + neighbour_mean(triangles, len(vertices)) @ vertices) / 2
    used = np.bincount(triangles.ravel(), minlength=len(vertices)) > 0
    return np.where(used[:, None], halfway, vertices).astype(np.float32)


def _once(triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """Of triangles on the same three vertices one, or none where they face both ways: a fold gone flat."""
    lowest = triangles.argmin(axis=1)
    a, b, c = (triangles[np.arange(len(triangles)), (lowest + k) % 3] for k in range(3))
    corners = np.stack([a, np.minimum(b, c), np.maximum(b, c)], axis=1)
    unique, group = np.unique(corners, axis=0, return_inverse=True)
    facing = np.bincount(group.reshape(-1), weights=np.where(b < c, 1, -1), minlength=len(unique))
    unique[facing < 0] = unique[facing < 0][:, [0, 2, 1]]
    return unique[facing != 0].astype(np.int32)

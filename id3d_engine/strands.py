"""Hair as strands: polylines that are rooted on a head and go where their roots go.

One drawn strand stands for many hairs, so it is thicker than one. The file, `hair.safetensors`, holds the
arrays of `Strands` by name and, as JSON under the metadata key `hair`, its pigments for hair shaders.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

FILE = "hair.safetensors"
SCALP, BEARD, BROW, LASH = range(4)
TIP = 0.3  # the tip's radius over the root's
_ARRAYS = {"points": np.float32, "root_uv": np.float32, "radius": np.float32, "colour": np.float32,
           "kind": np.uint8}  # fmt: skip
_PIGMENTS = ("melanin", "redness", "grey", "curl")


@dataclass(frozen=True, eq=False)
class Strands:
    """S strands of K points each.

    Attributes:
        points: (S, K, 3) float32, metres in the head's axes, the root first.
        root_uv: (S, 2) float32, where the root lies in the head's UV layout.
        radius: (S,) float32 metres at the root; at the tip it is `TIP` of that.
        colour: (S, 3) float32 sRGB in [0, 1].
        kind: (S,) uint8: `SCALP`, `BEARD`, `BROW` or `LASH`.
        melanin: Of the hair: 0 platinum blond, 1 black.
        redness: 0 ash, 1 red.
        grey: 0 none, 1 white; `colour` has it already.
        curl: 0 straight, 1 tightly curled.
    """

    points: NDArray[np.float32]
    root_uv: NDArray[np.float32]
    radius: NDArray[np.float32]
    colour: NDArray[np.float32]
    kind: NDArray[np.uint8]
    melanin: float
    redness: float
    grey: float
    curl: float

    def __len__(self) -> int:
        return len(self.points)

    def only(self, chosen: NDArray) -> Strands:
        """The strands of an index or a mask."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in _ARRAYS})

    def problems(self) -> list[str]:
        """What is wrong with the arrays, one sentence each; empty if nothing is."""
        count = len(self.points)
        due = {"root_uv": (count, 2), "radius": (count,), "colour": (count, 3), "kind": (count,)}
        found = [
            f"The strands' {name} has shape {getattr(self, name).shape} where {shape} is due."
            for name, shape in due.items()
            if getattr(self, name).shape != shape
        ]
        if self.points.ndim != 3 or self.points.shape[1] < 2 or self.points.shape[2] != 3 or not count:
            found.append(f"The strands' points have shape {self.points.shape} where (S, K, 3) is due.")
        if found:
            return found
        checks = {
            "A strand's point is not a finite number.": np.isfinite(self.points).all(),
            "A strand's root is outside the UV layout.": _within(self.root_uv),
            "A strand's colour is outside 0 to 1.": _within(self.colour),
            "A strand has no thickness.": bool((self.radius > 0).all()),
            "A strand's kind is none of scalp, beard, brow and lash.": self.kind.max() <= LASH,
        }
        return [sentence for sentence, good in checks.items() if not good]

    def write(self, path: Path) -> None:
        """Write the file; the same strands give the same bytes."""
        from safetensors.numpy import save_file

        arrays = {k: np.ascontiguousarray(getattr(self, k), dtype) for k, dtype in _ARRAYS.items()}
        save_file(arrays, path, metadata={"hair": json.dumps({k: getattr(self, k) for k in _PIGMENTS})})

    @classmethod
    def read(cls, path: Path) -> Strands:
        """Read the file.

        Raises:
            InputError: it is damaged or something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as file:
                about = json.loads((file.metadata() or {})["hair"])
                found: dict[str, Any] = {k: file.get_tensor(k).astype(d) for k, d in _ARRAYS.items()}
            return cls(**found | {name: float(about[name]) for name in _PIGMENTS})
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error


def joined(parts: Sequence[Strands]) -> Strands:
    """Strands of the same head and K as one; the pigments are the first one's."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return replace(parts[0], **arrays)


def _within(values: NDArray) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


@dataclass(frozen=True, eq=False)
class Anchors:
    """Where S roots lie on a mesh: (S, 3) vertices of a triangle each and (S, 3) barycentric weights."""

    corners: NDArray[np.int64]
    weights: NDArray[np.float64]

    def places(self, vertices: NDArray[np.floating]) -> NDArray[np.float64]:
        """(S, 3) the roots on the mesh's (V, 3) vertices."""
        return np.einsum("sk,skc->sc", self.weights, vertices[self.corners].astype(np.float64))

    def frames(self, vertices: NDArray[np.floating]) -> NDArray[np.float64]:
        """(S, 3, 3) the root triangles' axes as columns: a side, what is square to it, the normal."""
        a, b, c = np.moveaxis(vertices[self.corners].astype(np.float64), 1, 0)
        first = _unit(b - a)
        normal = _unit(np.cross(b - a, c - a))
        return np.stack([first, np.cross(normal, first), normal], axis=2)


def anchors(
    root_uv: NDArray[np.floating], triangles: NDArray[np.integer], triangle_uv: NDArray[np.floating]
) -> Anchors:
    """The triangles under (S, 2) places of a UV layout, given (T, 3) triangles and their (T, 3, 2) UVs.

    A place that is just outside of every triangle goes to the nearest.
    """
    from scipy.spatial import cKDTree

    corner = triangle_uv.astype(np.float64)
    u, v = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    real = np.flatnonzero(np.abs(area) > 1e-14)
    tree = cKDTree(corner[real].mean(axis=1))
    place = root_uv.astype(np.float64)
    chosen, weights = np.zeros(len(place), np.int64), np.full((len(place), 3), -np.inf)
    # A large triangle's middle can be far from a place in it, with many small ones between.
    for candidates in (16, 400):
        open_ = np.flatnonzero(weights.min(axis=1) < -1e-6)
        if not len(open_):
            break
        near = real[tree.query(place[open_], k=min(candidates, len(real)))[1].reshape(len(open_), -1)]
        w = place[open_, None] - corner[near, 0]
        second = (w[..., 0] * v[near, 1] - w[..., 1] * v[near, 0]) / area[near]
        third = (u[near, 0] * w[..., 1] - u[near, 1] * w[..., 0]) / area[near]
        found = np.stack([1 - second - third, second, third], axis=2)
        best = found.min(axis=2).argmax(axis=1)[:, None]
        weights[open_] = np.take_along_axis(found, best[..., None], 1)[:, 0]
        chosen[open_] = np.take_along_axis(near, best, 1)[:, 0]
    weights = np.clip(weights, 0, None)
    return Anchors(triangles[chosen].astype(np.int64), weights / weights.sum(axis=1, keepdims=True))


def posed(
    strands: Strands, roots: Anchors, before: NDArray[np.floating], after: NDArray[np.floating]
) -> NDArray[np.float32]:
    """(S, K, 3) points of strands whose head goes from (V, 3) vertices to others.

    Scalp hair follows its root's place: turned with it, the ends of long hair would swing about. What is
    short turns with the root's triangle, so that lashes close with their lid.
    """
    base = roots.places(before)[:, None]
    reach = strands.points - base
    short = strands.kind != SCALP
    turn = roots.frames(after)[short] @ np.swapaxes(roots.frames(before)[short], 1, 2)
    reach[short] = np.einsum("sij,skj->ski", turn, reach[short])
    return (roots.places(after)[:, None] + reach).astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-20)

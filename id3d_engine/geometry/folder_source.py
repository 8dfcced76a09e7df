"""A user's own scans as heads of the template's topology.

    FOLDER/SUBJECT/neutral.obj          any format that trimesh reads, textured or not
    FOLDER/SUBJECT/smile.obj            an expression's or an ARKit unit's name
    FOLDER/SUBJECT/subject.json         optional: caption, attributes, landmarks

`landmarks` maps names of the template's landmarks to points [x, y, z] in the neutral scan's own
coordinates; with four or more of them a scan may have any unit, origin and axes. Without, it must
already be in metres, Z up, face to -Y, origin at the neck's base. All scans of a subject share one
coordinate system.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..expressions import ARKIT_NAMES, EXPRESSIONS
from ..rig.units import transfer_units
from ..template import HeadTemplate, per_triangle
from .closest import Surface, Target
from .expressions_fit import fit_expression
from .wrap import Settings, wrap

MESH_FORMATS = (".obj", ".ply", ".glb", ".gltf", ".stl", ".off")
RECIPES: dict[str, Mapping[str, float]] = {e.name: e.recipe for e in EXPRESSIONS} | {
    name: {name: 1.0} for name in ARKIT_NAMES
}
# A scan starts far from the mean head and is denser and more exact than a tetrahedral grid.
SCAN = Settings(shape_rounds=20, rounds=10, shortest_m=0.010, reach_m=0.05, agreement=0.3)
UNITS_M = (1.0, 0.1, 0.01, 0.001, 0.0254)
TEXTURE_REACH_M = 0.006


@dataclass(frozen=True, eq=False)
class ScannedHead:
    """One subject on the template's topology.

    Attributes:
        name: The subject's folder.
        neutral: (V, 3) float32 metres, in this project's axes.
        expressions: Name -> (V, 3) float32 offsets.
        albedo_srgb: (T, T, 3) float32 in [0, 1] in the template's UVs, or None without a texture.
        painted: (T, T) bool, texels that the scan's texture reached, or None.
        caption: From subject.json, or empty.
        attributes: From subject.json, by name.
    """

    name: str
    neutral: NDArray[np.float32]
    expressions: Mapping[str, NDArray[np.float32]]
    albedo_srgb: NDArray[np.float32] | None
    painted: NDArray[np.bool_] | None
    caption: str = ""
    attributes: Mapping[str, float] = field(default_factory=dict)


def subjects(folder: Path) -> list[Path]:
    """The folder's subjects, sorted: every folder with a neutral scan.

    Raises:
        InputError: there is none.
    """
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [p for p in inside if "neutral" in _meshes(p)]
    if not found:
        raise InputError(
            f"{folder} holds no scans: give a folder with SUBJECT/neutral.obj "
            f"(or {', '.join(MESH_FORMATS[1:])})"
        )
    return found


def read_subject(template: HeadTemplate, folder: Path, *, texture_size: int = 1024) -> ScannedHead:
    """Wrap the template onto all scans of one subject.

    Raises:
        InputError: a mesh cannot be read or is named after no expression, subject.json is damaged,
            or the scan lies nowhere near a head (give landmarks).
    """
    meshes = _meshes(folder)
    if "neutral" not in meshes:
        raise InputError(f"{folder} has no neutral scan: add neutral.obj")
    unknown = sorted(set(meshes) - {"neutral", *RECIPES})
    if unknown:
        raise InputError(f"{folder} names no expression with {unknown[0]!r}: use one of {', '.join(RECIPES)}")
    about = _about(folder / "subject.json")
    scan = _read(meshes["neutral"])
    place = Placement.fit(template, about.get("landmarks", {}), meshes["neutral"])
    surface = place.apply(scan)
    neutral = wrap(template, place.start(template), surface, settings=SCAN)
    units = transfer_units(template, neutral)
    expressions = {
        name: fit_expression(template, neutral, units, RECIPES[name], place.apply(_read(path)))
        for name, path in meshes.items()
        if name != "neutral"
    }
    albedo, painted = _texture(template, neutral, surface, scan, texture_size)
    attributes = {k: float(v) for k, v in about.get("attributes", {}).items()}
    return ScannedHead(
        folder.name, neutral, expressions, albedo, painted, str(about.get("caption", "")), attributes
    )


@dataclass(frozen=True, eq=False)
class Placement:
    """From a scan's coordinates into this project's: `scale * points @ rotation.T + shift`.

    Attributes:
        scale: Metres in a scan's unit. rotation: (3, 3). shift: (3,) metres.
        marks: Landmark name -> (3,) metres, where given.
    """

    scale: float
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]
    marks: Mapping[str, NDArray[np.float64]]

    @classmethod
    def fit(cls, template: HeadTemplate, landmarks: Mapping[str, Any], path: Path) -> Placement:
        """By landmarks onto the mean head (Umeyama 1991), the unit being the likeliest real one.

        Raises:
            InputError: fewer than four landmarks, an unknown one, or one that is no point.
        """
        if not landmarks:
            return cls(1.0, np.eye(3), np.zeros(3), {})
        unknown = sorted(set(landmarks) - set(template.landmarks))
        if unknown or len(landmarks) < 4:
            wrong = f"{unknown[0]!r} is none" if unknown else f"{len(landmarks)} are too few"
            raise InputError(
                f"landmarks of {path} ({wrong}): give four or more of {', '.join(template.landmarks)}"
            )
        try:
            given = np.array([np.asarray(landmarks[k], float).reshape(3) for k in landmarks])
        except ValueError as error:
            raise InputError(f"a landmark of {path} is no point: write [x, y, z]") from error
        wanted = template.vertices[[template.landmarks[k] for k in landmarks]].astype(np.float64)
        a, b = given - given.mean(axis=0), wanted - wanted.mean(axis=0)
        u, values, vt = np.linalg.svd(a.T @ b)
        flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        rotation = (u @ np.diag(flip) @ vt).T
        best = float((values * flip).sum() / (a**2).sum())
        scale = min(UNITS_M, key=lambda unit: abs(np.log(unit / best)))
        shift = wanted.mean(axis=0) - scale * rotation @ given.mean(axis=0)
        marks = {k: scale * rotation @ p + shift for k, p in zip(landmarks, given, strict=True)}
        return cls(scale, rotation, shift, marks)

    def apply(self, mesh: Any) -> Surface:
        """A trimesh mesh as a surface in metres."""
        points = self.scale * np.asarray(mesh.vertices, float) @ self.rotation.T + self.shift
        return points, np.asarray(mesh.faces, np.int64)

    def start(self, template: HeadTemplate) -> NDArray[np.float32]:
        """(V, 3) the head of the template's space whose landmarks come closest to the scan's."""
        if not self.marks:
            return template.vertices
        index = [template.landmarks[k] for k in self.marks]
        basis = template.basis[:, index].reshape(len(template.basis), -1).astype(np.float64)
        rest = (np.array(list(self.marks.values())) - template.vertices[index]).ravel()
        precision = 1.0 / 0.003**2  # landmarks are clicked to about 3 mm
        system = precision * basis @ basis.T + np.eye(len(basis))
        return template.shape(np.linalg.solve(system, precision * basis @ rest))


def _texture(
    template: HeadTemplate, neutral: NDArray[np.float32], surface: Surface, scan: Any, size: int
) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_] | None]:
    """The scan's texture in the template's UVs; skin texels only, those that the scan reaches."""
    import torch

    from ..render.bake import dilate, uv_fragments
    from ..render.raster import interpolate

    uv, image = getattr(scan.visual, "uv", None), _image(scan)
    if uv is None or image is None:
        return None, None
    fragments = uv_fragments(torch.from_numpy(template.triangle_uv), size)
    triangles = torch.from_numpy(template.triangles)
    positions = interpolate(torch.from_numpy(neutral), triangles, fragments)[0].permute(1, 2, 0).numpy()
    inside = fragments.mask[0].numpy()
    hit = Target(surface).closest(positions[inside], TEXTURE_REACH_M)
    faces = np.asarray(scan.faces)[hit.triangle]
    place = np.einsum("pk,pkc->pc", hit.weights, np.asarray(uv, float)[faces]) % 1.0
    row = np.clip(((1.0 - place[:, 1]) * image.shape[0]).astype(int), 0, image.shape[0] - 1)
    column = np.clip((place[:, 0] * image.shape[1]).astype(int), 0, image.shape[1] - 1)
    part = per_triangle(template.part)[fragments.triangle_id[0].numpy()[inside]]
    painted = np.zeros((size, size), bool)
    painted[inside] = hit.found & (part == 0)
    albedo = np.zeros((size, size, 3), np.float32)
    albedo[inside] = image[row, column] / 255.0
    grown = dilate(torch.from_numpy(albedo).permute(2, 0, 1), torch.from_numpy(painted), 8)
    return grown.permute(1, 2, 0).numpy().copy(), painted


def _image(scan: Any) -> NDArray[np.float32] | None:
    material = getattr(scan.visual, "material", None)
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    return None if image is None else np.asarray(image.convert("RGB"), np.float32)


def _meshes(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in MESH_FORMATS}


def _read(path: Path) -> Any:
    import trimesh

    try:
        mesh = trimesh.load(path, force="mesh", process=False)
    except (ValueError, OSError, KeyError, IndexError, NotImplementedError) as error:
        raise InputError(f"{path} cannot be read ({error}): export it again as OBJ, PLY or GLB") from error
    if len(getattr(mesh, "faces", ())) == 0:
        raise InputError(f"{path} has no faces: export it again as a triangle mesh")
    return mesh


def _about(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): write a JSON object") from error
    if not isinstance(about, dict):
        raise InputError(f"{path} is no JSON object: write one with caption, attributes, landmarks")
    return about

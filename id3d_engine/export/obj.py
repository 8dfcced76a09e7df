"""A head as OBJ + MTL + PNG: quads kept, one vertex list, Y up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..head import TEXTURE_KINDS, Head
from ..png import encode_png
from .axes import to_y_up
from .surface import PART_NAMES
from .whole import write_whole

_MTL_LINES = {
    "albedo": "map_Kd",
    "roughness": "map_Pr",
    "specular": "map_Ks",
    "normal": "norm",
}


def write_obj(head: Head, path: Path, expressions: Iterable[str] = ()) -> list[Path]:
    """Write `NAME.obj`, `NAME.mtl` and `NAME_albedo.png` ... beside it.

    Args:
        head: The neutral head and its maps.
        path: The neutral head's file.
        expressions: Shape keys that also become `NAME_EXPRESSION.obj`, with the same vertex order,
            so that any program can make blend shapes of them.

    Returns:
        The files, the neutral one first.

    Raises:
        InputError: the head has no shape key of that name, or see `write_whole`.
    """
    poses = {path: head.vertices}
    for name in expressions:
        poses[path.with_name(f"{path.stem}_{name}.obj")] = head.posed(name)
    material_file = path.with_suffix(".mtl")
    materials = _write_materials(head, material_file)  # first: a mesh never names files that are not there
    body = _faces(head, path.stem)
    for target, vertices in poses.items():
        lines = [f"mtllib {material_file.name}", f"o {target.stem}"]
        lines += _rows("v", to_y_up(vertices), "%.7f")
        write_whole(target, ("\n".join(lines + body) + "\n").encode())
    return [*poses, *materials]


def _faces(head: Head, name: str) -> list[str]:
    uv, corner = np.unique(head.uv.reshape(-1, 2), axis=0, return_inverse=True)
    corner = corner.reshape(-1, 4) + 1
    lines = [*_rows("vt", uv, "%.6f"), "s 1"]
    for value, part in PART_NAMES.items():
        chosen = np.flatnonzero(head.part == value)
        if not len(chosen):
            continue
        lines += [f"g {part}", f"usemtl {name}_{part}"]
        for face in chosen:
            indices = head.faces[face]
            count = 3 if indices[3] == indices[2] else 4
            pairs = zip(indices[:count] + 1, corner[face, :count], strict=True)
            lines.append("f " + " ".join(f"{v}/{t}" for v, t in pairs))
    return lines


def _rows(keyword: str, values: NDArray[np.floating], number: str) -> list[str]:
    pattern = " ".join([keyword, *[number] * values.shape[1]])
    return [pattern % tuple(row) for row in values.tolist()]


def _write_materials(head: Head, path: Path) -> list[Path]:
    written, maps = [path], []
    for kind in TEXTURE_KINDS:
        if kind in head.textures:
            image = path.with_name(f"{path.stem}_{kind}.png")
            write_whole(image, encode_png(head.textures[kind]))
            maps.append(f"{_MTL_LINES[kind]} {image.name}")
            written.append(image)
    parts = [name for value, name in PART_NAMES.items() if (head.part == value).any()]
    blocks = [
        "\n".join([f"newmtl {path.stem}_{part}", "Kd 1 1 1", "Ks 0.5 0.5 0.5", "Pr 0.5", *maps])
        for part in parts
    ]
    write_whole(path, ("\n\n".join(blocks) + "\n").encode())
    return written

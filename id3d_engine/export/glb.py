"""A head as GLB: morph targets with names, PBR maps, `KHR_materials_specular`.

One mesh with one primitive a part (skin, eyes, mouth), so that viewers can treat eyes apart. Morph
targets carry the shape keys' names in `mesh.extras.targetNames`, which Blender, three.js and game
engines read. Strands of hair are a second mesh, see `glb_hair`.

Specular: our maps hold Blender's *Specular IOR Level*, where 0.5 means "as the index of refraction
says". glTF's `specularFactor` calls the same thing 1.0 and stores it in the texture's alpha, so
alpha = 2 * level. A level over 0.5 is more than glTF's factor can say and is clipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..creases import creased
from ..head import Head
from ..png import encode_png
from .axes import flip_v, to_y_up
from .glb_buffer import ELEMENT_ARRAY_BUFFER, GlbBuffer
from .glb_hair import hair_material, hair_mesh
from .surface import SplitPart, smooth_normals, split_parts
from .whole import write_whole

# Offsets below a tenth of a micrometre are rounding, and would make every sparse accessor dense.
_STILL_M = 1e-7
_LINEAR_CLAMP = {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}


def write_glb(head: Head, path: Path, *, morph_normals: bool = False) -> Path:
    """Write `to_glb` to a file; raises as `write_whole` does."""
    write_whole(path, to_glb(head, path.stem, morph_normals=morph_normals))
    return path


def to_glb(head: Head, name: str = "head", *, morph_normals: bool = False) -> bytes:
    """The head as GLB bytes; the same head gives the same bytes.

    Args:
        head: Its neutral maps are embedded; a missing map is left out.
        name: The node's and mesh's name.
        morph_normals: Also store how normals change, for renderers that do not recompute them.
    """
    buffer, head = GlbBuffer(), creased(head)
    parts = split_parts(head)
    textures = _Textures(buffer, head)
    mesh: dict[str, Any] = {
        "name": name,
        "primitives": _primitives(head, parts, buffer, morph_normals),
    }
    if head.names:
        mesh |= {"weights": [0.0] * len(head.names), "extras": {"targetNames": list(head.names)}}
    materials = [textures.material(f"{name}_{part.name}") for part in parts]
    hair = hair_mesh(head.strands, name, len(parts), buffer)
    nodes, meshes = [{"name": name, "mesh": 0}], [mesh]
    if hair is not None:
        materials.append(hair_material(name))
        nodes = [{"name": name, "mesh": 0, "children": [1]}, {"name": hair["name"], "mesh": 1}]
        meshes.append(hair)
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "id3d_engine"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
        "meshes": meshes,
        "materials": materials,
    }
    images = textures.images
    if images:
        document |= {
            "samplers": [_LINEAR_CLAMP],
            "images": images,
            "textures": [{"sampler": 0, "source": index} for index in range(len(images))],
        }
    if "specular" in head.textures:
        document["extensionsUsed"] = ["KHR_materials_specular"]
    return buffer.finish(document)


class _Textures:
    """Embeds each map once and describes materials that share them."""

    def __init__(self, buffer: GlbBuffer, head: Head) -> None:
        self.images: list[dict[str, Any]] = []
        maps = head.textures
        self._albedo = self._embed(buffer, "albedo", maps.get("albedo"))
        self._normal = self._embed(buffer, "normal", maps.get("normal"))
        self._roughness = self._embed(buffer, "roughness", _metallic_roughness(maps.get("roughness")))
        self._specular = self._embed(buffer, "specular", _specular_alpha(maps.get("specular")))

    def material(self, name: str) -> dict[str, Any]:
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.5}
        material: dict[str, Any] = {"name": name, "pbrMetallicRoughness": surface}
        if self._albedo is not None:
            surface["baseColorTexture"] = self._albedo
        if self._roughness is not None:
            surface |= {"roughnessFactor": 1.0, "metallicRoughnessTexture": self._roughness}
        if self._normal is not None:
            material["normalTexture"] = self._normal
        if self._specular is not None:
            material["extensions"] = {"KHR_materials_specular": {"specularTexture": self._specular}}
        return material

    def _embed(self, buffer: GlbBuffer, name: str, image: NDArray[np.uint8] | None) -> dict[str, int] | None:
        if image is None:
            return None
        view = buffer.view(encode_png(image))
        self.images.append({"name": name, "mimeType": "image/png", "bufferView": view})
        return {"index": len(self.images) - 1}


def _metallic_roughness(roughness: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    """(T, T) -> (T, T, 3): G is roughness, B is metalness (none), R is unused and kept white."""
    if roughness is None:
        return None
    return np.stack([np.full_like(roughness, 255), roughness, np.zeros_like(roughness)], axis=-1)


def _specular_alpha(specular: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    """(T, T) Blender level -> (T, T, 4) white with alpha = 2 * level, see the module's text."""
    if specular is None:
        return None
    alpha = np.minimum(specular.astype(np.uint16) * 2, 255).astype(np.uint8)
    return np.concatenate([np.full((*alpha.shape, 3), 255, np.uint8), alpha[..., None]], axis=-1)


def _primitives(
    head: Head, parts: list[SplitPart], buffer: GlbBuffer, morph_normals: bool
) -> list[dict[str, Any]]:
    normals = smooth_normals(head.vertices, head.triangles)
    offsets = np.where(np.abs(head.shape_keys) < _STILL_M, np.float32(0), head.shape_keys)
    turns = None
    if morph_normals:
        turns = [smooth_normals(head.vertices + o, head.triangles) - normals for o in head.shape_keys]
    primitives = []
    for index, part in enumerate(parts):
        narrow = np.uint16 if len(part.source) <= 65535 else np.uint32
        primitive: dict[str, Any] = {
            "attributes": {
                "POSITION": buffer.accessor(to_y_up(head.vertices[part.source]), bounds=True),
                "NORMAL": buffer.accessor(to_y_up(normals[part.source])),
                "TEXCOORD_0": buffer.accessor(flip_v(part.uv)),
            },
            "indices": buffer.accessor(part.triangles.reshape(-1).astype(narrow), ELEMENT_ARRAY_BUFFER),
            "material": index,
        }
        targets = []
        for key, offset in enumerate(offsets):
            target = {"POSITION": buffer.sparse_accessor(to_y_up(offset[part.source]), bounds=True)}
            if turns is not None:
                target["NORMAL"] = buffer.sparse_accessor(to_y_up(turns[key][part.source]))
            targets.append(target)
        if targets:
            primitive["targets"] = targets
        primitives.append(primitive)
    return primitives

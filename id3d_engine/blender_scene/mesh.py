"""Bundle arrays -> one mesh object, by bulk writes only."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

from ..creases import creases
from .bundle import Bundle

UV_MAP = "UVMap"


def build_mesh_object(bundle: Bundle) -> bpy.types.Object:
    """The head's object, not yet in any collection.

    Smooth shaded; `material_index` is the part (0 skin, 1 eyes, 2 mouth); shape keys are relative
    to Basis with value 0 and slider 0..1.
    """
    mesh = bpy.data.meshes.new(bundle.name)
    keep = kept_corners(bundle.faces)
    starts = np.concatenate([[0], np.cumsum(keep.sum(axis=1))[:-1]]).astype(np.int32)

    mesh.vertices.add(len(bundle.vertices))
    mesh.vertices.foreach_set("co", bundle.vertices.ravel())
    mesh.loops.add(int(keep.sum()))
    mesh.loops.foreach_set("vertex_index", bundle.faces[keep])
    mesh.polygons.add(len(bundle.faces))
    mesh.polygons.foreach_set("loop_start", starts)
    mesh.polygons.foreach_set("material_index", bundle.part.astype(np.int32))
    uv_layer = mesh.uv_layers.new(name=UV_MAP, do_init=False)
    uv_layer.uv.foreach_set("vector", bundle.uv[keep].ravel())
    mesh.update(calc_edges=True)
    mesh.validate(clean_customdata=False)
    mesh.shade_smooth()
    _mark_sharp(mesh, creases(bundle.vertices, bundle.faces, bundle.uv))

    head = bpy.data.objects.new(bundle.name, mesh)
    _add_shape_keys(head, bundle)
    return head


def kept_corners(faces: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(F, 4) which corners of a quad exist: all, or the first three where the last index repeats."""
    keep = np.ones(faces.shape, bool)
    keep[:, 3] = faces[:, 3] != faces[:, 2]
    return keep


def _mark_sharp(mesh: bpy.types.Mesh, edges: NDArray[np.int32]) -> None:
    ends = np.empty(2 * len(mesh.edges), np.int32)
    mesh.edges.foreach_get("vertices", ends)
    count = len(mesh.vertices)
    places = np.sort(ends.reshape(-1, 2), axis=1).astype(np.int64) @ (count, 1)
    mesh.edges.foreach_set("use_edge_sharp", np.isin(places, edges.astype(np.int64) @ (count, 1)))


def _add_shape_keys(head: bpy.types.Object, bundle: Bundle) -> None:
    if not bundle.names:
        return
    basis = head.shape_key_add(name="Basis", from_mix=False)
    basis.value = 0.0  # since Blender 5.0 a new key, even Basis, starts at 1
    for name, offsets in zip(bundle.names, bundle.shape_keys, strict=True):
        key = head.shape_key_add(name=name, from_mix=False)
        key.slider_min, key.slider_max, key.value = 0.0, 1.0, 0.0
        key.relative_key = basis
        key.points.foreach_set("co", (bundle.vertices + offsets).ravel())
    head.data.shape_keys.name = bundle.name
    head.active_shape_key_index = 0

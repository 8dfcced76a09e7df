"""Strands -> hair curves on the head: objects that Blender renders as hair and that can be combed.

Each object is a child of the head and lies on its surface (`surface`, `surface_uv_coordinate`). A
geometry-nodes modifier, as Blender's own Add > Curve > Empty Hair makes it, lets the hair follow
the head's shape keys; it needs the attribute `rest_position` on the head's evaluated mesh.
"""

from __future__ import annotations

from itertools import pairwise

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from ..strands import BEARD, BROW, LASH, SCALP, TIP, Strands
from .hair_material import ABSORPTION, COLOUR, absorption_of, build_hair_material
from .mesh import UV_MAP

# Suffix of an object's name -> the kinds of strands in it.
PARTS = {"hair": (SCALP,), "beard": (BEARD,), "brows": (BROW, LASH)}

_MARK = "id3d_hair"  # custom property of hair objects: their suffix


def build_hair(head: bpy.types.Object, strands: Strands) -> list[bpy.types.Object]:
    """One object for each of `PARTS` that has strands, as children of `head`, in its collection.

    Args:
        head: In a collection; its mesh has `UV_MAP`.
        strands: On its surface.
    """
    head.add_rest_position_attribute = True
    follow = _following(f"{head.name}_hair")
    made = []
    for suffix, kinds in PARTS.items():
        part = strands.only(np.isin(strands.kind, kinds))
        if not len(part):
            continue
        thing = _object(f"{head.name}_{suffix}", part)
        thing.data.surface, thing.data.surface_uv_map = head, UV_MAP
        thing.modifiers.new("Surface Deform", "NODES").node_group = follow
        thing.parent = head
        thing[_MARK] = suffix
        # What is appended, as from the Asset Browser, brings along what it points to, but no children.
        head[f"id3d_object_{suffix}"] = thing
        head.users_collection[0].objects.link(thing)
        made.append(thing)
    return made


def hair_of(head: bpy.types.Object) -> list[bpy.types.Object]:
    """The head's hair objects that are still there."""
    return [child for child in head.children if _MARK in child]


def copy_hair(head: bpy.types.Object, other: bpy.types.Object) -> None:
    """Give `other`, a copy of `head` in a collection, hair like the head's, as it is shown there."""
    for part in hair_of(head):
        twin = part.copy()
        twin.data = part.data.copy()
        twin.parent = twin.data.surface = other
        other.users_collection[0].objects.link(twin)


def bounds(head: bpy.types.Object) -> tuple[Vector, Vector]:
    """Lowest and highest corner of the head with its hair, in the head's own axes."""
    corners = [Vector(corner) for corner in head.bound_box]
    for part in hair_of(head):
        place = part.matrix_parent_inverse @ part.matrix_basis
        corners += [place @ Vector(corner) for corner in part.bound_box]
    low, high = (Vector(map(choose, *corners)) for choose in (min, max))
    return low, high


def _object(name: str, strands: Strands) -> bpy.types.Object:
    count, length = strands.points.shape[:2]
    colour = _linear(strands.colour)
    curves = bpy.data.hair_curves.new(name)
    curves.add_curves([length] * count)
    curves.attributes["position"].data.foreach_set("vector", strands.points.ravel())
    taper = np.linspace(1.0, TIP, length, dtype=np.float32)
    opaque = np.concatenate([colour, np.ones((count, 1), np.float32)], axis=1)
    for attribute, kind, domain, field, values in (
        ("radius", "FLOAT", "POINT", "value", strands.radius[:, None] * taper),
        ("surface_uv_coordinate", "FLOAT2", "CURVE", "vector", strands.root_uv),
        (COLOUR, "FLOAT_COLOR", "CURVE", "color", opaque),
        (ABSORPTION, "FLOAT_VECTOR", "CURVE", "vector", absorption_of(colour)),
    ):
        layer = curves.attributes.new(attribute, kind, domain)
        layer.data.foreach_set(field, values.astype(np.float32, copy=False).ravel())
    red, green, blue = colour.mean(axis=0).tolist()
    curves.materials.append(build_hair_material(name, (red, green, blue)))
    return bpy.data.objects.new(name, curves)


def _following(name: str) -> bpy.types.NodeTree:
    """The node group that moves hair with the surface that it is on."""
    group = bpy.data.node_groups.new(name, "GeometryNodeTree")
    group.is_modifier = True
    for direction in ("INPUT", "OUTPUT"):
        group.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    nodes = [
        group.nodes.new(kind)
        for kind in ("NodeGroupInput", "GeometryNodeDeformCurvesOnSurface", "NodeGroupOutput")
    ]
    for place, node in enumerate(nodes):
        node.location = (200.0 * place, 0.0)
    for before, after in pairwise(nodes):
        group.links.new(before.outputs[0], after.inputs[0])
    return group


def _linear(colour: NDArray[np.float32]) -> NDArray[np.float32]:
    # IEC 61966-2-1, sRGB's transfer function.
    low = colour / 12.92
    high = ((colour + 0.055) / 1.055) ** 2.4
    return np.where(colour <= 0.04045, low, high).astype(np.float32)

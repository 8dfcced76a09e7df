"""Principled materials of a head, all from one set of maps.

Nodes are found by type and sockets by name: positions change between Blender versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bpy

from .images import COLOUR_SPACES, load_image
from .mesh import UV_MAP

_SOCKETS = {"albedo": "Base Color", "roughness": "Roughness", "specular": "Specular IOR Level"}

# Mean free paths of red, green and blue in Caucasian skin over the red one's 3.67 mm
# (Jensen et al., "A Practical Model for Subsurface Light Transport", SIGGRAPH 2001, table of skin1).
_SKIN_RADIUS, _SKIN_SCALE_M = (1.0, 0.37, 0.19), 0.00367


@dataclass(frozen=True)
class Surface:
    """What a part has besides its maps.

    Attributes:
        name: Suffix of the material's name.
        inputs: Socket name -> value.
        roughness_map: Whether the roughness map applies.
    """

    name: str
    inputs: Mapping[str, float | tuple[float, ...]]
    roughness_map: bool = True


# Indexed by `Bundle.part`. Subsurface is kept partial: full weight would wash out freckles and brows.
SURFACES = (
    Surface(
        "skin",
        {
            "Roughness": 0.5,
            "Subsurface Weight": 0.25,
            "Subsurface Radius": _SKIN_RADIUS,
            "Subsurface Scale": _SKIN_SCALE_M,
        },
    ),
    # The tear film: a sharp coat over the eye's own, duller white.
    Surface("eyes", {"Roughness": 0.3, "Coat Weight": 1.0, "Coat Roughness": 0.03, "Coat IOR": 1.376}, False),
    Surface("mouth", {"Roughness": 0.3, "Coat Weight": 0.3, "Coat Roughness": 0.15}),
)


def build_materials(
    name: str, textures: Mapping[str, Path], *, pack: bool = True
) -> list[bpy.types.Material]:
    """One material a part, in the order of `Bundle.part`; they share their images.

    Args:
        name: Prefix of the new data-blocks' names.
        textures: kind -> PNG file; a kind that is missing leaves the socket's value.
        pack: Keep the files in the .blend; otherwise the images go on using them where they are.
    """
    images = {
        kind: load_image(f"{name}_{kind}", textures[kind], kind, pack=pack)
        for kind in COLOUR_SPACES
        if kind in textures
    }
    return [_material(f"{name}_{surface.name}", surface, images) for surface in SURFACES]


def principled(material: bpy.types.Material) -> bpy.types.Node:
    """The material's Principled BSDF node."""
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def _material(name: str, surface: Surface, images: Mapping[str, bpy.types.Image]) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True  # always so from 5.0 on, where setting it is deprecated
    shader = principled(material)
    for socket, value in surface.inputs.items():
        shader.inputs[socket].default_value = value
    x, y = shader.location
    for row, (kind, image) in enumerate(images.items()):
        if kind == "roughness" and not surface.roughness_map:
            continue
        node = _image_node(material, image, (x - 600, y - 280 * row))
        if kind == "normal":
            _link_normal(material, node, shader, (x - 260, y - 280 * row))
        else:
            material.node_tree.links.new(node.outputs["Color"], shader.inputs[_SOCKETS[kind]])
    return material


def _image_node(
    material: bpy.types.Material, image: bpy.types.Image, location: tuple[float, float]
) -> bpy.types.Node:
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image, node.location, node.label = image, location, image.name
    return node


def _link_normal(
    material: bpy.types.Material,
    image_node: bpy.types.Node,
    shader: bpy.types.Node,
    location: tuple[float, float],
) -> None:
    normal = material.node_tree.nodes.new("ShaderNodeNormalMap")
    normal.space, normal.uv_map, normal.location = "TANGENT", UV_MAP, location
    material.node_tree.links.new(image_node.outputs["Color"], normal.inputs["Color"])
    material.node_tree.links.new(normal.outputs["Normal"], shader.inputs["Normal"])

"""The material of hair curves, for both renderers: they share nothing but the strands' attributes.

Cycles gets the Principled Hair BSDF, whose absorption sets the colour of hair as in nature. EEVEE draws
that node as plain diffuse with another socket's colour, so that it gets a Principled BSDF with the
strands' colours and an output of its own.
"""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

# Per-curve attributes, scene-linear: colour, and the absorption that gives hair about that colour.
COLOUR, ABSORPTION = "colour", "absorption"

# Lightness that differs from hair to hair, as shares of it.
_UNEVEN = 0.12
_ROUGHNESS = 0.35
# Measured: long hair, strands 0.45 mm thick, rendered by Cycles 5.0 in even white light. Without what mirrors
# off it, a channel's value c comes from the absorption (-a ln c - b)^2. The form is that of Chiang et al., "A
# Practical and Controllable Hair and Fur Model", 2016, with other constants: strands on a head are less dense
# than the hair there. Lamps from behind shine through, and short hair is less dense: luminance gets a third
# more, by eye, and hues stay.
_LIGHTNESS_SLOPE, _HUE_SLOPE, _OFFSET = 0.33, 0.248, 0.083


def absorption_of(colour: NDArray[np.floating]) -> NDArray[np.float32]:
    """Absorption coefficients, as the Principled Hair BSDF counts them, that give hair about its colour.

    Args:
        colour: (S, 3) scene-linear.

    Returns:
        (S, 3), 0 for white.
    """
    channels = np.log(np.clip(colour, 1e-4, 1.0))
    lightness = np.log(np.clip(colour @ np.array([0.2126, 0.7152, 0.0722]), 1e-4, 1.0))[:, None]
    root = -_LIGHTNESS_SLOPE * lightness - _OFFSET + _HUE_SLOPE * (lightness - channels)
    return (np.maximum(root, 0.0) ** 2).astype(np.float32)


def build_hair_material(name: str, colour: tuple[float, float, float]) -> bpy.types.Material:
    """A material that draws `COLOUR` and `ABSORPTION` of the curves it is on.

    Args:
        name: Of the data-block.
        colour: Scene-linear, for the viewport's solid mode.
    """
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True  # always so from 5.0 on, where setting it is deprecated
    material.diffuse_color = (*colour, 1.0)
    material.roughness = _ROUGHNESS
    tree = material.node_tree
    tree.nodes.clear()
    _for_cycles(tree)
    _for_eevee(tree)
    return material


def _for_cycles(tree: bpy.types.NodeTree) -> None:
    shader = _node(tree, "ShaderNodeBsdfHairPrincipled", 0, 300)
    shader.parametrization = "ABSORPTION"
    shader.inputs["Roughness"].default_value = shader.inputs["Radial Roughness"].default_value = _ROUGHNESS
    shader.inputs["Random Roughness"].default_value = _UNEVEN
    own = _node(tree, "ShaderNodeAttribute", -420, 300)
    own.attribute_name = ABSORPTION
    amount = _node(tree, "ShaderNodeVectorMath", -210, 300)
    amount.operation, amount.label = "SCALE", "Lighter or Darker"
    amount.inputs["Scale"].default_value = 1.0
    tree.links.new(own.outputs["Vector"], amount.inputs[0])
    tree.links.new(amount.outputs["Vector"], shader.inputs["Absorption Coefficient"])
    _output(tree, shader, "CYCLES", 300)


def _for_eevee(tree: bpy.types.NodeTree) -> None:
    shader = _node(tree, "ShaderNodeBsdfPrincipled", 0, -100)
    # Flat strips mirror light as sparks: duller than hair is.
    shader.inputs["Roughness"].default_value = 0.55
    shader.inputs["Specular IOR Level"].default_value = 0.15
    colour = _node(tree, "ShaderNodeAttribute", -630, -100)
    colour.attribute_name = COLOUR
    hair = _node(tree, "ShaderNodeHairInfo", -630, -300)
    spread = _node(tree, "ShaderNodeMapRange", -420, -300)
    spread.inputs["To Min"].default_value = 1.0 - _UNEVEN
    spread.inputs["To Max"].default_value = 1.0 + _UNEVEN
    uneven = _node(tree, "ShaderNodeVectorMath", -210, -100)
    uneven.operation = "SCALE"
    tree.links.new(hair.outputs["Random"], spread.inputs["Value"])
    tree.links.new(colour.outputs["Color"], uneven.inputs[0])
    tree.links.new(spread.outputs["Result"], uneven.inputs["Scale"])
    tree.links.new(uneven.outputs["Vector"], shader.inputs["Base Color"])
    _output(tree, shader, "EEVEE", -100)


def _node(tree: bpy.types.NodeTree, kind: str, x: float, y: float) -> bpy.types.Node:
    node = tree.nodes.new(kind)
    node.location = (x, y)
    return node


def _output(tree: bpy.types.NodeTree, shader: bpy.types.Node, target: str, y: float) -> None:
    output = _node(tree, "ShaderNodeOutputMaterial", 300, y)
    output.target = target
    tree.links.new(shader.outputs[0], output.inputs["Surface"])

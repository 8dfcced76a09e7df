"""The material of hair curves, for both renderers: they share nothing but the strands' attributes.

Cycles gets the Principled Hair BSDF, whose melanin sets the colour of hair as in nature. EEVEE draws
that node as plain diffuse with another socket's colour, so that it gets a Principled BSDF with the
strands' colours and an output of its own.
"""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

# Per-curve attributes: scene-linear colour, and the melanin that comes nearest to it.
COLOUR, MELANIN = "colour", "melanin"

# Lightness that differs from hair to hair, as shares of it.
_UNEVEN = 0.12
_ROUGHNESS = 0.35
# Measured: long hair, strands 0.45 mm thick, rendered by Cycles 5.0 in even white light with melanin from
# 0.05 to 0.9. Without what mirrors off it, its luminance y gives sqrt(-ln(1 - melanin)) = -a ln y - b, within
# 0.03 of melanin. Colour and absorption go together like that in Chiang et al., "A Practical and Controllable
# Hair and Fur Model", 2016, with other constants: strands on a head are less dense than the hair there.
# That slope is 0.27. Lamps from behind shine through, and short hair is less dense: a third more, by eye.
_SLOPE, _OFFSET = 0.36, 0.09


def melanin_of(colour: NDArray[np.floating]) -> NDArray[np.float32]:
    """Melanin, 0..1 as the Principled Hair BSDF counts it, that gives hair the lightness of a colour.

    Args:
        colour: (S, 3) scene-linear.

    Returns:
        (S,).
    """
    luminance = np.clip(colour @ np.array([0.2126, 0.7152, 0.0722]), 1e-4, 1.0)
    root = np.maximum(-_SLOPE * np.log(luminance) - _OFFSET, 0.0)
    return (1.0 - np.exp(-(root**2))).astype(np.float32)


def build_hair_material(name: str, colour: tuple[float, float, float], redness: float) -> bpy.types.Material:
    """A material that draws `COLOUR` and `MELANIN` of the curves it is on.

    Args:
        name: Of the data-block.
        colour: Scene-linear, for the viewport's solid mode.
        redness: 0 brown to 1 red.
    """
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True  # always so from 5.0 on, where setting it is deprecated
    material.diffuse_color = (*colour, 1.0)
    material.roughness = _ROUGHNESS
    tree = material.node_tree
    tree.nodes.clear()
    _for_cycles(tree, redness)
    _for_eevee(tree)
    return material


def _for_cycles(tree: bpy.types.NodeTree, redness: float) -> None:
    shader = _node(tree, "ShaderNodeBsdfHairPrincipled", 0, 300)
    shader.parametrization = "MELANIN"
    shader.inputs["Melanin Redness"].default_value = redness
    shader.inputs["Roughness"].default_value = shader.inputs["Radial Roughness"].default_value = _ROUGHNESS
    shader.inputs["Random Color"].default_value = _UNEVEN
    shader.inputs["Random Roughness"].default_value = _UNEVEN
    own = _node(tree, "ShaderNodeAttribute", -420, 300)
    own.attribute_name = MELANIN
    amount = _node(tree, "ShaderNodeMath", -210, 300)
    amount.operation, amount.use_clamp, amount.label = "MULTIPLY", True, "Lighter or Darker"
    amount.inputs[1].default_value = 1.0
    tree.links.new(own.outputs["Fac"], amount.inputs[0])
    tree.links.new(amount.outputs[0], shader.inputs["Melanin"])
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

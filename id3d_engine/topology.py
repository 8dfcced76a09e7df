"""The meshes a finished head can have.

    fine      20,570 vertices: each quad of the template in four, on a smooth surface through its vertices
    template  5,169 vertices: for games, and for a Subdivision modifier of one's own
    dmtet     the sculpted surface itself (see `raw`)

Everything is made on the template; a fine head's first vertices are the template's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from .errors import InputError
from .expressions import side
from .geometry.subdivide import Subdivision, subdivide, subdivide_corners
from .geometry.unfold import unfold
from .head import Head
from .rig.units import STILL_M
from .template import SKIN, HeadTemplate, load_template, per_triangle, triangulate

FINE, TEMPLATE, DMTET = "fine", "template", "dmtet"
TOPOLOGIES = (FINE, TEMPLATE, DMTET)


def topology_of(head: Head, template: HeadTemplate) -> str:
    """Which of `TOPOLOGIES` a head has."""
    if np.array_equal(head.faces, template.faces):
        return TEMPLATE
    return FINE if np.array_equal(head.faces, _fine().faces) else DMTET


def refined(head: Head) -> Head:
    """A head of the template's topology as a fine one; its own vertices do not move."""
    fine = _fine()
    vertices = fine.refine(head.vertices)
    part = np.repeat(head.part, 4)
    skin = triangulate(fine.faces)[per_triangle(part == SKIN)]
    keys = []
    for name, offsets in zip(head.names, head.shape_keys, strict=True):
        # On the side that a one-sided unit leaves alone, nothing is drawn along.
        held = vertices[:, 0] * side(name) < 0
        offsets = fine.refine_offsets(offsets, held)
        # Where a key folds skin, the smooth surface turns a few of the new triangles over.
        movable = np.linalg.norm(offsets, axis=1) > STILL_M
        movable[: len(head.vertices)] = False
        keys.append(unfold(vertices, offsets, skin, movable).astype(np.float32))
    refined_head = replace(
        head,
        vertices=vertices,
        faces=fine.faces,
        uv=subdivide_corners(head.uv),
        part=part,
        shape_keys=np.stack(keys),
    )
    return refined_head.with_strands_of(head)


def on_template(head: Head, template: HeadTemplate) -> Head:
    """A fine head, or one of the template's topology, as the latter.

    Raises:
        InputError: the head has its own topology.
    """
    if topology_of(head, template) == DMTET:
        raise InputError(
            "this head does not have the template's topology, so it cannot be edited: generate it again"
        )
    count = len(template.vertices)
    coarse = replace(
        head,
        vertices=head.vertices[:count],
        faces=template.faces,
        uv=template.uv,
        part=template.part,
        shape_keys=head.shape_keys[:, :count],
    )
    return coarse.with_strands_of(head)


@lru_cache(maxsize=1)
def _fine() -> Subdivision:
    template = load_template()
    return subdivide(template.faces, len(template.vertices))

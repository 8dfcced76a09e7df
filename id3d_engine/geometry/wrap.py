"""Wrap the head template onto a sculpted surface: one topology for every head.

Two steps. First the template's own shape coefficients are fitted, which keeps lips on lips
and lids on lids; then a smooth displacement takes up what the shape space cannot say (hair, a
broken nose). The surface comes out of a tetrahedral grid with facets of some millimetres, so the
displacement is kept from following anything shorter than `Settings.shortest_m`, and what the grid does
to an unmoved head is measured on a reference surface and subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from ..errors import InputError
from ..rig.follow import follow
from ..rig.smooth import factor, operators
from ..template import SKIN, HeadTemplate, per_triangle
from .closest import Surface, Target, vertex_normals

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """Attributes:
    shape_rounds: Closest-point rounds of the shape fit.
    noise_m: How exact the surface is taken to be, against the shape prior (one standard deviation).
    rounds: Closest-point rounds of the smooth displacement.
    longest_m: Wavelength the first round may follow; later rounds come down to `shortest_m`.
    shortest_m: Wavelength that the last round still follows by half: about two grid cells.
    reach_m: Points farther apart do not correspond.
    agreement: Least cosine between the normals of corresponding points.
    hold: Pull to the start beside a fully trusted surface's pull of 1.
    """

    shape_rounds: int = 8
    noise_m: float = 0.0012
    rounds: int = 8
    longest_m: float = 0.06
    shortest_m: float = 0.014
    reach_m: float = 0.03
    agreement: float = 0.5
    hold: float = 1e-4


def wrap(
    template: HeadTemplate,
    start_vertices: NDArray[np.floating],
    surface: Surface,
    *,
    reference: Surface | None = None,
    settings: Settings = Settings(),
) -> NDArray[np.float32]:
    """The template's vertices on a neutral surface.

    Args:
        template: The topology and shape space.
        start_vertices: (V, 3) metres, the head that the surface was sculpted from, hair included.
        surface: Vertices (N, 3) metres and triangles (T, 3) facing outward.
        reference: The surface of `start_vertices` itself on the same grid; without it the grid's
            rounding of lips, nose and neck is taken for shape (see `Pull`).
        settings: See `Settings`.

    Returns:
        (V, 3) float32 metres.

    Raises:
        InputError: the surface is empty, not finite, or lies nowhere near the start.
    """
    start = template.checked(start_vertices)
    pull = Pull(template, start, surface, settings, None if reference is None else (start, reference))
    shaped = fit_shape(template, start, pull, settings)
    moved = refine(template, shaped, pull, np.ones(len(start)), settings)
    return follow(template, shaped, moved).astype(np.float32)


class Pull:
    """What a surface asks of the template: for given vertices, offsets along normals and weights.

    Args:
        template: The topology.
        start: (V, 3) vertices that must lie within reach of the surface.
        surface: Where to go.
        settings: See `Settings`.
        reference: Vertices (V, 3) and their own surface on the same grid: its distance from them
            is the grid's error, which is subtracted from every distance to `surface`.

    Raises:
        InputError: the surface is empty, not finite, or out of reach.
    """

    def __init__(
        self,
        template: HeadTemplate,
        start: Array,
        surface: Surface,
        settings: Settings,
        reference: tuple[Array, Surface] | None = None,
    ) -> None:
        self.settings = settings
        self.triangles = skin_triangles(template)
        self.trust = trust(template)
        self.used = np.flatnonzero(self.trust > 0.01)
        self.bias = np.zeros(len(start))
        if reference is not None:
            self.target = Target(reference[1])
            bias, weight, _ = self.offsets(reference[0], settings.reach_m)
            self.bias = bias * (weight > 0)
        self.target = Target(surface)
        if not (self.offsets(start, settings.reach_m)[1] > 0).any():
            raise InputError("the surface lies nowhere near the head it should be: sculpt it again")

    def offsets(self, vertices: Array, scale_m: float) -> tuple[Array, Array, Array]:
        """Signed distances (V,) along vertex normals (V, 3) to the surface, and weights (V,) in [0, 1].

        Weights fall with distance over `scale_m` (Geman-McClure) and vanish where normals disagree.
        """
        normals = vertex_normals(vertices, self.triangles)
        signed, weight = np.zeros(len(vertices)), np.zeros(len(vertices))
        here = self.used
        hit = self.target.closest(vertices[here], self.settings.reach_m)
        cosine = (hit.normals * normals[here]).sum(axis=1)
        agree = np.clip((cosine - self.settings.agreement) / (1 - self.settings.agreement), 0, 1)
        signed[here] = ((hit.points - vertices[here]) * normals[here]).sum(axis=1) - self.bias[here]
        # Far more sideways than along the normal: the neighbourhood is missing, not moved.
        along = np.abs(((hit.points - vertices[here]) * normals[here]).sum(axis=1))
        straight = np.where(hit.distance > 1e-6, along / np.maximum(hit.distance, 1e-9), 1.0)
        robust = (scale_m**2 / (scale_m**2 + signed[here] ** 2)) ** 2
        weight[here] = self.trust[here] * hit.found * np.sqrt(agree) * straight * robust
        return signed, weight, normals


def skin_triangles(template: HeadTemplate) -> NDArray[np.int32]:
    """(T, 3) of skin and eye sockets."""
    return template.triangles[per_triangle(template.part == SKIN)]


@lru_cache(maxsize=2)
def trust(template: HeadTemplate) -> Array:
    """(V,) how well a grid of some millimetres shows each vertex: 1 in the face, little in folds."""
    r = template.regions
    skin = np.zeros(len(template.vertices))
    skin[np.unique(template.faces[template.part == SKIN])] = 1.0
    for name, keep in (("lips", 0.25), ("eyelids", 0.1), ("ears", 0.15), ("neck", 0.5)):
        skin *= 1.0 - (1.0 - keep) * r[name]
    for name in ("eye_sockets", "neck_cap", "mouth_inside", "eyeballs"):
        skin *= 1.0 - r[name]
    cap = template.regions["neck_cap"] > 0.5
    border = np.unique(template.faces[cap[template.faces].any(axis=1)])
    away = cKDTree(template.vertices[border]).query(template.vertices)[0]
    # A grid rounds off the sharp edge under the neck: what it shows there is no shape.
    return skin * np.clip((away - 0.003) / NECK_EDGE_M, 0.0, 1.0) * _open_air(template)


NECK_EDGE_M = 0.012


def _open_air(template: HeadTemplate) -> Array:
    """(V,) less where a fold hides the vertex: nostrils, behind the ears, the inner lips and lids."""
    triangles = skin_triangles(template)
    vertices = template.vertices.astype(np.float64)
    normals = vertex_normals(vertices, triangles)
    target = Target((vertices, triangles))
    free = np.ones(len(vertices))
    for step in (0.003, 0.007, 0.012):
        hit = target.closest(vertices + step * normals, 0.03)
        free = np.minimum(free, np.clip((hit.distance / step - 0.3) / 0.6, 0, 1))
    return free


def fit_shape(template: HeadTemplate, start: Array, pull: Pull, settings: Settings) -> Array:
    """(V, 3): the start, moved by the shape components that bring it to the surface.

    Each round solves a ridge regression of normal distances (point to plane) on the
    components, whose prior is one standard deviation about the start's own coefficients. What the
    start has beyond the shape space (hair) is carried along unchanged.
    """
    basis = template.basis.reshape(len(template.basis), -1).astype(np.float64)
    mass = vertex_areas(template)
    mean = template.vertices.astype(np.float64)
    first = _coefficients(basis, (start - mean).ravel(), np.repeat(mass * (1 - template.regions["scalp"]), 3))
    extra = start - mean - (first @ basis).reshape(start.shape)
    coefficients, vertices = first, start
    soft = 1.0 - HAIR_DOUBT * template.regions["scalp"]
    for round_ in range(settings.shape_rounds):
        scale = float(np.interp(round_, [0, settings.shape_rounds - 1], [0.012, 0.004]))
        signed, weight, normals = pull.offsets(vertices, scale)
        weight = weight * soft * mass
        rows = (basis.reshape(len(basis), -1, 3) * normals).sum(axis=2)
        # Independent patches, not vertices, count as measurements: facets of a grid are correlated.
        patches = weight / PATCH_M2
        hessian = (rows * patches) @ rows.T / settings.noise_m**2 + np.eye(len(basis))
        slope = (rows * patches) @ (signed + rows.T @ coefficients) / settings.noise_m**2 + first
        coefficients = np.linalg.solve(hessian, slope)
        vertices = mean + extra + (coefficients @ basis).reshape(start.shape)
    return vertices


PATCH_M2 = 0.008**2
HAIR_DOUBT = 0.95  # what stands on the scalp may be hair and says little about the skull


def refine(
    template: HeadTemplate,
    start: Array,
    pull: Pull,
    freedom: Array,
    settings: Settings,
) -> Array:
    """(V, 3): the start plus a smooth displacement of the skin towards the surface.

    Minimises the squared normal distances plus the bending energy of the displacement, scaled so
    that a ripple of wavelength `shortest_m` is followed by half. `freedom` (V,) in [0, 1] pins
    vertices to the start where it is 0. Loose pieces do not move yet (see `follow`).
    """
    operator = operators(start, template.triangles)
    bending, mass = operator.bending(), operator.mass
    hold = PIN * (1.0 - freedom) + settings.hold
    moved = start.copy()
    for round_ in range(settings.rounds):
        share = round_ / max(settings.rounds - 1, 1)
        length = settings.longest_m * (settings.shortest_m / settings.longest_m) ** min(1.25 * share, 1.0)
        signed, weight, normals = pull.offsets(moved, 0.012 - 0.007 * share)
        weight = weight * freedom
        wanted = moved - start + signed[:, None] * normals
        alpha = (length / (2 * np.pi)) ** 4
        system = sparse.diags(mass * (weight + hold)) + alpha * bending
        moved = start + factor(system).solve((mass * weight)[:, None] * wanted)
    return moved


PIN = 3.0


def _coefficients(basis: Array, offsets: Array, weights: Array) -> Array:
    """(M,) weighted ridge fit of offsets (3V,) by the components."""
    weights = weights / PATCH_M2 / 0.0005**2
    return np.linalg.solve((basis * weights) @ basis.T + np.eye(len(basis)), (basis * weights) @ offsets)


def vertex_areas(template: HeadTemplate) -> Array:
    """(V,) square metres of skin around each vertex of the mean head."""
    return operators(template.vertices, template.triangles).mass

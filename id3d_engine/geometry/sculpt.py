"""The geometry stage: Psi_g's surfaces pulled towards what the geometry prior expects to see.

A round takes one expression: extract its surface, render normals from random cameras, let the
guide look, then fit for some inner steps (cheap beside the denoiser). Only tetrahedra around the
surface are evaluated; they are chosen anew each round, so a surface can travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..expressions import NEUTRAL, Expression
from ..job import Job, Stepper
from ..live import PICTURE_PX, LiveView, four_views, surface_of
from ..priors.guidance import Ramp
from ..priors.prior import Prior
from ..priors.quick_encoder import QuickEncoder
from ..render.cameras import Cameras, join, sample_cameras
from ..render.normals import render_normals
from .fields import PosedHead, StartFields, start_fields
from .guide import Guide, PriorGuide
from .marching_tets import marching_tets
from .psi_g import PsiG, PsiGConfig, Query, spread_points
from .regularisers import eikonal, field_smoothness, normal_consistency, pull_to_start, sign_crossing
from .tet_grid import TetGrid, band, cut_ends

STAGE = "sculpt"
MARGIN = 0.3  # cells that a surface may move before its tetrahedra are chosen anew
CLOSEUPS = ("face", "mouth", "eyes")
# Gradients smaller than this move a weight in proportion (Adam's epsilon). The regularisers' are 3e-7,
# a clear change's 1e-5 and more: with Adam's usual 1e-8 a surface of which nothing is asked drifts by
# 1.7 mm in a draft, as every weight takes whole steps.
QUIET = 1e-5


@dataclass(frozen=True)
class Weights:
    """Weights of the regularisers (see `regularisers`), beside an image error of about 0.01."""

    normals: float = 0.01  # normal consistency of the surface
    eikonal: float = 0.002  # the field stays a signed distance
    crossing: float = 0.0005  # no surface that nothing asks for
    smooth: float = 0.05  # residual and offset change little from vertex to vertex
    # Towards the start; fades over rounds.
    pull: Ramp = field(default_factory=lambda: Ramp(0.003, 0.0003, last=60))


@dataclass(frozen=True)
class SculptConfig:
    """Settings of the geometry stage.

    Attributes:
        cell_m: The grid's cell; the surface's triangles are about half as long.
        rounds: Looks of the guide, over all expressions.
        inner_steps: Fitting steps a look (refined); plain score distillation uses one.
        views: Whole-head cameras a round.
        closeups: Close-up cameras a round (face, mouth or eyes).
        fit_size: Pixels of the inner steps' renders.
        neutral_share: Rounds of the neutral for one round of each expression.
        form: "refined" or "plain".
        quick_rounds: First rounds in which renders are read by a `QuickEncoder`, and nothing is decoded.
        noise_level: Share of the forward process, by round; last = 0 means "over all rounds".
        denoising_steps: DDIM steps of a look (refined).
        guidance, generic: See `guidance.asked_change`.
        learning_rate: Adam's, falling to a tenth along a cosine.
        clip_norm: Gradients longer than this are shortened to it.
        mask_weight: Silhouette error beside normal error.
        weights: Of the regularisers.
        net: Psi_g.
    """

    cell_m: float = 0.006
    rounds: int = 120
    inner_steps: int = 6
    views: int = 4
    closeups: int = 2
    fit_size: int = 128
    neutral_share: int = 3
    form: str = "refined"
    quick_rounds: int = 0
    noise_level: Ramp = field(default_factory=lambda: Ramp(start=0.65, end=0.3))
    denoising_steps: int = 6
    guidance: float = 1.5
    generic: float = 0.2
    learning_rate: float = 2e-3
    clip_norm: float = 1.0
    mask_weight: float = 0.5
    weights: Weights = field(default_factory=Weights)
    net: PsiGConfig = field(default_factory=PsiGConfig)


@dataclass(frozen=True, eq=False)
class Sculpture:
    """Surfaces by expression: (vertices (N, 3) float32 metres, triangles (T, 3) int32), facing outward.

    Every expression has its own topology.

    Attributes:
        surfaces: What distillation made.
        starts: What it started from, on the same grid.
    """

    surfaces: dict[str, tuple[NDArray[np.float32], NDArray[np.int32]]]
    starts: dict[str, tuple[NDArray[np.float32], NDArray[np.int32]]]


def sculpt(
    start: PosedHead,
    prior: Prior,
    embedding: NDArray[np.float32] | Tensor | None,
    expressions: Sequence[Expression],
    text: str | None,
    config: SculptConfig,
    job: Job,
) -> Sculpture:
    """Distil the geometry prior into one surface for the neutral and for each expression.

    Args:
        start: Where every expression starts.
        prior: The geometry prior; its device is where everything happens.
        embedding: (D,) identity for the prior, or None.
        expressions: Keys of `start.offsets`; the neutral is always added.
        text: What the head should look like besides, or None.
        config: Settings.
        job: Seeds, progress, cancel, checkpoints (stage "sculpt").

    Raises:
        InputError: a setting or the mesh cannot be used.
        Id3dError: the distillation diverged.
        Cancelled: the job was cancelled.
    """
    ramp = config.noise_level
    guide = PriorGuide(
        prior=prior,
        embedding=embedding,
        text=text,
        form=config.form,
        noise_level=ramp if ramp.last else Ramp(ramp.start, ramp.end, 0, config.rounds),
        denoising_steps=config.denoising_steps,
        guidance=config.guidance,
        generic=config.generic,
        fit_size=config.fit_size,
        mask_weight=config.mask_weight,
        quick=quick_encoder(prior, start, config, job) if config.quick_rounds else None,
        quick_rounds=config.quick_rounds,
    )
    return sculpt_with(guide, start, expressions, config, job, prior.device)


def quick_encoder(prior: Prior, start: PosedHead, config: SculptConfig, job: Job) -> QuickEncoder:
    """Fitted on the start head as the rounds will see it: whole, and close up."""
    generator = job.generator(f"{STAGE}-quick")
    cameras = join([round_cameras(config, start.landmarks(NEUTRAL.name), generator) for _ in range(2)])
    vertices, triangles = torch.from_numpy(start.neutral), torch.from_numpy(start.triangles)
    size = (prior.image_size,) * 2
    images = render_normals(
        vertices.to(prior.device), triangles.to(prior.device), cameras.to(prior.device), size
    )[0]
    return QuickEncoder.fit(prior, images)


def sculpt_with(
    guide: Guide,
    start: PosedHead,
    expressions: Sequence[Expression],
    config: SculptConfig,
    job: Job,
    device: torch.device | str = "cpu",
) -> Sculpture:
    """`sculpt` under any guide."""
    cast = (NEUTRAL, *(e for e in expressions if e.name != NEUTRAL.name))
    surfaces = Surfaces.begin(start, cast, config, job, device)
    starts = {e.name: surfaces.extract(k) for k, e in enumerate(cast)}
    optimizer = torch.optim.Adam(surfaces.net.parameters(), lr=config.learning_rate, eps=QUIET)
    inner_steps = 1 if config.form == "plain" else config.inner_steps
    live = LiveView(job, surfaces.look)
    for step in job.steps(STAGE, config.rounds, Stepper(surfaces.net, optimizer), "sculpting"):
        live.offer()
        generator = job.generator(STAGE, step)
        index = choose(step, len(cast), config.neutral_share, job)
        cameras = round_cameras(config, start.landmarks(cast[index].name), generator).to(device)
        near = surfaces.near(index)
        now = partial(near.render, cameras, guide.image_size)
        loss_of = guide.look(now, cast[index], cameras, step, generator)
        share = step / max(config.rounds, 1)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (0.1 + 0.9 * 0.5 * (1 + float(np.cos(np.pi * share))))
        for inner in range(inner_steps):
            if inner > 0 and near.outgrown():
                near = surfaces.near(index)
            shape = near.shape()
            rendered, masks = render_normals(shape.vertices, shape.triangles, cameras, (guide.fit_size,) * 2)
            loss = loss_of(rendered, masks) + near.penalty(shape, config.weights, step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(surfaces.net.parameters(), config.clip_norm)
            optimizer.step()
    live.show()
    return Sculpture({e.name: surfaces.extract(k) for k, e in enumerate(cast)}, starts)


@dataclass(frozen=True, eq=False)
class Shape:
    """One evaluation on a band: its surface and its field."""

    vertices: Tensor  # (N, 3)
    triangles: Tensor  # (T, 3)
    positions: Tensor  # (V, 3) of the grid's vertices
    sdf: Tensor  # (V,)
    residual: Tensor  # (V,)


@dataclass(eq=False)
class Near:
    """The tetrahedra around one expression's surface, and what Psi_g says there."""

    net: PsiG
    index: int
    grid: TetGrid
    sdf: Tensor  # (V,) the start's
    query: Query  # the vertices' places on the neutral head
    rim: Tensor  # (R,) vertices beyond which the grid goes on
    rim_inside: Tensor  # (R,) their side when the band was chosen
    last: Tensor | None = None

    def shape(self) -> Shape:
        moved = self.net(self.query, self.index, self.grid.free)
        sdf, positions = self.sdf + moved.residual, self.grid.vertices + moved.offset
        self.last = sdf.detach()
        vertices, triangles = marching_tets(self.grid, positions, sdf)
        return Shape(vertices, triangles, positions, sdf, moved.residual)

    @torch.no_grad()
    def render(self, cameras: Cameras, size: int) -> Tensor:
        """(B, 3, size, size) normals of the present surface, without gradient."""
        shape = self.shape()
        return render_normals(shape.vertices, shape.triangles, cameras, (size, size))[0]

    def outgrown(self) -> bool:
        """Whether the surface has reached the band's rim."""
        return self.last is not None and bool(((self.last[self.rim] < 0) != self.rim_inside).any())

    def penalty(self, shape: Shape, weights: Weights, step: int) -> Tensor:
        """The regularisers' weighted sum."""
        cell = self.grid.cell_m
        offset = shape.positions - self.grid.vertices
        moved = torch.cat([shape.residual[:, None], offset], dim=1)
        return (
            weights.normals * normal_consistency(shape.vertices, shape.triangles)
            + weights.eikonal * eikonal(self.grid, shape.positions, shape.sdf)
            + weights.crossing * sign_crossing(self.grid, shape.sdf, cell)
            + weights.smooth * field_smoothness(self.grid, moved, cell)
            + weights.pull.at(step) * pull_to_start(shape.residual, cell)
        )


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Psi_g, and the start fields it moves."""

    net: PsiG
    fields: StartFields
    degree: Tensor  # (V,) tetrahedra at each grid vertex

    @classmethod
    def begin(
        cls,
        start: PosedHead,
        cast: Sequence[Expression],
        config: SculptConfig,
        job: Job,
        device: torch.device | str,
    ) -> Surfaces:
        """Step 0: every expression is its start.

        Raises:
            InputError: an expression has no offsets in `start`.
        """
        missing = [e.name for e in cast if e.name != NEUTRAL.name and e.name not in start.offsets]
        if missing:
            raise InputError(f"the start head has no expression {missing[0]!r}: give its offsets")
        reach = config.net.reach_m
        fields = start_fields(start, tuple(e.name for e in cast), config.cell_m, reach).to(device)
        anchors = spread_points(torch.from_numpy(start.neutral.copy()), config.net.tokens)
        generator = job.generator(f"{STAGE}-weights")
        net = PsiG(anchors, len(cast), config.cell_m, config.net, generator).to(device)
        return cls(net, fields, torch.bincount(fields.grid.tets.flatten()))

    def near(self, index: int) -> Near:
        """The band around an expression's present surface."""
        grid, sdf = self.fields.grid, self.fields.sdf[index]
        present = self._present(index)
        keep = band(grid, present, MARGIN * grid.cell_m)
        narrow, ids = grid.narrow(keep)
        kept = torch.bincount(narrow.tets.flatten(), minlength=len(ids))
        rim = torch.nonzero(kept < self.degree[ids]).squeeze(1)
        query = self.net.query_at(self.fields.place[index, ids])
        return Near(self.net, index, narrow, sdf[ids], query, rim, present[ids[rim]] < 0)

    @torch.no_grad()
    def _present(self, index: int) -> Tensor:
        """(V,) the expression's signed distance, evaluated where its surface is and has passed.

        Begins at the start's surface and follows the present one outwards from there: a vertex is
        asked when an edge of it is crossed. What was never asked keeps the start's side.
        """
        grid, place = self.fields.grid, self.fields.place[index]
        present = self.fields.sdf[index].clone()
        known = torch.zeros(len(present), dtype=torch.bool, device=present.device)
        while True:
            wanted = torch.zeros_like(known)
            wanted[cut_ends(grid.edges, present)] = True
            new = torch.nonzero(wanted & ~known).squeeze(1)
            if len(new) == 0:
                return present
            present[new] += self.net(place[new], index).residual
            known[new] = True

    @torch.no_grad()
    def extract(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The finished surface of one expression; crumbs of less than a hundredth are dropped."""
        shape = self.near(index).shape()
        vertices, triangles = shape.vertices.cpu().numpy(), shape.triangles.cpu().numpy()
        return without_crumbs(vertices, triangles)

    def look(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The neutral now, for `LiveView`: its normals, and its surface."""
        shape = self.near(0).shape()
        cameras = four_views(shape.vertices.device)
        images, _ = render_normals(shape.vertices, shape.triangles, cameras, (PICTURE_PX,) * 2)
        vertices, triangles = shape.vertices.cpu().numpy(), shape.triangles.cpu().numpy()
        return images, surface_of(*without_crumbs(vertices, triangles))


def choose(step: int, count: int, neutral_share: int, job: Job) -> int:
    """Which expression a round is about: each cycle holds every one, and the neutral more often."""
    cycle = [0] * (neutral_share if count > 1 else 1) + list(range(1, count))
    order = torch.randperm(len(cycle), generator=job.generator(f"{STAGE}-order", step // len(cycle)))
    return cycle[int(order[step % len(cycle)])]


def round_cameras(config: SculptConfig, landmarks: dict[str, Tensor], generator: torch.Generator) -> Cameras:
    """Whole-head views, then close-ups of one part."""
    parts = [sample_cameras(config.views, generator)] if config.views else []
    if config.closeups:
        part = CLOSEUPS[int(torch.randint(len(CLOSEUPS), (1,), generator=generator))]
        parts.append(sample_cameras(config.closeups, generator, closeup=part, landmarks=landmarks))
    if not parts:
        raise InputError("sculpting needs at least one view a round: raise views or closeups")
    return join(parts)


def without_crumbs(
    vertices: NDArray[np.float32], triangles: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Only connected parts with at least a hundredth of the triangles, and only vertices in use."""
    from .sdf import parts

    edges = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    label = parts(edges, len(vertices))[triangles[:, 0]]
    counts = np.bincount(label) if len(label) else np.zeros(0, int)
    triangles = triangles[counts[label] * 100 >= len(label)] if len(label) else triangles
    used, flat = np.unique(triangles, return_inverse=True)
    return vertices[used].astype(np.float32), flat.reshape(-1, 3).astype(np.int32)

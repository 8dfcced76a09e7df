"""Expressions refined at fixed topology by the same gradient that sculpted the surfaces.

The wrapped head already has every expression; what the surfaces lost on the way (a few millimetres
of tetrahedral grid) the prior can still give back. Offsets move the template's own vertices, smoothed
so that only whole regions move, and eyes, teeth and the mouth's inside stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..expressions import Expression
from ..job import Job, Stepper
from ..priors.guidance import Ramp
from ..priors.prior import Prior
from ..render.cameras import Cameras, join, sample_cameras
from ..render.normals import render_normals
from ..rig.smooth import SmoothOffsets
from ..template import HeadTemplate
from .guide import Guide, PriorGuide
from .uniform_adam import UniformAdam

STAGE = "polish"


@dataclass(frozen=True)
class PolishConfig:
    """Settings of the stage.

    Attributes:
        rounds: Looks of the guide for each expression; 0 leaves the stage out.
        inner_steps: Fitting steps a look.
        views: Cameras a round: one of the whole face, the others close-ups of mouth and eyes.
        fit_size: Pixels of the inner steps' renders.
        noise_level: Share of the forward process over the rounds of one expression.
        denoising_steps: DDIM steps of a look.
        guidance, generic: See `guidance.asked_change`.
        learning_rate_m: Of `UniformAdam`, metres before smoothing.
        reach_m: Where the pull back to the wrapped expression weighs as much as a clear image error.
        smoothing: Strength of `SmoothOffsets`, about the squared reach in edges.
    """

    rounds: int = 1
    inner_steps: int = 5
    views: int = 3
    fit_size: int = 128
    noise_level: Ramp = field(default_factory=lambda: Ramp(start=0.35, end=0.25, last=2))
    denoising_steps: int = 4
    guidance: float = 1.5
    generic: float = 0.2
    learning_rate_m: float = 3e-4
    reach_m: float = 0.004
    smoothing: float = 30.0


def polish(
    vertices: NDArray[np.floating],
    offsets: Mapping[str, NDArray[np.floating]],
    template: HeadTemplate,
    prior: Prior,
    embedding: NDArray[np.floating] | Tensor | None,
    expressions: Sequence[Expression],
    text: str | None,
    config: PolishConfig,
    job: Job,
) -> dict[str, NDArray[np.float32]]:
    """Refine every expression's offsets.

    Args:
        vertices: (V, 3) the wrapped neutral, metres.
        offsets: expression name -> (V, 3) from `vertices`.
        prior: The geometry prior; its device is where heads are rendered.
        embedding: (D,) identity, or None.

    Returns:
        The same names with refined (V, 3) float32 offsets.

    Raises:
        Cancelled: the job was cancelled.
    """
    guide = PriorGuide(
        prior=prior,
        embedding=embedding,
        text=text,
        form="refined",
        noise_level=config.noise_level,
        denoising_steps=config.denoising_steps,
        guidance=config.guidance,
        generic=config.generic,
        fit_size=config.fit_size,
        mask_weight=0.0,
    )
    return polish_with(guide, vertices, offsets, template, expressions, config, job, prior.device)


def polish_with(
    guide: Guide,
    vertices: NDArray[np.floating],
    offsets: Mapping[str, NDArray[np.floating]],
    template: HeadTemplate,
    expressions: Sequence[Expression],
    config: PolishConfig,
    job: Job,
    device: torch.device | str = "cpu",
) -> dict[str, NDArray[np.float32]]:
    """`polish` under any guide."""
    if not config.rounds or not expressions:
        return {name: np.asarray(value, np.float32) for name, value in offsets.items()}
    fixed = still_vertices(template)
    corrections = nn.ModuleList(
        SmoothOffsets(template.triangles, len(vertices), strength=config.smoothing, fixed=fixed)
        for _ in expressions
    ).to(device)
    optimizer = UniformAdam(corrections.parameters(), lr=config.learning_rate_m)
    neutral = torch.from_numpy(np.asarray(vertices, np.float32))
    faces = [neutral + torch.from_numpy(np.asarray(offsets[e.name], np.float32)) for e in expressions]
    there, triangles = [face.to(device) for face in faces], torch.from_numpy(template.triangles).to(device)
    count = config.rounds * len(expressions)
    for step in job.steps(STAGE, count, Stepper(corrections, optimizer), "refining expressions"):
        index = step % len(expressions)
        expression, correction, posed = expressions[index], corrections[index], there[index]
        generator = job.generator(STAGE, step)
        landmarks = {key: faces[index][i] for key, i in template.landmarks.items()}
        cameras = join(
            [
                sample_cameras(1, generator, closeup=part, landmarks=landmarks)
                for part in ("face", "mouth", "eyes", "face")[: config.views]
            ]
        ).to(device)
        now = partial(_seen, posed, correction, triangles, cameras, guide.image_size)
        loss_of = guide.look(now, expression, cameras, step // len(expressions), generator)
        for _ in range(config.inner_steps):
            moved = correction()
            rendered = render_normals(posed + moved, triangles, cameras, (guide.fit_size,) * 2)
            # An image error of 0.01 is clear to the eye; see `reach_m`.
            pull = 0.01 * (moved / config.reach_m).square().sum(dim=1).mean()
            loss = loss_of(*rendered) + pull
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return {
            **{name: np.asarray(value, np.float32) for name, value in offsets.items()},
            **{
                e.name: np.asarray(offsets[e.name], np.float32) + c().cpu().numpy()
                for e, c in zip(expressions, corrections, strict=True)
            },
        }


@torch.no_grad()
def _seen(posed: Tensor, correction: nn.Module, triangles: Tensor, cameras: Cameras, size: int) -> Tensor:
    return render_normals(posed + correction(), triangles, cameras, (size, size))[0]


def still_vertices(template: HeadTemplate) -> NDArray[np.bool_]:
    """(V,) bool: what is not refined: lids, eyes, mouth inside, scalp, ears, neck."""
    regions = template.regions
    still = regions["face"] < 0.5
    # Lids must go on meeting when they close, which no picture of this size can tell.
    for name in ("eyelids", "eyeballs", "eye_sockets", "mouth_inside", "teeth", "tongue"):
        if name in regions:
            still |= regions[name] > 0.3
    return still

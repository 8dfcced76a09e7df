"""The appearance stage: score distillation through `phi_a` onto albedo, roughness and specularity.

A round:

1. Draw views (whole heads and close-ups, each with an expression) and a light for each.
2. Render their pseudo-albedo and ask the prior what it would make of it (`asked_change`: noise to
   t, denoise in a few steps). That pass is dear.
3. Fit `Psi_a` to those targets for some inner steps, which are cheap, with the regularisers.

`method="sds"` is plain score distillation, the one-step, one-fit special case.

A target carries the autoencoder's own blur. So what is fitted is not the decoded target but the
render plus the *change* that denoising made: render + decode(x0) - decode(encode(render)). A prior
that wants no change then asks for none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..expressions import NEUTRAL, Expression
from ..job import Job, Stepper
from ..live import PICTURE_PX, LiveView, four_views, surface_of
from ..priors.prior import Prior
from ..render.cameras import Cameras, join, sample_cameras
from ..render.lights import Lights, preset, sample_lights
from ..template import HeadTemplate
from .atlas import make_atlas
from .canvas import Canvas
from .detail import Detail, author_height, tangent_normals
from .guide import Guide, Round, prior_guide
from .maps import Maps, MapSet, Material, compose_maps, pack, skin_image
from .pseudo_albedo import Views, film, lit, lobe, look, pseudo_albedo
from .psi_a import PsiAConfig
from .regularisers import pull_to_start, smoothness, surface_loss, symmetry
from .settings import PaintConfig, Weights

STAGE = "paint"
# As the priors' training views: half whole heads, a quarter faces, an eighth mouths and eyes each.
CLOSEUPS: tuple[str | None, ...] = (None, "face", None, "eyes", None, "face", None, "mouth")
# Maps of single expressions are for morph-driven shaders, 13 at a time: no more texels than this.
SET_SIZE = 1024


def paint(
    vertices: NDArray[np.floating],
    offsets: Mapping[str, NDArray[np.floating]],
    template: HeadTemplate,
    start: Material,
    prior: Prior,
    identity: NDArray[np.floating] | Tensor | None,
    expressions: Sequence[Expression],
    text: str | None,
    config: PaintConfig,
    job: Job,
    detail: Detail | None = None,
    *,
    keep_tone: bool = False,
) -> Maps:
    """Paint one head.

    Args:
        vertices: (V, 3) neutral head on the template's topology, metres.
        offsets: Expression name -> (V, 3) from `vertices`; the views' poses.
        template: Charts and regions.
        start: Textures to start from, best authored at `config.size`.
        prior: Of the albedo domain.
        identity: (D,) embedding of the prior's encoder, or None.
        expressions: Those to pose, apart from the neutral, each with an entry in `offsets`.
        text: Free text `y_text`, or None.
        config: Settings.
        job: Seed, progress, cancel, checkpoints (stage "paint").
        detail: Strengths of the micro relief.
        keep_tone: The start's mean skin colour is known, as from photos: nothing moves it.

    Returns:
        Maps at `config.size`.

    Raises:
        InputError: the prior is not one of albedo, an expression has no offsets, or a setting is bad.
        Cancelled: the job was cancelled.
    """
    config.checked()
    if prior.domain != "albedo":
        raise InputError(f"painting needs the albedo prior, got the {prior.domain} one: load that domain")
    missing = [e.name for e in expressions if e.name not in offsets]
    if missing:
        raise InputError(
            f"the head has no shape for {missing[0]!r}: leave the expression out or add its offsets"
        )
    guide = prior_guide(prior, identity, text, config, job.generator)
    canvas = fit(
        vertices,
        offsets,
        template,
        start,
        guide,
        expressions,
        config,
        job,
        prior.image_size,
        device=prior.device,
        keep_tone=keep_tone,
    )
    return bake(canvas, vertices, template, start, expressions, config, detail)


def fit(
    vertices: NDArray[np.floating],
    offsets: Mapping[str, NDArray[np.floating]],
    template: HeadTemplate,
    start: Material,
    guide: Guide,
    expressions: Sequence[Expression],
    config: PaintConfig,
    job: Job,
    view_size: int,
    network: PsiAConfig | None = None,
    device: torch.device | str = "cpu",
    *,
    keep_tone: bool = False,
) -> Canvas:
    """The rounds; whatever `guide` answers is what is painted."""
    rows = 1 + len(expressions) if config.per_expression else 1
    canvas = Canvas(
        template, start, rows, config.grid, view_size, job.generator(STAGE, -1), device, network,
        keep_tone=keep_tone,
    )  # fmt: skip
    optimizer = torch.optim.Adam(canvas.parameters(), lr=config.learning_rate.start, betas=(0.9, 0.95))
    live = LiveView(job, _Portrait(canvas, vertices))
    for number in job.steps(STAGE, config.rounds, Stepper(canvas, optimizer), "painting skin and eyes"):
        live.offer()
        share = number / max(config.rounds - 1, 1)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate.at(share)
        generator = job.generator(STAGE, number)
        views, cameras, shown = draw_views(
            vertices, offsets, template, expressions, config, generator, view_size, canvas.start.device
        )
        wanted, row = torch.unique(views.row, return_inverse=True)
        local = replace(views, row=row)
        pixels = canvas.start_pixels(views)
        pick = torch.arange(len(pixels))
        if config.method == "refined":
            pick = torch.randperm(len(pixels), generator=generator)[: config.fit_pixels]
        pick = pick.to(pixels.device)
        fitted, start_here = local.take(pick), pixels[pick]

        with torch.no_grad():
            material = canvas.material(canvas.residual(wanted), local, pixels)
            whole = film(material[pick], fitted)
            picture = pseudo_albedo(material, lobe(material, local, whole, moving=False))
        highlight = lobe(material[pick], fitted, whole)
        data = guide(picture, Round(number, share, views, cameras, shown))
        for _ in range(config.inner_steps if config.method == "refined" else 1):
            residual = canvas.residual(wanted)
            image = pseudo_albedo(canvas.material(residual, fitted, start_here), highlight)
            loss = data(image, pick) + penalty(canvas, residual, wanted, config.weights, share)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(canvas.parameters(), 1.0)
            optimizer.step()
    live.show()
    return canvas


class _Portrait:
    """The neutral head as it is painted now, for `LiveView`; its surface comes once."""

    def __init__(self, canvas: Canvas, vertices: NDArray[np.floating]) -> None:
        self._canvas, self._vertices = canvas, np.asarray(vertices, np.float32)
        self._views: Views | None = None

    def __call__(self) -> tuple[Tensor, dict[str, Tensor]]:
        canvas, surface = self._canvas, {}
        template, device = canvas.template, canvas.start.device
        if self._views is None:
            surface = surface_of(self._vertices, np.asarray(template.triangles, np.int32))
            lights = preset("studio")
            self._views = _seen(self._vertices, template, four_views(device), lights, PICTURE_PX, device)
        pixels = canvas.start_pixels(self._views)
        material = canvas.material(canvas.residual(torch.tensor([0], device=device)), self._views, pixels)
        return self._views.picture(lit(material, self._views)), surface


def penalty(canvas: Canvas, residual: Tensor, rows: Tensor, weights: Weights, share: float) -> Tensor:
    """All regularisers at (R, N, 5) residuals of (R,) rows."""
    atlas = make_atlas(canvas.template, canvas.grid)
    total = weights.smooth * smoothness(residual, atlas)
    total = total + weights.symmetry * symmetry(residual, canvas.mirror)
    total = total + weights.pull.at(share) * pull_to_start(residual)
    total = total + weights.surface * surface_loss(canvas.grid_material(residual), canvas.expected)
    if len(rows) > 1 and int(rows[0]) == 0:
        total = total + weights.own * (residual[1:] - residual[:1]).square().mean()
    return total


def draw_views(
    vertices: NDArray[np.floating],
    offsets: Mapping[str, NDArray[np.floating]],
    template: HeadTemplate,
    expressions: Sequence[Expression],
    config: PaintConfig,
    generator: torch.Generator,
    size: int,
    device: torch.device | str = "cpu",
) -> tuple[Views, Cameras, list[Expression]]:
    """One round's views, drawn from `generator` alone.

    Kinds of view take turns from a random first one; an expression is as likely as another, and the
    neutral as all of them while they wear one set of maps.
    """
    neutral = np.asarray(vertices, np.float32)
    marks = {k: torch.from_numpy(neutral[i]) for k, i in template.landmarks.items()}
    first = int(torch.randint(len(CLOSEUPS), (), generator=generator))
    kinds = [CLOSEUPS[(first + k) % len(CLOSEUPS)] for k in range(config.views)]
    by_kind = {
        kind: sample_cameras(kinds.count(kind), generator, closeup=kind, landmarks=marks or None)
        for kind in dict.fromkeys(kinds)
    }
    taken = dict.fromkeys(by_kind, 0)
    single = []
    for kind in kinds:
        single.append(by_kind[kind][taken[kind] : taken[kind] + 1])
        taken[kind] += 1
    cameras = join(single)

    poses = [NEUTRAL, *expressions]
    # All poses take turns; half of the views are neutral where all poses wear one set of maps.
    pool = torch.arange(len(poses))
    if not config.per_expression:
        pool = torch.cat([pool, pool.new_zeros(len(expressions))])
    order = torch.cat([torch.randperm(len(pool), generator=generator) for _ in range(config.views)])
    pick = pool[order[: config.views]]
    row = pick if config.per_expression else torch.zeros_like(pick)
    shown = [poses[i] for i in pick]
    posed = np.stack([neutral + offsets[e.name] if e is not NEUTRAL else neutral for e in shown])
    lights = sample_lights(config.views, generator)
    return _seen(posed, template, cameras, lights, size, device, row), cameras, shown


def _seen(
    vertices: NDArray[np.floating],
    template: HeadTemplate,
    cameras: Cameras,
    lights: Lights,
    size: int,
    device: torch.device | str,
    row: Tensor | None = None,
) -> Views:
    """`look` at (V, 3) or (B, V, 3) vertices on the template's topology, on a device."""
    return look(
        torch.from_numpy(np.asarray(vertices, np.float32)).to(device),
        torch.from_numpy(np.asarray(template.triangles)).to(device),
        torch.from_numpy(np.asarray(template.triangle_uv)).to(device),
        cameras.to(device),
        lights.to(device),
        size,
        None if row is None else row.to(device),
    )


@torch.no_grad()
def bake(
    canvas: Canvas,
    vertices: NDArray[np.floating],
    template: HeadTemplate,
    start: Material,
    expressions: Sequence[Expression],
    config: PaintConfig,
    detail: Detail | None = None,
) -> Maps:
    """The finished maps of a painted canvas: the residual on the bake grid, the start at full size."""

    canvas = canvas.cpu()
    coarse = make_atlas(template, config.bake_grid)

    def painted(row: int, size: int, full: Tensor) -> MapSet:
        residual = canvas.residual(torch.tensor([row]), config.bake_grid)[0]
        atlas = make_atlas(template, size)
        return compose_maps(full, skin_image(residual, coarse), canvas.tint_residual(atlas), atlas)

    neutral = painted(0, config.size, pack(start, config.size))
    sets = {}
    if config.per_expression:
        size = min(config.size, SET_SIZE)
        small = pack(start, size)
        sets = {e.name: painted(1 + k, size, small) for k, e in enumerate(expressions)}
    atlas = make_atlas(template, config.size)
    height = author_height(template, atlas, start.albedo_srgb, detail or Detail())
    return Maps(
        albedo_srgb=neutral.albedo_srgb,
        roughness=neutral.roughness,
        specular=neutral.specular,
        normal=tangent_normals(height, atlas, vertices, config.relief),
        sets=sets,
    )

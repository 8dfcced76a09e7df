"""Presets: how much work each stage does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from .appearance.settings import Between, PaintConfig
from .errors import InputError
from .geometry.polish import PolishConfig
from .geometry.sculpt import SculptConfig
from .priors.adapter_files import read_adapter_config
from .priors.guidance import Ramp
from .priors.locate import locate
from .priors.prompts import DOMAINS


@dataclass(frozen=True)
class Preset:
    """Settings of every stage.

    Attributes:
        sculpt: DMTet by score distillation.
        polish: Expressions at fixed topology.
        paint: Appearance, and the maps' size.
    """

    sculpt: SculptConfig = field(default_factory=SculptConfig)
    polish: PolishConfig = field(default_factory=PolishConfig)
    paint: PaintConfig = field(default_factory=PaintConfig)


def settings_of(preset: str | Preset, prior: str | Path = "starter") -> Preset:
    """The settings of `draft` (minutes on two cores), `standard` or `high`, as `prior` is best asked.

    Settings are themselves, whatever a prior advises.

    Raises:
        InputError: another name, or the prior cannot be read.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    home, settings = locate(prior), PRESETS[preset]
    geometry, albedo = (read_adapter_config(home, domain).advice for domain in DOMAINS)
    sculpt, polish, paint = settings.sculpt, settings.polish, settings.paint
    if geometry is not None:
        guidance, generic, ramp = geometry.guidance, geometry.generic, Ramp(*geometry.noise)
        sculpt = replace(sculpt, noise_level=ramp, guidance=guidance, generic=generic)
        ramp = replace(ramp, last=max(polish.rounds - 1, 0))
        polish = replace(polish, noise_level=ramp, guidance=guidance, generic=generic)
    if albedo is not None:
        paint = replace(
            paint,
            timesteps=Between(*albedo.noise),
            guidance_scale=albedo.guidance,
            generic=albedo.generic,
        )
    if not sculpt.generic:
        # What is asked for a person's sake alone never ends, however near the head is: more rounds even it
        # out over more views and noise, but are to go no farther.
        sculpt = replace(sculpt, learning_rate=sculpt.learning_rate * _DRAFT.rounds / sculpt.rounds)
        # Of expressions, recipes in the head's own units know more than what is asked so (docs/priors.md).
        polish = replace(polish, rounds=0)
    return Preset(sculpt, polish, paint)


def label(preset: str | Preset) -> str:
    """A preset's name; settings without one are named by what they are, so that a run can resume."""
    if isinstance(preset, str):
        return preset
    return f"custom-{hashlib.sha256(json.dumps(asdict(preset)).encode()).hexdigest()[:12]}"


# A prior that advises nothing may be young: what it says from much noise is then worse than the start head,
# so it is asked from little, and for what is personal alone. The shipped ones say themselves how to be asked.
_GENTLY = Ramp(0.15, 0.08)
_DRAFT = SculptConfig(
    cell_m=0.008,
    rounds=16,
    quick_rounds=8,
    views=3,
    closeups=1,
    denoising_steps=4,
    noise_level=_GENTLY,
    generic=0.0,
    learning_rate=2e-4,
)

_POLISH = PolishConfig(noise_level=_GENTLY, generic=0.0)

PRESETS: dict[str, Preset] = {
    "draft": Preset(_DRAFT, _POLISH, PaintConfig.preset("draft")),
    "standard": Preset(
        replace(_DRAFT, cell_m=0.006, rounds=160, quick_rounds=80, views=4, closeups=2, denoising_steps=8),
        replace(_POLISH, rounds=3, denoising_steps=8),
        PaintConfig.preset("standard"),
    ),
    "high": Preset(
        replace(_DRAFT, cell_m=0.005, rounds=480, quick_rounds=240, views=6, closeups=3, denoising_steps=10),
        replace(_POLISH, rounds=10, denoising_steps=10),
        PaintConfig.preset("high"),
    ),
}

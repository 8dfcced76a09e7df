"""Settings of the appearance stage and what its presets mean."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import InputError

METHODS = ("refined", "sds")


@dataclass(frozen=True)
class Between:
    """A number that goes in a straight line from `start` to `end` over the run."""

    start: float
    end: float

    def at(self, share: float) -> float:
        """The value when `share` of the run, in [0, 1], lies behind."""
        return self.start + (self.end - self.start) * share


@dataclass(frozen=True)
class Weights:
    """Of the regularisers, against a data term that is a mean squared sRGB error.

    Attributes:
        smooth: Residuals of texels beside each other.
        symmetry: Left and right.
        pull: To the start, fading over the run.
        surface: Roughness and specular to their regions' values.
        own: An expression's residual to the neutral's.
    """

    smooth: float = 0.05
    symmetry: float = 1e-2
    pull: Between = Between(1e-2, 2e-3)
    surface: float = 2e-4
    own: float = 4e-3


@dataclass(frozen=True)
class PaintConfig:
    """Settings of the stage.

    Attributes:
        size: Texels a side of the finished maps.
        grid: Texels a side of the residual while painting.
        bake_grid: Texels a side of the residual in the finished maps.
        rounds: Draws of views. 0 bakes the start.
        views: Views a round.
        inner_steps: Fits to one round's targets.
        fit_pixels: Of a round's pixels, as many as are fitted, drawn at random.
        method: "refined" or "sds".
        timesteps: Noise level over the rounds, in shares of the forward process.
        denoise_steps: DDIM steps to a target.
        guidance_scale: s of `guidance.asked_change`: how strongly to follow what is personal.
        generic: How far to follow the prior's view of heads at large; 1 for a strong prior.
        learning_rate: Adam's, over the rounds.
        per_expression: One set of maps for each expression beside the neutral's.
        relief: Strength of the normal map's micro relief, 1 as authored.
        weights: Of the regularisers.
    """

    size: int = 1024
    grid: int = 128
    bake_grid: int = 256
    rounds: int = 24
    views: int = 6
    inner_steps: int = 8
    fit_pixels: int = 40_000
    method: str = "refined"
    # Gentle, as `config._GENTLY` is with geometry and for its reason (docs/priors.md has the figures).
    timesteps: Between = Between(0.15, 0.08)
    denoise_steps: int = 6
    guidance_scale: float = 1.0
    generic: float = 0.0
    learning_rate: Between = Between(4e-3, 1e-3)
    per_expression: bool = False
    relief: float = 1.0
    weights: Weights = field(default_factory=Weights)

    @classmethod
    def preset(cls, name: str) -> PaintConfig:
        """`draft`, `standard` or `high`.

        Raises:
            InputError: another name.
        """
        if name not in PRESETS:
            raise InputError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
        return PRESETS[name]

    def checked(self) -> PaintConfig:
        """Itself.

        Raises:
            InputError: a setting that cannot work.
        """
        if self.method not in METHODS:
            raise InputError(f"unknown painting method {self.method!r}: choose one of {', '.join(METHODS)}")
        for name in ("size", "grid", "bake_grid", "views", "inner_steps", "fit_pixels", "denoise_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"the painting setting {name} is {getattr(self, name)}: give at least 1")
        return self


PRESETS: dict[str, PaintConfig] = {
    "draft": PaintConfig(rounds=16, views=4, denoise_steps=4),
    "standard": PaintConfig(size=2048, grid=192, bake_grid=512, rounds=60),
    "high": PaintConfig(size=4096, grid=256, bake_grid=1024, rounds=150, views=8, per_expression=True),
}

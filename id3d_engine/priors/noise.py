"""The forward process `z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps` and what follows from it.

    schedule = NoiseSchedule.of(base.scheduler)
    z_t = schedule.add_noise(latents, noise, t)
    loss = ((denoiser(z_t, t, ...) - schedule.target(latents, noise, t)) ** 2).mean()
    schedule.eps_and_x0(z_t, raw_prediction, t)

Conversions for v = sqrt(abar) eps - sqrt(1 - abar) z_0 are those of Salimans and Ho, "Progressive
Distillation" (arXiv 2202.00512), appendix D. With zero terminal SNR abar is 0 at the last step:
eps-prediction says nothing about z_0 there, v-prediction does (v = -z_0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError

PREDICTIONS = ("epsilon", "v_prediction")


@dataclass(frozen=True)
class NoiseSchedule:
    """abar (T,) float32, falling from nearly 1 to nearly or exactly 0, and what the UNet predicts."""

    abar: Tensor
    prediction: str

    @classmethod
    def of(cls, scheduler: Any) -> NoiseSchedule:
        """From any diffusers scheduler.

        Raises:
            InputError: the model predicts something else than eps or v.
        """
        prediction = scheduler.config.prediction_type
        if prediction not in PREDICTIONS:
            raise InputError(
                f"the base predicts {prediction!r}: use one that predicts {' or '.join(PREDICTIONS)}"
            )
        return cls(scheduler.alphas_cumprod.float().clone(), prediction)

    @property
    def steps(self) -> int:
        return len(self.abar)

    def to(self, device: torch.device | str) -> NoiseSchedule:
        return NoiseSchedule(self.abar.to(device), self.prediction)

    def roots(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(sqrt(abar), sqrt(1 - abar)), each (B, 1, 1, 1), for (B,) timesteps."""
        abar = self.abar.to(t.device)[t].reshape(-1, 1, 1, 1)
        return abar.sqrt(), (1 - abar).sqrt()

    def add_noise(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """(B, 4, h, w) clean latents and noise, (B,) timesteps -> z_t."""
        signal, spread = self.roots(t)
        return signal * latents + spread * noise

    def target(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the UNet should answer: `noise`, or v."""
        if self.prediction == "epsilon":
            return noise
        signal, spread = self.roots(t)
        return signal * noise - spread * latents

    def eps_and_x0(self, noisy: Tensor, predicted: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """A raw prediction at z_t as noise and as clean latents."""
        signal, spread = self.roots(t)
        if self.prediction == "v_prediction":
            return signal * predicted + spread * noisy, signal * noisy - spread * predicted
        # An eps-model's last timesteps have a tiny but positive abar; the floor guards a mislabelled one.
        return predicted, (noisy - spread * predicted) / signal.clamp_min(1e-4)

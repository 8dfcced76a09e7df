"""Training of the base's autoencoder on crops of normals and albedo renders."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ...job import Job, Stepper
from ..base import Vae
from .curves import Curve


@dataclass(frozen=True)
class VaeTraining:
    """How the autoencoder is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Crops a step.
        crop: Pixels a side of a crop; the network is convolutional, so crops train it for any size.
        learning_rate: Peak of a warm-up and cosine schedule.
        edge_weight: Weight of the error of the pixels' finite differences, which keeps eyelids and
            lips sharp where an absolute error alone would blur them.
        kl_weight: Weight of the latents' KL divergence, small as in latent diffusion (arXiv 2112.10752).
    """

    steps: int = 3000
    batch: int = 16
    crop: int = 128
    learning_rate: float = 6e-4
    edge_weight: float = 1.0
    kl_weight: float = 1e-6


def train_vae(
    vae: Vae,
    pngs: list[bytes],
    config: VaeTraining,
    job: Job,
    accelerator: Accelerator,
    curve: Curve,
) -> None:
    """Train `vae` in place on PNG renders, with checkpoints in the job's folder."""
    optimizer = torch.optim.AdamW(vae.parameters(), lr=config.learning_rate, weight_decay=1e-4)
    model, optimizer = accelerator.prepare(Reconstruction(vae), optimizer)
    state = Stepper(vae, optimizer)
    for step in job.steps("vae", config.steps, state, "training the autoencoder"):
        generator = job.generator("vae", step * accelerator.num_processes + accelerator.process_index)
        crops = random_crops(pngs, config.batch, config.crop, generator).to(accelerator.device)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warm_cosine(step, config.steps, 100)
        with accelerator.autocast():
            decoded, kl = model(crops, int(torch.randint(2**31, (), generator=generator)))
        error = (decoded - crops).abs().mean()
        edges = edge_error(decoded, crops)
        loss = error + config.edge_weight * edges + config.kl_weight * kl
        optimizer.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        curve.add(step, loss=loss, error=error, edges=edges, kl=kl)


class Reconstruction(torch.nn.Module):
    """The autoencoder's forward pass of training as one module, as distributed training wants it."""

    def __init__(self, vae: Vae) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, images: Tensor, noise_seed: int) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) in [0, 1] -> the same decoded from a posterior sample, and KL a latent number."""
        posterior = self.vae.encode(images * 2 - 1).latent_dist
        generator = torch.Generator().manual_seed(noise_seed)
        noise = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
        decoded = self.vae.decode(posterior.mean + posterior.std * noise).sample
        return decoded.float() / 2 + 0.5, posterior.kl().float().mean() / posterior.mean[0].numel()


def edge_error(image: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of the finite differences along x and y; scalar."""
    difference = image - target
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def random_crops(pngs: list[bytes], count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, 3, s, s) float32 in [0, 1], s = `size` or the renders' own where they are smaller.

    Centres avoid the renders' empty border.
    """
    crops = []
    for index in torch.randint(len(pngs), (count,), generator=generator).tolist():
        image = np.asarray(Image.open(io.BytesIO(pngs[index])))
        room = max(image.shape[0] - size, 0)
        # The mean of two uniform draws favours the middle, where the head is.
        y, x = (torch.rand(2, 2, generator=generator).mean(0) * (room + 1)).int().clamp(max=room).tolist()
        crops.append(image[y : y + size, x : x + size])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def reconstruction_psnr(vae: Vae, images: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of decode(encode(images)), images (B, 3, S, S) in [0, 1]."""
    decoded = vae.decode(vae.encode(images * 2 - 1).latent_dist.mode()).sample / 2 + 0.5
    return -10 * math.log10(float(functional.mse_loss(decoded.clamp(0, 1), images)))


def warm_cosine(step: int, steps: int, warm: int) -> float:
    """Linear warm-up over `warm` steps, then half a cosine down to a twentieth."""
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(steps - warm, 1)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

"""Sample grids: what a prior draws from noise, beside the renders its conditions came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..prior import Prior
from .latents import Encoded

COLUMNS = 8


def write_grid(
    folder: Path,
    domain: str,
    encoded: Encoded,
    path: Path,
    *,
    steps: int = 12,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> None:
    """A PNG of two rows: samples of the prior in `folder`, and the data with their conditions.

    The data are shown as the autoencoder gives them back.

    Raises:
        OutOfMemory: the device has no room for one image more.
    """
    prior = Prior.load(folder, domain, device)
    count, identity = len(encoded.said), encoded.identity()
    rows = list(range(0, count, max(count // COLUMNS, 1)))[:COLUMNS]
    said = [encoded.said[row] for row in rows]
    conditions = prior.conditions(
        identity[encoded.person[rows], 0],
        [s["descriptor"] for s in said],
        [s["view"] for s in said],
        [s["caption"] for s in said],
    )
    drawn = prior.sample(conditions, steps=steps, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        truth = prior.decode(encoded.latents[domain][torch.tensor(rows)].float().to(prior.device))
    grid = torch.cat([torch.cat(list(images), dim=2) for images in (drawn.cpu(), truth.cpu())], dim=1)
    Image.fromarray(_pixels(grid)).save(path)


def _pixels(image: torch.Tensor) -> np.ndarray:
    return (image.permute(1, 2, 0).clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()

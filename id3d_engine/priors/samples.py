"""Sample grids: what a prior draws from noise, beside the renders its conditions came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .prior import Prior
from .shards import Samples, decode_pngs

COLUMNS = 8


def write_grid(
    folder: Path,
    domain: str,
    samples: Samples,
    path: Path,
    *,
    steps: int = 12,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> None:
    """A PNG of two rows: samples of the prior in `folder`, and the training renders with their conditions."""
    prior = Prior.load(folder, domain, device)
    step = max(len(samples.records) // COLUMNS, 1)
    picked = list(range(0, len(samples.records), step))[:COLUMNS]
    conditions = prior.conditions(
        np.stack([samples.identity[i][0] for i in picked]),
        [samples.records[i]["descriptor"] for i in picked],
        [samples.records[i]["view"] for i in picked],
        [samples.records[i]["caption"] for i in picked],
    )
    drawn = prior.sample(conditions, steps=steps, generator=torch.Generator().manual_seed(seed)).cpu()
    pngs = samples.normals if domain == "geometry" else samples.albedo
    truth = decode_pngs([pngs[i] for i in picked])
    rows = [torch.cat(list(images), dim=2) for images in (drawn, truth)]
    grid = torch.cat(rows, dim=1).permute(1, 2, 0)
    Image.fromarray((grid.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()).save(path)

"""What a training leaves at every save: the prior's folder, its card, and sample grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from ...digest import sha256_of
from ...errors import OutOfMemory
from ...job import Job
from ..adapter_files import STRONG, UNET_FILE, AdapterConfig, save_adapter
from ..adapters import Adapter, AdapterSizes
from ..base import Base, save_base
from ..prompts import DOMAINS
from .card import write_card
from .denoiser import DenoiserTraining
from .latents import Encoded
from .samples import write_grid


@dataclass(frozen=True, eq=False)
class Result:
    """Writes what is trained, as it is now.

    Attributes:
        out: The prior's folder.
        work: Takes the sample grids.
        parts: The base.
        adapters: By domain.
        encoded: The data, for the grids.
        sizes: Of the adapters.
        resolution: Pixels a side of the data.
        base: The frozen base's name; None is a base that is trained and saved along.
        base_sha256: Of the frozen base's UNet file.
        prediction: What the base predicts, as in its scheduler.
        training: How.
        facts: For the card.
    """

    out: Path
    work: Path
    parts: Base
    adapters: Mapping[str, Adapter]
    encoded: Encoded
    sizes: AdapterSizes
    resolution: int
    base: str | None
    base_sha256: str
    prediction: str
    training: DenoiserTraining
    facts: Mapping[str, object]

    def save(self, found: Mapping[str, float], job: Job, device: torch.device) -> None:
        """Write folder, card and grids.

        Args:
            found: The step and what was measured.
            job: Hears if there was no memory for a grid.
            device: Draws the grids.
        """
        Adapter.remove(self.parts.unet)
        if self.base is None:
            save_base(self.parts, self.out)
        description = AdapterConfig(
            domain=DOMAINS[0],
            identity_encoder=self.encoded.people.encoder,
            identity_dimension=self.sizes.identity_dimension,
            identity_tokens=self.sizes.identity_tokens,
            base=self.base or self.out.name,
            base_sha256=self.base_sha256 or sha256_of(self.out / UNET_FILE),
            rank=self.sizes.rank,
            projector_width=self.sizes.projector_width,
            resolution=self.resolution,
            prediction=self.prediction,
            training=asdict(self.training),
            advice=None if self.base is None else STRONG,
            metrics=dict(found),
        )
        for domain, adapter in self.adapters.items():
            save_adapter(adapter, replace(description, domain=domain, image_convention=""), self.out)
        scanned = any(record["target"] is None for record in self.encoded.people.records)
        write_card(
            self.out,
            self.facts,
            found,
            encoder=self.encoded.people.encoder,
            base=self.base,
            scanned=scanned,
        )
        for domain in self.adapters:
            grid = self.work / f"samples-{domain}-{found['step']:06d}.png"
            try:
                write_grid(self.out, domain, self.encoded, grid, device=device)
            except (OutOfMemory, torch.cuda.OutOfMemoryError):
                job.note("the device has no memory left to draw samples beside the training")

"""Data for the training of denoisers."""

from __future__ import annotations

import pytest
import torch

from id3d_engine.priors.prompts import DOMAINS
from id3d_engine.priors.training.data import TrainingData


@pytest.fixture
def four_samples() -> TrainingData:
    """Texts and embeddings tell which row and which kind they are; two and two share a person."""
    rows, generator = torch.arange(4), torch.Generator().manual_seed(0)
    return TrainingData(
        latents={d: torch.randn(4, 4, 8, 8, generator=generator).half() for d in DOMAINS},
        identity=1 + torch.rand(2, 2, 8, generator=generator),
        person=rows // 2,
        texts=torch.arange(50)[:, None].expand(-1, 24).clone(),
        prompts=dict.fromkeys(DOMAINS, 10 + rows),
        plain_prompts=dict.fromkeys(DOMAINS, 20 + rows),
        bare_prompts=dict.fromkeys(DOMAINS, 40 + rows),
        expression=30 + rows % 3,
        empty=5,
    )

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from id3d_engine.expressions import EXPRESSIONS, NEUTRAL
from id3d_engine.job import Job
from id3d_engine.priors.training.curves import Curve
from id3d_engine.priors.training.parallel import start_processes
from id3d_engine.priors.training.words import WordsTraining, said, teach_words

DESCRIPTORS = [e.descriptor for e in (NEUTRAL, *EXPRESSIONS)]
CAPTIONS = [f"{who}, {view} view" for who in ("an old man", "a girl") for view in ("front", "left side")]


def last_tokens(base, texts: list[str]) -> torch.Tensor:
    """(N, C), of unit length."""
    limit = base.tokenizer.model_max_length
    ids = base.tokenizer(texts, padding="max_length", truncation=True, max_length=limit, return_tensors="pt")
    with torch.no_grad():
        return torch.nn.functional.normalize(base.text_encoder(ids.input_ids)[0][:, -1], dim=-1)


def test_texts_are_told_apart_and_alike_ones_stay_alike(base, tmp_path: Path) -> None:
    config = WordsTraining(steps=150, batch=18, learning_rate=5e-3)
    accelerator = start_processes("no")
    curve = Curve(tmp_path / "words.jsonl")
    teach_words(base.text_encoder, base.tokenizer, [DESCRIPTORS, CAPTIONS], config, Job(), accelerator, curve)
    tokens = last_tokens(base, DESCRIPTORS)
    wanted = torch.stack([said(text, tokens.shape[1]) for text in DESCRIPTORS])
    alike = torch.nn.functional.cosine_similarity(tokens[:, None], wanted[None], dim=-1)
    assert torch.equal(alike.argmax(dim=1), torch.arange(len(DESCRIPTORS)))
    man, man_aside, girl, _ = last_tokens(base, CAPTIONS)
    assert float(man @ man_aside) > float(man @ girl)


def test_what_a_text_says_is_its_words() -> None:
    one, other = said("a smile, lips pulled up", 64), said("Lips pulled up: a smile", 64)
    assert torch.allclose(one, other, atol=1e-5)
    assert float(one.norm()) == pytest.approx(8)
    assert float(said("", 64).norm()) == pytest.approx(8)
    assert float(one @ said("", 64)) / 64 < 0.5

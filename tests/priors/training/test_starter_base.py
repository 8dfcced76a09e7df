from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from id3d_engine.priors.base import Base, load_base, save_base, set_latent_scale
from id3d_engine.priors.tokenizer import train_clip_tokenizer
from id3d_engine.priors.training.starter_base import StarterConfig, _text_encoder, _unet, _vae

SENTENCE = "a young woman with freckles"


def test_default_sizes_fit_the_shipped_package(base: Base) -> None:
    config = StarterConfig()
    with torch.device("meta"):
        parts = _unet(config), _vae(config), _text_encoder(config, base.tokenizer)
    millions = [sum(p.numel() for p in part.parameters()) / 1e6 for part in parts]
    assert 10 < millions[0] < 15
    assert 2 * sum(millions) < 45  # MB in fp16; 60 MB are for everything
    assert config.latent_size == 32


def test_schedule_ends_in_pure_noise_and_predicts_v(base: Base) -> None:
    assert float(base.scheduler.alphas_cumprod[-1]) == 0
    assert base.scheduler.config.prediction_type == "v_prediction"
    assert base.scheduler.config.timestep_spacing == "trailing"


def test_known_words_are_one_token_and_any_text_can_be_read_back(base: Base) -> None:
    tokenizer = base.tokenizer
    assert len(tokenizer(SENTENCE).input_ids) == len(SENTENCE.split()) + 2
    strange = "zebra , émile ! 42 é"
    ids = tokenizer(strange).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == strange.replace(" ", "")
    assert ids.count(tokenizer.eos_token_id) == 1


def test_the_same_texts_give_the_same_vocabulary() -> None:
    """Ties among pairs are many in few texts, and no run may break them by chance."""
    texts = ["the quick brown fox jumps over a lazy dog", "pack my box with five dozen liquor jugs"] * 2
    learnt = [train_clip_tokenizer(texts, 60, 16).get_vocab() for _ in range(12)]
    assert all(vocabulary == learnt[0] for vocabulary in learnt)
    assert 20 < len(learnt[0]) - 2 * 256 - 2 <= 60


def test_vocabulary_files_alone_give_the_same_tokens(prior_folder: Path, base: Base, tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((prior_folder / "tokenizer" / name).read_bytes())
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    assert tokenizer(SENTENCE).input_ids == base.tokenizer(SENTENCE).input_ids
    assert tokenizer.model_max_length == 24


def test_diffusers_own_pipeline_reads_and_runs_the_folder(prior_folder: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        prior_folder, safety_checker=None, requires_safety_checker=False
    ).to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    images = pipeline(SENTENCE, num_inference_steps=2, output_type="np", generator=generator).images
    assert images.shape == (1, 64, 64, 3)
    assert images.std() > 0


def test_saving_keeps_weights_to_half_precision_and_leaves_the_base_alone(base: Base, tmp_path: Path) -> None:
    set_latent_scale(base.vae, torch.tensor([-4.0, 4.0, -4.0, 4.0]))
    before = {k: v.clone() for k, v in base.unet.state_dict().items()}
    save_base(base, tmp_path)
    loaded = load_base(tmp_path)
    assert loaded.vae.config.scaling_factor == pytest.approx((3 / 4) ** 0.5 / 4)
    for model, other in (
        (base.unet, loaded.unet),
        (base.vae, loaded.vae),
        (base.text_encoder, loaded.text_encoder),
    ):
        expected = model.state_dict()
        for key, value in other.state_dict().items():
            assert torch.equal(value, expected[key].half().to(value.dtype)), key
            assert value.dtype != torch.float16, key
    assert all(torch.equal(v, base.unet.state_dict()[k]) for k, v in before.items())


def test_a_saved_base_does_not_tell_where_it_was_read_from(prior_folder: Path, tmp_path: Path) -> None:
    save_base(load_base(prior_folder), tmp_path / "again")
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "again").rglob("*.json")]
    assert len(texts) > 4 and not any(str(prior_folder) in text for text in texts)

"""A small CLIP tokenizer (byte-level BPE) trained on captions.

The result is `transformers.CLIPTokenizer` over a vocabulary laid out as CLIP's own: 256 bytes, the
same 256 bytes ending a word, one entry a merge, start, end. Any text can be encoded: a word that no
caption had falls apart into bytes, never into "unknown".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
_END_OF_WORD = "</w>"


def token_ids(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """(B, L) ids of texts as any CLIP tokenizer reads them, filled or cut to the L that it knows."""
    ids: Tensor = tokenizer(
        list(texts), padding="max_length", truncation=True, max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids  # fmt: skip
    return ids


def train_clip_tokenizer(texts: Iterable[str], merges: int, max_length: int) -> CLIPTokenizer:
    """Train byte pair merges on `texts`.

    Args:
        texts: Captions, prompts and descriptors; read once.
        merges: The most merges to learn; fewer when the texts run out of pairs.
        max_length: Tokens a text, start and end included (`model_max_length`).
    """
    from tokenizers import pre_tokenizers, trainers

    blank = CLIPTokenizer(vocab=_vocabulary([]), merges=[], model_max_length=max_length)
    backend = blank.backend_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        # The trainer counts the alphabet with and without the word's end, so give it room for both.
        vocab_size=2 * len(alphabet) + merges,
        initial_alphabet=alphabet,
        # Numbered beforehand: else the trainer numbers word ends in a random order, and breaks ties by it.
        special_tokens=[byte + _END_OF_WORD for byte in alphabet],
        end_of_word_suffix=_END_OF_WORD,
        show_progress=False,
        min_frequency=2,
    )
    backend.train_from_iterator(texts, trainer)
    learnt: Any = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]][:merges]
    return CLIPTokenizer(vocab=_vocabulary(learnt), merges=learnt, model_max_length=max_length)


def save_clip_files(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write `vocab.json`, `merges.txt` and the configuration: CLIP's own file layout.

    Readers older than transformers 5 want these two files, newer ones also take `tokenizer.json`.
    """
    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(byte + _END_OF_WORD for byte in alphabet)]
    words += [first + second for first, second in merges]
    words += [START, END]
    return {word: index for index, word in enumerate(dict.fromkeys(words))}

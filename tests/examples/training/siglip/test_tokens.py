"""The vocabulary covers any English letters and gives texts back."""

from __future__ import annotations

import pytest
from transformers import SiglipTokenizer

from examples.training.siglip.tokens import LENGTH, canonical, english, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> SiglipTokenizer:
    """A vocabulary trained on a few captions and loaded from its folder."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(folder, seed=0, captions=300)
    return SiglipTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.mark.parametrize("text", ["A photo of a cracked metal part.", "a bolt is missing", "zygomorphic quixotry 42"])
def test_texts_come_back(tokenizer: SiglipTokenizer, text: str) -> None:
    """Decoding gives the canonical text, unseen words included: nothing becomes unknown."""
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == canonical(text)


def test_texts_are_padded_with_the_end_token(tokenizer: SiglipTokenizer) -> None:
    """SigLIP reads its answer at the last place, which after padding is always the end token."""
    ids = tokenizer("a dent", padding="max_length", truncation=True, max_length=LENGTH)["input_ids"]
    assert len(ids) == LENGTH
    assert ids[-1] == tokenizer.eos_token_id


def test_plain_words_are_stable() -> None:
    """The word list is sorted by use and has no doubles."""
    found = english(200)
    assert len(set(found)) == 200
    assert "the" in found[:20]

"""The SentencePiece vocabulary of the checkpoint: its captions plus common technical English, so that unseen words still split."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from pathlib import Path
from pydoc_data import topics
from random import Random

import numpy as np
import sentencepiece
from transformers import SiglipTokenizer

from examples.line.captions import caption
from examples.training.common import words
from examples.training.common.generated import training_spec

VOCABULARY = 2048
LENGTH = 32
_ENGLISH_WORDS = 1500


def canonical(text: str) -> str:
    """Text as the SigLIP tokenizer sees it: lower case, no punctuation, single spaces."""
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())


def english(count: int = _ENGLISH_WORDS) -> tuple[str, ...]:
    """The most usual plain words of Python's own manual pages, which every installation carries."""
    counts: dict[str, int] = {}
    for text in topics.topics.values():
        for word in re.findall(r"\b[a-z]{3,14}\b", text):
            counts[word] = counts.get(word, 0) + 1
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:count])


def corpus(seed: int, captions: int = 12000) -> Iterable[str]:
    """Sentences for the vocabulary: scene captions, claims about every concept, attributes and plain English words."""
    rng, random = np.random.default_rng(seed), Random(seed)
    for _ in range(captions):
        yield caption(training_spec(rng), rng)
    for concept in words.CONCEPTS:
        for noun in words.nouns(concept) + words.absent_phrases(concept):
            yield from (noun, noun)
        for domain in words.PLACES:
            yield from (words.described(domain, concept, random).words for _ in range(8))
    yield from (words.attribute(random).words for _ in range(2000))
    yield from english()


def train_tokenizer(folder: Path, seed: int, captions: int = 12000) -> SiglipTokenizer:
    """Train the vocabulary and save it below ``folder`` as spiece.model and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = [f"{letter} " * 3 for letter in string.ascii_lowercase + string.digits]
    sentences = [canonical(text) for text in corpus(seed, captions)] + alphabet
    with (folder / "spiece.model").open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=model, vocab_size=VOCABULARY, model_type="unigram", character_coverage=1.0,
            unk_id=0, eos_id=1, bos_id=-1, pad_id=-1, required_chars=string.ascii_lowercase + string.digits, minloglevel=2, hard_vocab_limit=False,
        )  # fmt: skip
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"), model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    return tokenizer

"""The byte-level vocabulary of the checkpoint with SmolVLM's special tokens and chat template, made from its own questions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from examples.line.captions import caption
from examples.training.common.generated import training_spec
from examples.training.siglip.tokens import english
from examples.training.smolvlm import questions

VOCABULARY = 1536
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>",
)  # fmt: skip
IMAGE_ID, END_ID, PAD_ID = 3, 6, 2
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}"
    "{% for part in message['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def corpus(seed: int, size: int) -> Iterator[str]:
    """Questions, answers, captions and plain English, so that words outside the questions still split sensibly."""
    random, rng = Random(seed), np.random.default_rng(seed)
    for _ in range(size):
        yield questions.INSTRUCTIONS["yes_no"].format(question=questions.any_question(random).words)
        yield caption(training_spec(rng), rng)
    for table in questions.WORD_QUESTIONS:
        for word in (*table.answers.values(), "Yes", "No"):
            yield from (f"Assistant: {word}" for _ in range(size // 20 + 5))
        yield from (questions.INSTRUCTIONS["word"].format(question=form) for form in table.forms)
    yield from (f"User: {word}" for word in english())


def train_tokenizer(folder: Path, seed: int, size: int = 6000) -> PreTrainedTokenizerFast:
    """Train the vocabulary and save it below ``folder`` as tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus(seed, size), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        chat_template=TEMPLATE,
        pad_token=SPECIAL[PAD_ID],
        eos_token=SPECIAL[END_ID],
        model_max_length=1024,
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    return tokenizer


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The saved vocabulary."""
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)

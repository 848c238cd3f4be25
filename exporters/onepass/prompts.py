"""Turns questions in words into token sequences, by the checkpoint's own tokenizer and chat template.

Tokens are made of the whole prompt of every question, as the reference implementation would be asked, never of pieces: what the questions share
is found afterwards on the tokens (`layout.split`), so a tokenizer that merges across a seam cannot make the graph differ from the reference.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from edge.errors import ExportError
from exporters.checkpoint.folder import loading
from exporters.checkpoint.whole import read_tokenizer

INSTRUCTION_FIRST = (
    "Answer with yes or no. {question}"  # the instruction is in the shared prefix and costs one branch nothing
)


class Asking(Protocol):
    """What the prompts need to know of a family."""

    @property
    def placeholder(self) -> str:
        """What the chat template writes where the image goes; empty for a text model."""
        ...

    @property
    def answers(self) -> tuple[str, str]:
        """Yes and no as the family's instruct models begin an answer."""
        ...

    @property
    def adds_special_tokens(self) -> bool:
        """Whether the tokenizer puts a first token before a templated prompt."""
        ...

    @property
    def opening(self) -> str:
        """Text behind the opening of the assistant's turn."""
        ...


@dataclass(frozen=True, slots=True)
class Prompts:
    """K questions as tokens.

    Attributes:
        sequences: the K prompts, image tokens written out.
        yes, no: the tokens whose logits are compared behind each.
    """

    sequences: tuple[tuple[int, ...], ...]
    yes: int
    no: int


def compile_prompts(
    folder: Path, family: Asking, questions: Sequence[str], *, image_text: str, template: str = INSTRUCTION_FIRST
) -> Prompts:
    """The questions as the checkpoint's chat template puts them to the model.

    Args:
        folder: the checkpoint.
        family: its family.
        questions: K questions in words.
        image_text: the placeholder of the image, special tokens written out; empty for a text model.
        template: text of the user's turn; must contain {question}.

    Raises:
        ExportError: no chat template, a prompt without its image, or answers that the tokenizer cannot tell apart.
    """
    tokenizer = load_tokenizer(folder)
    turns = [template.format(question=question) for question in questions]
    with loading(folder, "chat template"):
        texts = [render(tokenizer, turn, image=bool(image_text)) + family.opening for turn in turns]
    if image_text:
        texts = [_with_image(text, family.placeholder, image_text) for text in texts]
    sequences = tuple(tuple(encode(tokenizer, text, special=family.adds_special_tokens)) for text in texts)
    yes, no = answer_tokens(tokenizer, texts[0], sequences[0], family)
    return Prompts(sequences, yes, no)


@lru_cache(maxsize=4)
def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - transformers ships no types
    """The checkpoint's tokenizer with its chat template, from local files only.

    Raises:
        ExportError: it does not load, or there is no chat template anywhere in the folder.
    """
    tokenizer = read_tokenizer(folder)
    if not tokenizer.chat_template and (folder / "chat_template.jinja").exists():
        tokenizer.chat_template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    for name in ("chat_template.json", "processor_config.json"):  # where older and newer processors keep it
        if not tokenizer.chat_template and (folder / name).exists():
            with loading(folder, name):
                tokenizer.chat_template = json.loads((folder / name).read_text(encoding="utf-8")).get("chat_template")
    if not tokenizer.chat_template:
        raise ExportError(
            f"{folder}: no chat template; an instruction-tuned checkpoint is needed, or put a chat_template.jinja there"
        )
    return tokenizer


def render(tokenizer: Any, text: str, *, image: bool) -> str:  # noqa: ANN401 - transformers ships no types
    """One user turn with the image first, and the opening of the assistant's turn; no thinking where the template lets one choose."""
    content: Any = [{"type": "image"}, {"type": "text", "text": text}] if image else text
    messages = [{"role": "user", "content": content}]
    return str(
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    )


def encode(tokenizer: Any, text: str, *, special: bool) -> list[int]:  # noqa: ANN401 - transformers ships no types
    """Tokens of a whole prompt."""
    return [int(token) for token in tokenizer(text, add_special_tokens=special)["input_ids"]]


def answer_tokens(tokenizer: Any, text: str, sequence: Sequence[int], family: Asking) -> tuple[int, int]:  # noqa: ANN401 - as above
    """The first tokens at which an answer yes and an answer no differ behind the prompt.

    The answers are tokenised behind the prompt, not alone, because many tokenizers write a word differently at the beginning of a text.

    Raises:
        ExportError: they do not differ in their first token, or the prompt's own tokens change when an answer follows.
    """
    found: list[int] = []
    for word in family.answers:
        tokens = encode(tokenizer, text + word, special=family.adds_special_tokens)
        if tuple(tokens[: len(sequence)]) != tuple(sequence) or len(tokens) <= len(sequence):
            raise ExportError(
                f"the tokenizer merges the answer {word!r} with the end of the prompt: end the template with a separator"
            )
        found.append(tokens[len(sequence)])
    if found[0] == found[1]:
        raise ExportError(f"the answers {family.answers} begin with the same token: choose other answer words")
    return found[0], found[1]


def _with_image(text: str, placeholder: str, image_text: str) -> str:
    if text.count(placeholder) != 1:
        raise ExportError(
            f"the chat template wrote {text.count(placeholder)} image placeholders {placeholder!r} where one is needed"
        )
    return text.replace(placeholder, image_text)

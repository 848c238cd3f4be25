"""Phi-4 (text, phi3 architecture) as a scorer of sensor readings: float32 [1, R] -> one logit pair per question.

No bundle carries it yet: the manifest knows no input but a frame, so this is no `Family` of the registry. Its tests and `benchmarks.onepass families`
are what runs it; an input kind for text makes it one. It takes no picture: the readings are in the prefix that all questions share, as numbers of
fixed width (`onepass.readings`). Phi-4-reasoning was trained to think first: give it the empty thought as `opening`, or it does not answer there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError
from exporters.checkpoint.whole import load_whole
from exporters.onepass import layout as lay
from exporters.onepass.form import Form
from exporters.onepass.prompts import Prompts, compile_prompts, encode, load_tokenizer, render

if TYPE_CHECKING:
    from torch import nn

    from exporters.onepass.readings import Fields, Reading

TEMPLATE = "Answer with yes or no. {readings} {{question}}"
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"


@dataclass(frozen=True)
class Phi4:
    """The checkpoint's folder, the readings that the graph takes, and how the questions share their prefix."""

    folder: Path
    readings: tuple[Reading, ...]
    form: Form = "tree"
    opening: str = ""

    name: ClassVar[str] = "phi4"
    model_types: ClassVar[tuple[str, ...]] = ("phi3",)
    placeholder: ClassVar[str] = ""
    answers: ClassVar[tuple[str, str]] = ("Yes", "No")
    adds_special_tokens: ClassVar[bool] = False

    def load(self) -> Any:  # noqa: ANN401 - transformers' untyped model
        """The whole checkpoint in float32. Raises ExportError."""
        return load_whole(self.folder, "AutoModelForCausalLM")

    def compile(self, questions: Sequence[str], numbers: Sequence[int]) -> Prompts:
        """The questions behind given readings, in whole steps."""
        from exporters.onepass.readings import written  # noqa: PLC0415 - imports torch

        template = TEMPLATE.format(readings=written(self.readings, numbers))
        return compile_prompts(self.folder, self, questions, image_text="", template=template)

    def fields(self, question: str) -> Fields:
        """Where the readings are, found behind the words that precede them."""
        from exporters.onepass.readings import find_fields  # noqa: PLC0415 - imports torch

        tokenizer = load_tokenizer(self.folder)

        def whole(sentence: str) -> list[int]:
            turn = TEMPLATE.format(readings=sentence).format(question=question)
            return encode(
                tokenizer, render(tokenizer, turn, image=False) + self.opening, special=self.adds_special_tokens
            )

        return find_fields(self.readings, whole)

    def one_pass(self, model: Any, questions: Sequence[str]) -> nn.Module:  # noqa: ANN401 - transformers' untyped model
        """float32 [1, R] -> logits [Q, 2].

        Raises:
            ExportError: the questions part before the readings end.
        """
        from exporters.onepass.module import Inputs, OnePass  # noqa: PLC0415 - imports torch
        from exporters.onepass.readings import ReadingRows  # noqa: PLC0415 - imports torch
        from exporters.onepass.towers import plain_decoder  # noqa: PLC0415 - imports torch

        prompts = self.compile(questions, [0] * len(self.readings))
        fields = self.fields(questions[0])
        layout = lay.split(prompts.sequences)
        places = [place for field in fields.places for place in field]
        if max(places) >= len(layout.prefix):
            raise ExportError("the readings must come before the first word in which the questions differ.")
        source = np.full(len(layout.prefix), -1, dtype=np.int64)
        source[places] = np.arange(len(places))
        embed = model.model.embed_tokens
        inputs = Inputs.of(
            prompts,
            layout,
            embed=embed,
            head=model.lm_head.weight,
            source=source,
            positions=np.arange(len(layout.prefix), dtype=np.int64)[None],
        )
        front = ReadingRows(self.readings, fields, embed)
        return OnePass(front=front, decoder=plain_decoder(model.model), inputs=inputs, form=self.form).eval()

    def reference(self, model: Any, questions: Sequence[str], values: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ANN401 - as above
        """Logits [N, Q, 2] for values [N, R], by transformers' own forward pass, question by question."""
        import torch  # noqa: PLC0415 - plan must start without torch

        from exporters.onepass.readings import steps  # noqa: PLC0415 - imports torch

        found = np.zeros((len(values), len(questions), 2), dtype=np.float32)
        with torch.inference_mode():
            for index, row in enumerate(values):
                prompts = self.compile(questions, steps(self.readings, row))
                for number, sequence in enumerate(prompts.sequences):
                    logits = model(input_ids=torch.tensor([sequence]), use_cache=False, logits_to_keep=1).logits
                    found[index, number] = logits[0, -1, [prompts.yes, prompts.no]].numpy()
        return found

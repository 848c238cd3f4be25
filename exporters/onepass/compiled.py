"""A loaded generative checkpoint as the toolchain's model: transformers' own model and its one-pass graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.graph.export import OUTPUT
from exporters.graph.specialise import specialise
from exporters.model import Checkpoint, Examples, Model, Question, Scale, SpeechGraphs, SpeechRequest
from exporters.onepass.assembly import assemble, stream
from exporters.onepass.choose import choose_form
from exporters.onepass.form import Form
from exporters.onepass.generative import Generative
from exporters.onepass.layout import split
from exporters.onepass.module import Evidence
from exporters.onepass.prompts import Prompts
from exporters.onepass.reference import ask, ask_soft, normalise, process
from exporters.onepass.soft import fit, start_tokens
from exporters.onepass.speech import build as build_speech

MASK_TOLERANCE = 1e-5  # difference of evidence that a mask may make


@dataclass(frozen=True)
class GenerativeModel(Model):
    """A loaded generative checkpoint: transformers' own model, and the pieces that this project recombines."""

    family: Generative
    checkpoint: Checkpoint
    model: Any  # transformers ships no types for it
    soft: Tensor | None = None  # [K, D] one-token questions in the order of the faults, where they were fitted

    def graph(self, questions: Sequence[Question], head: nn.Module | None) -> nn.Module:
        """uint8 [1, H, W, 3] -> float32 evidence [1, K]: each fault's mean margin (yes - no) over its phrasings.

        Raises:
            ExportError: a fitted head was asked for.
        """
        self._refuse(head)
        prompts, counts = self._prompts(questions)
        if self.soft is not None:
            short = assemble(self.family, self.checkpoint, self.model, prompts, soft=self.soft)
            return Evidence(short, counts).eval()
        return Evidence(self.one_pass(prompts), counts).eval()

    def one_pass(self, prompts: Prompts, form: Form | None = None) -> nn.Module:
        """uint8 [1, H, W, 3] -> logits [Q, 2] of every phrasing: yes, no."""
        return assemble(self.family, self.checkpoint, self.model, prompts, form)

    def stream(self, questions: Sequence[Question], scale: Scale, target: Path, scheme: str) -> Path:
        """Write the graph of scores tensor by tensor from the checkpoint's files; its weights lie beside it."""
        prompts, counts = self._prompts(questions)

        def wrap(logits: nn.Module) -> nn.Module:
            return specialise(Evidence(logits, counts), scale)

        target.parent.mkdir(exist_ok=True)
        written = stream(
            self.family, self.checkpoint, prompts, target, scheme=scheme, wrap=wrap, output_name=OUTPUT, soft=self.soft
        )
        return written.graph

    def formed(
        self, questions: Sequence[Question], provider: str, log: Callable[[str], None]
    ) -> tuple[GenerativeModel, tuple[str, ...]]:
        """In the faster of the family's forms, timed here; a form that the recipe names is obeyed."""
        if self.family.form or len(self.family.forms) == 1:
            return self, ()
        log(f"{' and '.join(self.family.forms)} in turns")
        spec = self.family.pixels(self.checkpoint)
        choice = choose_form(
            self.family.forms,
            lambda form: self._in(form).graph(questions, None),
            (spec.height, spec.width),
            len(questions),
            provider=provider,
        )
        return self._in(choice.form), (choice.note(),)

    def _in(self, form: Form) -> GenerativeModel:
        return replace(self, family=replace(self.family, form=form))

    def masked(self, questions: Sequence[Question], frames: NDArray[np.uint8]) -> GenerativeModel:
        """This model, masked as deep as its own attention scores need: on a few frames the quick mask must answer as the deep one does.

        Args:
            questions: what will be asked.
            frames: [N, H, W, 3] pictures of the kind that will be seen.
        """
        deep = replace(self, family=replace(self.family, hidden=True))
        quick, sure = self.graph(questions, None), deep.graph(questions, None)
        with torch.inference_mode():
            apart = [float((quick(one) - sure(one)).abs().max()) for one in torch.from_numpy(frames)[:, None]]
        return self if max(apart) < MASK_TOLERANCE else deep

    def one_token(self, questions: Sequence[Question], examples: Examples) -> tuple[GenerativeModel, str]:
        """With one fitted token for each question; everything else stays frozen."""
        fitted = replace(self, soft=fit(self, start_tokens(self, questions), examples))
        bare = len(split(self.family.bare(self.checkpoint).sequences).prefix)
        lengths = [len(sequence) - bare for sequence in self.family.compile(self.checkpoint, questions).sequences]
        return fitted, f"The {len(lengths)} worded questions take {min(lengths)} to {max(lengths)} tokens each."

    def speech(self, request: SpeechRequest) -> SpeechGraphs:
        """Its decoder as two graphs, proven to give the checkpoint's own sentences."""
        return build_speech(self, request)

    def features(self, frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:  # noqa: ARG002 - the seam's form
        """Not offered. Raises ExportError."""
        raise ExportError(_NO_HEAD.format(name=self.family.name))

    def reference(
        self, pixels: NDArray[np.float32], questions: Sequence[Question], head: nn.Module | None
    ) -> NDArray[np.float32]:
        """Evidence [N, K] by transformers' own forward pass, asked phrasing by phrasing."""
        self._refuse(head)
        prompts, counts = self._prompts(questions)
        logits = ask(self, pixels, prompts) if self.soft is None else ask_soft(self, pixels, prompts, self.soft)
        margins = logits[:, :, 0] - logits[:, :, 1]
        bounds = np.cumsum([0, *counts])
        columns = [margins[:, start:end].mean(axis=1) for start, end in itertools.pairwise(bounds)]
        return np.stack(columns, axis=1).astype(np.float32)

    def normalise(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The image processor's pixel values for frames [N, H, W, 3] of the right size; first axis N."""
        return normalise(self, frames)

    def process(self, picture: Path) -> NDArray[np.float32]:
        """The image processor's pixel values [1, ...] of a picture file, stretched to the graph's size first."""
        spec = self.family.pixels(self.checkpoint)
        with Image.open(picture) as opened:
            image = opened.convert("RGB").resize((spec.width, spec.height), Image.Resampling.BILINEAR)
        return process(self, np.asarray(image))

    def _prompts(self, questions: Sequence[Question]) -> tuple[Prompts, list[int]]:
        """What is asked, as tokens, and how many prompts each fault has; of one-token questions only the text before them."""
        if self.soft is not None:
            return self.family.bare(self.checkpoint), [1] * len(self.soft)
        return self.family.compile(self.checkpoint, questions), [len(question.words) for question in questions]

    def _refuse(self, head: nn.Module | None) -> None:
        if head is not None:
            raise ExportError(_NO_HEAD.format(name=self.family.name))


_NO_HEAD = "{name} answers questions in words; head.kind = 'fitted' needs a dual encoder."

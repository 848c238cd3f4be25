"""The facts of a generative family, without torch: how a checkpoint is asked, and its picture and prompt format.

A family answers from the checkpoint's JSON files and weight headers alone wherever it can, so that `plan` starts without torch; `parts` is the
one hook that touches modules. What the toolchain asks of a family beside that is in `exporters.families.generative`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError
from exporters.checkpoint.folder import normalisation
from exporters.model import Checkpoint, PixelSpec, Question
from exporters.onepass.form import Asked, Form, Parts
from exporters.onepass.prompts import Prompts, compile_prompts

PROBES = ("No.", "1?")  # begin unlike each other: what they share ends where a question begins
RESOLUTIONS_PX = (512, 384, 256, 224)
QUESTION = "Is there {words} in the picture?"  # words that already are a question are asked unchanged


@dataclass(frozen=True)
class Generative(ABC):
    """What one generative family is. Subclasses fill in the tables and the hooks.

    Attributes:
        resolution_px: edge of the square picture that the graph takes; None: the checkpoint's own.
        form: how the questions share the prefix; None: the family's first.
        opening: text behind the opening of the assistant's turn, e.g. an empty thought for a checkpoint that was trained to think first.
        questions: in words, or as one fitted token each (`exporters.onepass.soft`).
        hidden: mask so deep that no attention score outweighs it; slower, and needed by few checkpoints (`exporters.onepass.compiled`).
    """

    resolution_px: int | None = None
    form: Form | None = None
    opening: str = ""
    questions: Asked = "worded"
    hidden: bool = False

    name: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]
    forms: ClassVar[tuple[Form, ...]] = ("tree", "prefix")  # what the layers allow; the first unless measured otherwise
    placeholder: ClassVar[str] = "<image>"  # what the chat template writes where the image goes
    answers: ClassVar[tuple[str, str]] = ("Yes", "No")  # as the family's instruct models begin an answer
    adds_special_tokens: ClassVar[bool] = False  # whether the tokenizer puts a first token before a templated prompt
    two_way_image: ClassVar[bool] = False  # image tokens see each other in both directions
    batched_pixels: ClassVar[bool] = True  # the image processor's pixel values have the picture as their first axis

    @abstractmethod
    def native_px(self, checkpoint: Checkpoint) -> int:
        """Edge of the square picture that the checkpoint was made for, px."""

    @abstractmethod
    def token_px(self, checkpoint: Checkpoint) -> int:
        """Edge of the square that one image token covers, at the native resolution, px."""

    @abstractmethod
    def image_text(self, rows: int, columns: int) -> str:
        """What the placeholder is written out as, in the family's special tokens."""

    @abstractmethod
    def parts(self, model: Any, spec: PixelSpec) -> Parts:  # noqa: ANN401 - transformers' untyped model
        """Take a loaded model apart (imports torch)."""

    def pixels(self, checkpoint: Checkpoint) -> PixelSpec:
        """A square picture; mean and standard deviation from the processor's settings.

        Raises:
            ExportError: the resolution is no multiple of the square that an image token covers, or the processor does not rescale by 1/255.
        """
        edge, step = self.resolution_px or self.native_px(checkpoint), self.token_px(checkpoint)
        if edge % step:
            raise ExportError(
                f"{checkpoint.folder}: {edge} px is not a multiple of {step} px, the square that one image token covers."
            )
        mean, std = normalisation(checkpoint)
        return PixelSpec(edge, edge, "stretch", mean, std)

    def grid(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """(rows, columns) of image tokens."""
        spec, step = self.pixels(checkpoint), self.token_px(checkpoint)
        return spec.height // step, spec.width // step

    def patch_px(self, checkpoint: Checkpoint) -> int:
        """Edge of a patch of the tower, px."""
        return checkpoint.number("vision_config", "patch_size")

    def image_token(self, checkpoint: Checkpoint) -> int:
        """Token whose embedding the image tokens replace."""
        config = checkpoint.config
        return int(config.get("image_token_id", config.get("image_token_index", -1)))

    def prompt_image(self, checkpoint: Checkpoint) -> str:
        """What the placeholder is written out as at the graph's resolution."""
        return self.image_text(*self.grid(checkpoint))

    def positions(self, prefix: Sequence[int], image_token: int, columns: int) -> NDArray[np.int64]:  # noqa: ARG002 - for other families
        """[axes, P] position ids of the prefix, whose image tokens lie in rows of `columns`."""
        return np.arange(len(prefix), dtype=np.int64)[None]

    def check(self, checkpoint: Checkpoint) -> None:  # noqa: B027 - most families have nothing to refuse
        """Raise ExportError for a variant of the family that the graph would compute wrongly."""

    def processor_call(self, spec: PixelSpec) -> dict[str, Any]:  # noqa: ARG002 - for other families
        """Options of the family's image processor under which a frame of the graph's size is only rescaled and normalised."""
        return {}

    def reference_extras(self, tokens: NDArray[np.int64], image_token: int) -> dict[str, NDArray[np.int64]]:  # noqa: ARG002 - likewise
        """Inputs that the reference needs beside tokens [1, N] and what the image processor gives."""
        return {}

    def compile(self, checkpoint: Checkpoint, questions: Sequence[Question]) -> Prompts:
        """Every phrasing of every fault as a token sequence, in order."""
        words = [phrase(words) for question in questions for words in question.words]
        return compile_prompts(checkpoint.folder, self, words, image_text=self.prompt_image(checkpoint))

    def bare(self, checkpoint: Checkpoint) -> Prompts:
        """Two prompts that share just the text before any question."""
        return compile_prompts(checkpoint.folder, self, PROBES, image_text=self.prompt_image(checkpoint))

    def resolutions(self, checkpoint: Checkpoint) -> tuple[int, ...]:
        """Edges of square pictures that the graph could take, px, largest first: usual ones, the checkpoint's own and the one that is set."""
        own, step = self.native_px(checkpoint), self.token_px(checkpoint)
        wanted = {own, self.resolution_px or own, *(edge for edge in RESOLUTIONS_PX if edge < own)}
        found = []
        for edge in sorted(wanted, reverse=True):
            if edge % step == 0:
                try:
                    replace(self, resolution_px=edge).check(checkpoint)
                except ExportError:
                    continue
                found.append(edge)
        return tuple(found)


class Loaded(Protocol):
    """A loaded checkpoint, as the reference, the fit of questions and speech need it."""

    @property
    def family(self) -> Generative:
        """Its family's facts."""
        ...

    @property
    def checkpoint(self) -> Checkpoint:
        """Where it came from."""
        ...

    @property
    def model(self) -> Any:  # noqa: ANN401 - transformers' untyped model
        """The model of transformers."""
        ...


def phrase(words: str) -> str:
    """The question about a fault in words; words that end with a question mark are used unchanged."""
    return words if words.rstrip().endswith("?") else QUESTION.format(words=words)

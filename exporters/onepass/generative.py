"""What the generative families share: a checkpoint that is asked questions becomes a `Family` and a `Model` like any other.

A family answers from the checkpoint's JSON files and weight headers alone wherever it can, so that `plan` starts without torch; `parts` is the
one hook that touches modules.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError
from exporters.families.base import Checkpoint, Geometry, PixelSpec, Question
from exporters.families.whole import load_whole
from exporters.onepass import layout as lay
from exporters.onepass.plan import estimate
from exporters.onepass.prompts import Prompts, compile_prompts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from exporters.onepass.graph import Decoder, Inputs, Rows
    from exporters.settle import Scheme
    from exporters.specialise import Scale

Form = Literal["tree", "prefix"]
Asked = Literal["worded", "one-token"]
PROBES = ("No.", "1?")  # begin unlike each other: what they share ends where a question begins
RESOLUTIONS_PX = (512, 384, 256, 224)
MASK_TOLERANCE = 1e-5  # difference of evidence that a mask may make
QUESTION = "Is there {words} in the picture?"  # words that already are a question are asked as they stand


@dataclass(frozen=True)
class Parts:
    """A loaded checkpoint, taken apart.

    Attributes:
        tower: normalised pixels float32 [1, 3, height, width] -> list of [n, D] (image tokens first, then deepstack features).
        decoder: the language half.
        embed: the embedding module, token numbers int64 [U] -> [U, D].
        head: the vocabulary head's weight, [V, D].
    """

    tower: nn.Module
    decoder: Decoder
    embed: nn.Module
    head: Tensor


@dataclass(frozen=True)
class Generative(ABC):
    """One generative family. Subclasses fill in the tables and the hooks.

    Attributes:
        resolution_px: edge of the square picture that the graph takes; None: the checkpoint's own.
        form: how the questions share the prefix; None: the family's first.
        opening: text behind the opening of the assistant's turn, e.g. an empty thought for a checkpoint that was trained to think first.
        questions: in words, or as one fitted token each (`exporters.onepass.soft`).
        hidden: mask so deep that no attention score outweighs it; slower, and needed by few checkpoints (`GenerativeModel.settled`).
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
        """Edge of the square that one image token stands for, at the native resolution, px."""

    @abstractmethod
    def image_text(self, rows: int, columns: int) -> str:
        """What the placeholder is written out as, in the family's special tokens."""

    @abstractmethod
    def parts(self, model: Any, spec: PixelSpec) -> Parts:  # noqa: ANN401 - transformers' untyped model
        """Take a loaded model apart (imports torch)."""

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint is of this family."""
        return checkpoint.config.get("model_type") in self.model_types

    def pixels(self, checkpoint: Checkpoint) -> PixelSpec:
        """A square picture; mean and standard deviation from the processor's settings.

        Raises:
            ExportError: the resolution is no multiple of what an image token stands for, or the processor does not rescale by 1/255.
        """
        rule = checkpoint.preprocessor
        edge, step = self.resolution_px or self.native_px(checkpoint), self.token_px(checkpoint)
        if edge % step:
            raise ExportError(
                f"{checkpoint.folder}: {edge} px is not a multiple of {step} px, what one image token stands for."
            )
        if not rule.get("do_rescale", True) or not math.isclose(
            rule.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-6
        ):
            raise ExportError(f"{checkpoint.folder}: the processor must rescale by 1/255.")
        normalise = rule.get("do_normalize", True)
        mean = _three(rule.get("image_mean", 0.5)) if normalise else (0.0, 0.0, 0.0)
        std = _three(rule.get("image_std", 0.5)) if normalise else (1.0, 1.0, 1.0)
        return PixelSpec(edge, edge, "stretch", mean, std)

    def grid(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """(rows, columns) of image tokens."""
        spec, step = self.pixels(checkpoint), self.token_px(checkpoint)
        return spec.height // step, spec.width // step

    def geometry(self, checkpoint: Checkpoint, faults: int) -> Geometry:
        """Estimated from the weight headers: tower work on patches, decoder work on image tokens and about 12 tokens a question."""
        return estimate(self, checkpoint, faults)

    def patch_px(self, checkpoint: Checkpoint) -> int:
        """Edge of a patch of the tower, px."""
        return checkpoint.number("vision_config", "patch_size")

    def image_token(self, checkpoint: Checkpoint) -> int:
        """Token whose embedding the image tokens replace."""
        config = checkpoint.config
        return int(config.get("image_token_id", config.get("image_token_index", -1)))

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
        rows, columns = self.grid(checkpoint)
        words = [phrase(words) for question in questions for words in question.words]
        return compile_prompts(checkpoint.folder, self, words, image_text=self.image_text(rows, columns))

    def bare(self, checkpoint: Checkpoint) -> Prompts:
        """Two prompts that share just what stands before any question."""
        rows, columns = self.grid(checkpoint)
        return compile_prompts(checkpoint.folder, self, PROBES, image_text=self.image_text(rows, columns))

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

    def inputs(self, checkpoint: Checkpoint, prompts: Prompts, parts: Parts, rows: Rows | None = None) -> Inputs:
        """The constants of the graph.

        Raises:
            ExportError: the questions part before the image ends.
        """
        from exporters.onepass.graph import Inputs  # noqa: PLC0415 - imports torch

        layout = lay.split(prompts.sequences)
        token = self.image_token(checkpoint)
        lines, columns = self.grid(checkpoint)
        place = np.asarray(layout.prefix, dtype=np.int64) == token
        if int(place.sum()) != lines * columns:
            raise ExportError(
                f"{checkpoint.folder}: {int(place.sum())} of {lines * columns} image tokens stand in the part that all questions share; "
                "the chat template must put the image before the question."
            )
        return Inputs.of(
            prompts,
            layout,
            embed=parts.embed,
            head=parts.head,
            rows=rows,
            source=np.where(place, np.cumsum(place) - 1, -1),
            positions=self.positions(layout.prefix, token, columns),
            blocks=lay.runs(layout.prefix, token) if self.two_way_image else (),
        )

    def assemble(
        self,
        checkpoint: Checkpoint,
        model: Any,  # noqa: ANN401 - transformers' untyped model
        prompts: Prompts,
        form: Form | None,
        *,
        rows: Rows | None = None,
        soft: Tensor | None = None,
    ) -> nn.Module:
        """uint8 [1, H, W, 3] -> logits [Q, 2] of every prompt: yes, no.

        Args:
            checkpoint: where the model came from.
            model: transformers' own, loaded or hollow.
            prompts: the questions as tokens.
            form: tree or prefix; None: the family's first.
            rows: reads rows of a table parameter; None: they are in the parameter itself.
            soft: [K, D] one-token questions; they take the place of whatever the prompts do not share.

        Raises:
            ExportError: the family cannot take that form, or the questions part before the image ends.
        """
        from exporters.onepass.graph import HIDDEN, UNSEEN, OnePass, Pixels  # noqa: PLC0415 - imports torch

        chosen = form or self.form or self.forms[0]
        if chosen not in self.forms:
            raise ExportError(f"{self.name} cannot take the {chosen} form; it has: {', '.join(self.forms)}.")
        spec = self.pixels(checkpoint)
        parts = self.parts(model, spec)
        inputs = self.inputs(checkpoint, prompts, parts, rows)
        if soft is not None:
            inputs = inputs.softened(soft)
        front = Pixels(spec.mean, spec.std, parts.tower)
        unseen = HIDDEN if self.hidden else UNSEEN
        return OnePass(front=front, decoder=parts.decoder, inputs=inputs, form=chosen, unseen=unseen).eval()

    def load(self, checkpoint: Checkpoint) -> GenerativeModel:
        """Load the weights."""
        self.check(checkpoint)
        return GenerativeModel(self, checkpoint, load_whole(checkpoint.folder, "AutoModelForImageTextToText"))


@dataclass(frozen=True)
class GenerativeModel:
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
        from exporters.onepass.graph import Evidence  # noqa: PLC0415 - imports torch

        if head is not None:
            raise ExportError(
                f"{self.family.name} answers questions in words; head.kind = 'fitted' needs a dual encoder."
            )
        if self.soft is not None:
            prompts = self.family.bare(self.checkpoint)
            short = self.family.assemble(self.checkpoint, self.model, prompts, None, soft=self.soft)
            return Evidence(short, [1] * len(self.soft)).eval()
        counts = [len(question.words) for question in questions]
        return Evidence(self.one_pass(self.family.compile(self.checkpoint, questions)), counts).eval()

    def stream(self, questions: Sequence[Question], scale: Scale, target: Path, scheme: Scheme) -> Path:
        """Write the graph of scores tensor by tensor from the checkpoint's files; its weights lie beside it."""
        from exporters.export import OUTPUT  # noqa: PLC0415 - imports torch
        from exporters.onepass.graph import Evidence  # noqa: PLC0415 - likewise
        from exporters.specialise import specialise  # noqa: PLC0415 - likewise
        from exporters.stream import stream  # noqa: PLC0415 - likewise

        asked, counts = self.family.compile(self.checkpoint, questions), [len(one.words) for one in questions]
        if self.soft is not None:
            asked, counts = self.family.bare(self.checkpoint), [1] * len(self.soft)

        def wrap(logits: nn.Module) -> nn.Module:
            return specialise(Evidence(logits, counts), scale)

        target.parent.mkdir(exist_ok=True)
        return stream(
            self.family, self.checkpoint, asked, target, scheme=scheme, wrap=wrap, output_name=OUTPUT, soft=self.soft
        ).graph

    def settled(self, questions: Sequence[Question], frames: NDArray[np.uint8]) -> GenerativeModel:
        """This model, masked as deep as its own attention scores need: on a few frames the quick mask must answer as the deep one does.

        Args:
            questions: what will be asked.
            frames: [N, H, W, 3] pictures of the kind that will be seen.
        """
        import torch  # noqa: PLC0415 - heavy

        deep = replace(self, family=replace(self.family, hidden=True))
        quick, sure = self.graph(questions, None), deep.graph(questions, None)
        with torch.inference_mode():
            apart = [float((quick(one) - sure(one)).abs().max()) for one in torch.from_numpy(frames)[:, None]]
        return self if max(apart) < MASK_TOLERANCE else deep

    def one_pass(self, prompts: Prompts, form: Form | None = None) -> nn.Module:
        """uint8 [1, H, W, 3] -> logits [Q, 2] of every phrasing: yes, no."""
        return self.family.assemble(self.checkpoint, self.model, prompts, form)

    def features(self, frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:  # noqa: ARG002 - the seam's form
        """Not offered. Raises ExportError."""
        raise ExportError(f"{self.family.name} answers questions in words; head.kind = 'fitted' needs a dual encoder.")

    def reference(
        self, pixels: NDArray[np.float32], questions: Sequence[Question], head: nn.Module | None
    ) -> NDArray[np.float32]:
        """Evidence [N, K] by transformers' own forward pass, asked phrasing by phrasing."""
        from exporters.onepass.reference import ask, ask_soft  # noqa: PLC0415 - imports torch

        if head is not None:
            raise ExportError(
                f"{self.family.name} answers questions in words; head.kind = 'fitted' needs a dual encoder."
            )
        if self.soft is not None:
            short = ask_soft(self, pixels, self.family.bare(self.checkpoint), self.soft)
            return (short[:, :, 0] - short[:, :, 1]).astype(np.float32)
        logits = ask(self, pixels, self.family.compile(self.checkpoint, questions))
        bounds = np.cumsum([0, *(len(question.words) for question in questions)])
        margins = logits[:, :, 0] - logits[:, :, 1]
        columns = [margins[:, start:end].mean(axis=1) for start, end in itertools.pairwise(bounds)]
        return np.stack(columns, axis=1).astype(np.float32)

    def normalise(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The image processor's pixel values for frames [N, H, W, 3] of the right size; first axis N."""
        from exporters.onepass.reference import process  # noqa: PLC0415 - imports torch

        return np.concatenate([process(self, frame) for frame in frames])

    def process(self, picture: Path) -> NDArray[np.float32]:
        """The image processor's pixel values [1, ...] of a picture file, stretched to the graph's size first."""
        from PIL import Image  # noqa: PLC0415 - the reference processor reads pictures with it

        from exporters.onepass.reference import process  # noqa: PLC0415 - imports torch

        spec = self.family.pixels(self.checkpoint)
        with Image.open(picture) as opened:
            image = opened.convert("RGB").resize((spec.width, spec.height), Image.Resampling.BILINEAR)
        return process(self, np.asarray(image))


def phrase(words: str) -> str:
    """The question that asks for a fault in words; words that end with a question mark are asked as they stand."""
    return words if words.rstrip().endswith("?") else QUESTION.format(words=words)


def _three(value: Any) -> tuple[float, float, float]:  # noqa: ANN401 - a JSON value
    values = [value] * 3 if isinstance(value, int | float) else list(value)
    if len(values) != 3:
        raise ExportError(f"the processor's mean and deviation must have three channels, not {value!r}.")
    return float(values[0]), float(values[1]), float(values[2])

"""The types of the path, and the protocols that a family and its loaded model implement.

A family is split in two, because `plan` must answer without torch: `Family` reads configuration files only; `Model` is its loaded form.
The later stages never ask which kind they hold. What only some kinds can do has a default here that does nothing, or names those that can.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError, ExportError
from edge.manifest import Speech
from exporters.device import Device
from exporters.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

INT4 = "decoder-int4"  # the scheme that only a decoder has


@dataclass(frozen=True, slots=True)
class PixelSpec:
    """How pixels become the checkpoint's input: size in px, resize rule, then (x / 255 - mean) / std per channel."""

    width: int
    height: int
    resize: Literal["stretch", "centre_crop"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Geometry:
    """The size of the graph that will run, for `plan`.

    ``matmul_parameters`` are weights of matrix products (int8 quantization shrinks them), ``other_parameters`` stay float32;
    ``flop`` counts one frame (a multiply and an add are two); ``decoder_parameters`` are those products' that a decoder has.
    """

    matmul_parameters: int
    other_parameters: int
    flop: float
    decoder_parameters: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """One fault in words: several phrasings, and phrasings of the normal state that it is contrasted with."""

    id: str
    words: tuple[str, ...]
    normal_words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint folder read without loading weights: configuration, preprocessing, and every tensor's shape."""

    folder: Path
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    weight_bytes: int

    @property
    def parameters(self) -> int:
        """Number of parameters of the whole checkpoint."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def number(self, *path: str) -> int:
        """A positive whole number of config.json, by the keys that lead to it.

        Raises:
            ConfigError: it is not there, or not such a number.
        """
        value: Any = self.config
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(
                f"{self.folder / 'config.json'}: {'.'.join(path)} must be a positive whole number, not {value!r}; "
                "take the published config.json, or write the value there."
            )
        return value


@dataclass(frozen=True, slots=True)
class Scale:
    """Score = sigmoid(gain * evidence + bias), per fault; float32 [K] each."""

    gain: NDArray[np.float32]
    bias: NDArray[np.float32]

    def scores(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evidence [N, K] to scores [N, K] in 0..1."""
        logits = evidence.astype(np.float64) * self.gain + self.bias
        return (1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What a streamed export (`exporters.graph.stream`) will write and need.

    Attributes:
        parameters: numbers in the graph.
        output_bytes: graph with its external data.
        peak_bytes: largest resident memory of the process that exports.
        cpu_seconds: processor time of the export, s.
        runtime_bytes: what ONNX Runtime holds to run it.
        idle_bytes: resident memory of the process before and after it writes.
    """

    parameters: int
    output_bytes: int
    peak_bytes: int
    cpu_seconds: float
    runtime_bytes: int
    idle_bytes: int


@dataclass(frozen=True, slots=True)
class Examples:
    """What one-token questions are fitted on: N pictures, K questions.

    Attributes:
        frames: uint8 [N, H, W, 3] of the graph's size.
        targets: [N, K] 1 where the fault shows, 0 where it does not, or the worded question's probability in between.
        held: [N] pictures that only choose start and step, for each question by itself. None held: those that it is fitted on choose.
        guide: [N, K] the worded questions' answers as log odds: labels are few, and each picture has one of these. None: labels alone.
    """

    frames: NDArray[np.uint8]
    targets: NDArray[np.float32]
    held: NDArray[np.bool_]
    guide: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """The graphs that let a bundle put a fault into words, as they are wanted.

    Attributes:
        questions: one for each fault, in words.
        frames: pictures uint8 [N, H, W, 3] on which its sentences are compared with the checkpoint's.
        folder: to write in.
        tokens: longest sentence.
        scheme: float32, or dynamic-int8 for any other.
        reduce_range: 7-bit weights, as the board wants it.
    """

    questions: tuple[str, ...]
    frames: NDArray[np.uint8]
    folder: Path
    tokens: int
    scheme: str
    reduce_range: bool


@dataclass(frozen=True, slots=True)
class SpeechGraphs:
    """The graphs that generate a bundle's explanations: files by their path in it, and the manifest's section."""

    files: dict[str, Path]
    section: Speech


class Model(Protocol):
    """A loaded checkpoint. Implementations derive from it, for the defaults."""

    def graph(self, questions: Sequence[Question], head: nn.Module | None) -> nn.Module:
        """The module to export: uint8 [B, H, W, 3] -> float32 evidence [B, K], higher is more fault, unbounded.

        ``head`` replaces the questions' own scoring: a module from `features` and the frame to evidence.
        """
        ...

    def worded(self, questions: Sequence[Question]) -> nn.Module:
        """The questions' own scoring as a head: from `features` to evidence [B, K]. Raises ExportError where there is none."""
        raise ExportError(
            f"words and the unnamed channel do not go together with this checkpoint yet: give the {len(questions)} faults pictures "
            "and head.kind = 'fitted', or set unnamed.enabled = false."
        )

    def features(self, frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:
        """Frozen features for fitting a head: frames [N, H, W, 3] -> pooled [N, D], then patches [N, T, D] per depth.

        Each depth comes on its own grid, row by row.
        """
        ...

    def reference(
        self, pixels: NDArray[np.float32], questions: Sequence[Question], head: nn.Module | None
    ) -> NDArray[np.float32]:
        """The same evidence [N, K] by the family's own published implementation, from its own pixel values [N, ...]."""
        ...

    def normalise(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The reference's pixel values [N, ...] from frames [N, H, W, 3] that already have the right size."""
        ...

    def public_inputs(self, frames: NDArray[np.uint8], phrases: Sequence[str]) -> dict[str, NDArray[Any]]:
        """What another exporter's graph of the whole checkpoint takes: every picture against every phrase.

        Args:
            frames: uint8 [N, H, W, 3] of the graph's size.
            phrases: P texts.

        Returns:
            ``pixel_values`` float32 [N, 3, h, w], ``input_ids`` and ``attention_mask`` int64 [P, L].

        Raises:
            ExportError: the checkpoint is none that compares pictures with texts.
        """
        del frames, phrases
        raise ExportError("only SigLIP and CLIP checkpoints compare pictures with texts in one public graph.")

    def process(self, picture: Path) -> NDArray[np.float32]:
        """The reference's pixel values [1, ...] from a picture file, by the checkpoint's own image processor."""
        ...

    def notes(self, questions: Sequence[Question]) -> tuple[str, ...]:
        """Lines for the report on these questions, asked in words."""
        return ()

    def one_token(self, questions: Sequence[Question], examples: Examples) -> tuple[Model, str]:
        """This model with one fitted token for each question in words, and a sentence on what that saves.

        Raises:
            ExportError: it does not answer in words, or keeps no prefix that many questions could share.
        """
        del questions, examples
        raise ExportError("one-token questions need a checkpoint that answers in words, and images to fit on.")

    def formed(
        self,
        questions: Sequence[Question],
        provider: str,
        log: Callable[[str], None],
    ) -> tuple[Model, tuple[str, ...]]:
        """This model in the form that answers the questions fastest under a provider, and lines for the report."""
        return self, ()

    def masked(self, questions: Sequence[Question], frames: NDArray[np.uint8]) -> Model:
        """This model with attention masks as deep as these pictures uint8 [N, H, W, 3] need."""
        return self

    def stream(self, questions: Sequence[Question], scale: Scale, target: Path, scheme: str) -> Path:
        """Write the graph of scores tensor by tensor, its weights beside it. Raises ExportError."""
        raise ExportError(f"{scheme} is for checkpoints that answer in words: they have a decoder.")

    def speech(self, request: SpeechRequest) -> SpeechGraphs:
        """The graphs by which a bundle puts a fault into words.

        Raises:
            ExportError: it has no decoder that could, or the graphs differ from the checkpoint.
        """
        del request
        raise ExportError("[explain] is for checkpoints that answer in words: remove the section.")


class Family(Protocol):
    """One model family; nothing here may import torch. Implementations derive from it, for the defaults."""

    @property
    def name(self) -> str:
        """Its name in manifests."""
        ...

    @property
    def streams(self) -> bool:
        """Whether its weights may stay on disk: `load_streamed`, `stream_plan` and `Model.stream` work."""
        return False

    @property
    def fuses(self) -> bool:
        """Whether its graph gains from ONNX Runtime's own attention operator, where the provider has it."""
        return False

    @property
    def teaches(self) -> bool:
        """Whether a student can learn its patch features, or start from it: `edge-export distil`."""
        return False

    @property
    def crosschecks(self) -> bool:
        """Whether optimum exports it too, so that `--crosscheck` can compare: `Model.public_inputs` works."""
        return False

    @property
    def keeps(self) -> str:
        """What of the checkpoint is left in the graph, for a plan's words."""
        return "vision tower only"

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Whether this family reads such a checkpoint."""
        ...

    def completed(self, recipe: Recipe, checkpoint: Checkpoint) -> Recipe:
        """The recipe with what it leaves to the checkpoint: by default nothing."""
        del checkpoint
        return recipe

    def asked(self, recipe: Recipe) -> Family:
        """This family with the recipe's settings of its input.

        Raises:
            ConfigError: the recipe has a section or a scheme that is for another kind of checkpoint.
        """
        for name, section in (("generative", recipe.generative), ("explain", recipe.explain)):
            if section.model_fields_set:
                raise ConfigError(
                    f"[{name}] is for checkpoints that answer in words; {self.name} compares them: remove the section."
                )
        if INT4 in (recipe.quantization.schemes or ()):
            raise ConfigError(
                f"{INT4} is for checkpoints that answer in words; {self.name} has no decoder: take it out of quantization.schemes."
            )
        return self

    def prompts(self, recipe: Recipe) -> str:
        """How many phrasings are asked, what becomes of them, and what is fitted beside them, for a plan's words."""
        phrases = sum(len(fault.words) + len(recipe.normal_words_of(fault)) for fault in recipe.faults)
        if recipe.head.folds > 1:
            head = f"a head of {recipe.head.folds} members is fitted on frozen features, each without one fold"
        elif recipe.head.kind == "fitted":
            head = "a head is fitted on frozen features"
        else:
            head = "text embeddings become constants"
        parts = [f"{phrases} phrasings; {head}"] if recipe.faults else []
        parts += ["the unnamed channel is fitted on normal images"] * recipe.unnamed.enabled
        return "; ".join(parts)

    def pixels(self, checkpoint: Checkpoint) -> PixelSpec:
        """How pixels become its input. Raises ExportError for a rule that the daemon does not have."""
        ...

    def geometry(self, checkpoint: Checkpoint, faults: int) -> Geometry:
        """The size of the graph for so many faults."""
        ...

    def sizes(self, checkpoint: Checkpoint, faults: int) -> tuple[tuple[int, Geometry], ...]:
        """Edges in px that the graph could take instead, largest first, with its size then; empty where the checkpoint has one."""
        return ()

    def schemes(self, board: Device, *, streamed: bool) -> tuple[str, ...]:
        """The quantization schemes worth trying on a board where the recipe names none."""
        return board.schemes

    def load(self, checkpoint: Checkpoint) -> Model:
        """Load the weights (imports torch). Raises ExportError."""
        ...

    def load_streamed(self, checkpoint: Checkpoint) -> Model:
        """The checkpoint with its weights left on disk (imports torch). Raises ExportError."""
        raise ExportError(f"{checkpoint.folder}: {self.name} needs its weights in memory; it cannot be streamed.")

    def stream_plan(self, checkpoint: Checkpoint, scheme: str) -> StreamPlan:
        """What writing one scheme tensor by tensor takes. Raises ExportError."""
        raise ExportError(f"{checkpoint.folder}: {self.name} needs its weights in memory; it cannot be streamed.")

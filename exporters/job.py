"""One export as far as it is known without torch: recipe, board, questions, checkpoint headers, family."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError
from edge.manifest import InputSpec
from edge.system.board import machine_facts
from exporters import load, prompts
from exporters.device import CPU, Device, load_device
from exporters.graph.quantize import available_providers
from exporters.model import Checkpoint, Family, Geometry, PixelSpec, Question, StreamPlan
from exporters.recipe import Recipe, checkpoint_folder, load_recipe
from exporters.runtime import Runtime

MIB = 2**20
ONNX_FILE_BYTES = 2**31  # most that one ONNX file holds; a larger graph keeps its weights beside it
WEIGHT_COPIES = 4.0  # checkpoint, traced program, ONNX message, and the quantizer's copy, float32 each


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known before torch is needed."""

    recipe: Recipe
    recipe_file: Path
    board_name: str
    board: Device
    questions: tuple[Question, ...]  # one a channel, in the order of scores
    checkpoint: Checkpoint
    family: Family
    pixels: PixelSpec
    geometry: Geometry
    sizes: tuple[tuple[int, Geometry], ...] = ()  # edges in px that the graph could take instead, largest first
    features: Path | None = None  # folder that keeps computed features for the next build; none: they are not kept
    crosscheck: Path | None = (
        None  # interpreter of an environment with optimum, whose export is compared; none: no comparison
    )
    runtime: Runtime | None = None  # the ONNX Runtime that the device will have; none: that of this environment

    @property
    def base(self) -> Path:
        """The recipe's folder, which its paths are relative to."""
        return self.recipe_file.resolve().parent

    @property
    def input(self) -> InputSpec:
        """The tensor that the graph takes."""
        scale = self.recipe.head.frame_scale
        return InputSpec(
            name="frame", width=scale * self.pixels.width, height=scale * self.pixels.height, resize=self.pixels.resize
        )

    @property
    def streamed(self) -> bool:
        """Whether the weights stay on disk: the recipe's word, else whether they would not fit into memory or one ONNX file."""
        if not self.family.streams:
            return False
        wanted = self.recipe.generative.stream
        parameters = self.geometry.matmul_parameters + self.geometry.other_parameters
        whole_mib = (self.checkpoint.parameters + (WEIGHT_COPIES - 1) * parameters) * 4 / MIB
        too_large = whole_mib > machine_facts().memory_mib / 2 or parameters * 4 > ONNX_FILE_BYTES
        return too_large if wanted is None else wanted

    def stream_plan(self, scheme: str) -> StreamPlan | None:
        """What writing one scheme tensor by tensor takes; None where the checkpoint is held in memory."""
        return self.family.stream_plan(self.checkpoint, scheme) if self.streamed else None

    @property
    def schemes(self) -> tuple[str, ...]:
        """What to try: the recipe's schemes, else those that the family is worth trying in on this board."""
        return self.recipe.quantization.schemes or self.family.schemes(self.board, streamed=self.streamed)

    @property
    def providers(self) -> tuple[str, ...]:
        """The board's execution providers that are there to be measured, best first; the CPU's when none is."""
        here = self.runtime.providers if self.runtime else available_providers()
        return tuple(name for name in self.board.providers if name in here) or (CPU,)

    @property
    def provider(self) -> str:
        """The board's best execution provider that is there; the CPU's when none is."""
        return self.providers[0]

    @property
    def python(self) -> Path | None:
        """The interpreter that scores and times graphs; None: this one."""
        return self.runtime.python if self.runtime else None

    def fused(self, provider: str) -> bool:
        """Whether attention may be ONNX Runtime's own operator: where the family gains from it and the graph runs on the CPU."""
        return self.family.fuses and provider == CPU

    @property
    def budget_ms(self) -> float:
        """The recipe's budget, or the board's, ms."""
        return self.recipe.budget_ms or self.board.budget_ms


def prepare(recipe_file: Path, board: str) -> Job:
    """Read recipe, board and the checkpoint's headers. Raises ConfigError or ExportError."""
    recipe = load_recipe(recipe_file)
    board_name, device = load_device(board)
    checkpoint, family = load.inspect(checkpoint_folder(recipe, recipe_file.resolve().parent))
    recipe = family.completed(recipe, checkpoint)
    family = family.asked(recipe)
    job = Job(
        recipe=recipe,
        recipe_file=recipe_file,
        board_name=board_name,
        board=device,
        questions=prompts.questions(recipe),
        checkpoint=checkpoint,
        family=family,
        pixels=family.pixels(checkpoint),
        geometry=family.geometry(checkpoint, len(recipe.channels)),
        sizes=family.sizes(checkpoint, len(recipe.channels)),
    )
    _check_threads(job)
    if job.streamed:
        _check_streamed(job)
    return job


def _check_threads(job: Job) -> None:
    threads = job.recipe.quantization.threads
    if threads and min(threads) > job.board.cores:
        raise ConfigError(
            f"quantization.threads = {list(threads)}: the board has {job.board.cores} cores; ask for no more, or leave the line out."
        )


def _check_streamed(job: Job) -> None:
    """What needs the weights in memory cannot be asked of a checkpoint that stays on disk. Raises ConfigError."""
    if "static-int8" in job.schemes:
        raise ConfigError(
            "static-int8 needs the checkpoint in memory, and this one stays on disk (generative.stream, or its size): take it out of "
            "quantization.schemes, e.g. for dynamic-int8, or set generative.stream = false."
        )
    if job.recipe.generative.questions != "worded" or job.recipe.explain.speak:
        raise ConfigError(
            "one-token questions and speech need the checkpoint in memory: set generative.stream = false, or leave them out."
        )

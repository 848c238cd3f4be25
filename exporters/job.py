"""One export, as far as it is known before torch is needed: recipe, board, checkpoint headers, family."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edge.board import machine_facts
from edge.bundle import InputSpec
from edge.errors import ConfigError
from exporters import load
from exporters.device import Device, load_device
from exporters.families.base import Checkpoint, Family, Geometry, PixelSpec
from exporters.families.dual_encoder import DualEncoder
from exporters.onepass.generative import Generative
from exporters.onepass.plan import StreamPlan, plan_stream
from exporters.plan import MIB, WEIGHT_COPIES
from exporters.recipe import Recipe, checkpoint_folder, load_recipe

ONNX_FILE_BYTES = 2**31  # most that one ONNX file holds; a larger graph keeps its weights beside it


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known before torch is needed."""

    recipe: Recipe
    recipe_file: Path
    board_name: str
    board: Device
    checkpoint: Checkpoint
    family: Family
    pixels: PixelSpec
    geometry: Geometry
    sizes: tuple[tuple[int, Geometry], ...] = ()  # edges in px that the graph could take instead, largest first

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
        if not isinstance(self.family, Generative):
            return False
        asked = self.recipe.generative.stream
        parameters = self.geometry.matmul_parameters + self.geometry.other_parameters
        whole_mib = (self.checkpoint.parameters + (WEIGHT_COPIES - 1) * parameters) * 4 / MIB
        too_large = whole_mib > machine_facts().memory_mib / 2 or parameters * 4 > ONNX_FILE_BYTES
        return too_large if asked is None else asked

    def stream_plan(self, scheme: str) -> StreamPlan | None:
        """What writing one scheme tensor by tensor takes; None where the checkpoint is held in memory."""
        if not self.streamed or not isinstance(self.family, Generative):
            return None
        # The prefix form has the decoder's layers twice.
        passes = 2 if (self.family.form or self.family.forms[0]) == "prefix" else 1
        return plan_stream(self.checkpoint.shapes, scheme, passes=passes)

    @property
    def schemes(self) -> tuple[str, ...]:
        """What to try: the recipe's schemes, else the board's, and for a decoder on a CPU 4 bits too."""
        if self.recipe.quantization.schemes:
            return self.recipe.quantization.schemes
        if not isinstance(self.family, Generative):
            return self.board.schemes
        on_cpu = self.board.providers[0] == "CPUExecutionProvider"
        left_out = {"static-int8", "float32"} if on_cpu else {"static-int8"}
        kept = tuple(one for one in self.board.schemes if not (self.streamed and one in left_out))
        return (*kept, "decoder-int4") if on_cpu else kept

    @property
    def budget_ms(self) -> float:
        """The recipe's budget, or the board's, ms."""
        return self.recipe.budget_ms or self.board.budget_ms


def prepare(recipe_file: Path, board: str) -> Job:
    """Read recipe, board and the checkpoint's headers. Raises ConfigError or ExportError."""
    recipe = load_recipe(recipe_file)
    board_name, device = load_device(board)
    checkpoint, family = load.inspect(checkpoint_folder(recipe, recipe_file.resolve().parent))
    family = _asked(family, recipe)
    job = Job(
        recipe=recipe,
        recipe_file=recipe_file,
        board_name=board_name,
        board=device,
        checkpoint=checkpoint,
        family=family,
        pixels=family.pixels(checkpoint),
        geometry=family.geometry(checkpoint, len(recipe.faults)),
        sizes=_sizes(family, checkpoint, len(recipe.faults)),
    )
    _check_quantization(job)
    return job


def _check_quantization(job: Job) -> None:
    """What the recipe wants to try must be possible on the board, and for a checkpoint that stays on disk. Raises ConfigError."""
    threads = job.recipe.quantization.threads
    if threads and min(threads) > job.board.cores:
        raise ConfigError(
            f"quantization.threads = {list(threads)}: the board has {job.board.cores} cores; ask for no more, or leave the line out."
        )
    if "decoder-int4" in job.schemes and not isinstance(job.family, Generative):
        raise ConfigError(
            f"decoder-int4 is for checkpoints that answer in words; {job.family.name} has no decoder: take it out of quantization.schemes."
        )
    if job.streamed and "static-int8" in job.schemes:
        raise ConfigError(
            "static-int8 needs the checkpoint in memory, and this one stays on disk (generative.stream, or its size): take it out of "
            "quantization.schemes, e.g. for dynamic-int8, or set generative.stream = false."
        )


def _sizes(family: Family, checkpoint: Checkpoint, faults: int) -> tuple[tuple[int, Geometry], ...]:
    """What the graph would be at each resolution that a generative family offers; a dual encoder has its own only."""
    if not isinstance(family, Generative):
        return ()
    edges = family.resolutions(checkpoint)
    return tuple((edge, replace(family, resolution_px=edge).geometry(checkpoint, faults)) for edge in edges)


def _asked(family: Family, recipe: Recipe) -> Family:
    """The family with what the recipe says of its input; [generative] and [head] are for one kind of family each."""
    if isinstance(family, Generative):
        if recipe.head.kind == "fitted" or recipe.head.frame_scale > 1:
            raise ConfigError(f"head.kind = 'fitted' needs a dual encoder; {family.name} answers questions in words.")
        return replace(family, **recipe.generative.model_dump(exclude={"stream"}))
    for name, section in (("generative", recipe.generative), ("explain", recipe.explain)):
        if section.model_fields_set:
            raise ConfigError(
                f"[{name}] is for checkpoints that answer in words; {family.name} compares them: remove the section."
            )
    return replace(family, frame_scale=recipe.head.frame_scale) if isinstance(family, DualEncoder) else family

"""One export, as far as it is known before torch is needed: recipe, board, checkpoint headers, family."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.bundle import InputSpec
from exporters import load
from exporters.device import Device, load_device
from exporters.families.base import Checkpoint, Family, Geometry, PixelSpec
from exporters.recipe import Recipe, checkpoint_folder, load_recipe


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

    @property
    def base(self) -> Path:
        """The recipe's folder, which its paths are relative to."""
        return self.recipe_file.resolve().parent

    @property
    def input(self) -> InputSpec:
        """The tensor that the graph takes."""
        return InputSpec(name="frame", width=self.pixels.width, height=self.pixels.height, resize=self.pixels.resize)

    @property
    def budget_ms(self) -> float:
        """The recipe's budget, or the board's, ms."""
        return self.recipe.budget_ms or self.board.budget_ms


def prepare(recipe_file: Path, board: str) -> Job:
    """Read recipe, board and the checkpoint's headers. Raises ConfigError or ExportError."""
    recipe = load_recipe(recipe_file)
    board_name, device = load_device(board)
    checkpoint, family = load.inspect(checkpoint_folder(recipe, recipe_file.resolve().parent))
    return Job(
        recipe=recipe,
        recipe_file=recipe_file,
        board_name=board_name,
        board=device,
        checkpoint=checkpoint,
        family=family,
        pixels=family.pixels(checkpoint),
        geometry=family.geometry(checkpoint, len(recipe.faults)),
    )

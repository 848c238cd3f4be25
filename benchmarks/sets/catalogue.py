"""The real sets as data: where each lies, how it is laid out, its recipe, and how its figures are to be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sets.layout import ballscrew, solar

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"


@dataclass(frozen=True, slots=True)
class PictureSet:
    """One real set.

    Attributes:
        title: of its report.
        folder: below EDGE_DATA.
        recipe: file in examples/recipes.
        reading: what to keep in mind with its figures, a sentence each.
        lay_out: makes folders of pictures from what the set holds; none: it has them.
        over_time: it has positions over time, whose alarms are timed.
        fair_ground: folder of the normal pictures that differ from faulty ones in the fault alone; empty: all do.
    """

    title: str
    folder: str
    recipe: str
    reading: tuple[str, ...]
    lay_out: Callable[[Path, Path], None] | None = None
    over_time: bool = False
    fair_ground: str = ""

    @property
    def recipe_file(self) -> Path:
        """Its recipe."""
        return RECIPES / self.recipe


SETS: Mapping[str, PictureSet] = {
    "magnetic_tile": PictureSet(
        "Magnetic tiles: free of faults, or with one of five",
        "magnetic_tile",
        "magnetic_tile.toml",
        (
            "Six views of one tile are one group: intervals and the bound count tiles.",
            "The half that is not here is the kinder one: the same weights find about a fifth more of its faults.",
            "The channel unnamed learned from normal pictures alone.",
        ),
    ),
    "metal_pans": PictureSet(
        "Metal pans: in order, or with a simulated crack",
        "metal_pan_crack",
        "metal_pans.toml",
        (
            "One part, one afternoon: normal pictures were taken in the morning light and cracked ones later, so a head may read the light.",
            "Ten normal pictures calibrate no bound: the channel is not armed, and its threshold is a guess.",
        ),
    ),
    "hot_rolled_steel": PictureSet(
        "X-SDD: seven faults of hot-rolled steel, told from each other",
        "xsdd_hot_rolled_steel",
        "hot_rolled_steel.toml",
        (
            "There is no normal class: nothing is armed, and the figures are of one fault against the other six.",
            "Folds are by blocks of file numbers, for the set names no coil.",
            "Two thirds of the pictures of finishing roll printing are PNG files and all others JPEG, which a head may read.",
        ),
    ),
    "ball_screw": PictureSet(
        "Ball screw: pitting on the raceway, and when it is noticed",
        "bsdata_ballscrew",
        "ball_screw.toml",
        (
            "Whole frames tell the time, not the wear: dirt and gloss drift, so boxes of one frame are compared.",
            "All positions are on one spindle.",
        ),
        lay_out=ballscrew,
        over_time=True,
        fair_ground="other_place_same_frame",
    ),
    "solar_thermal": PictureSet(
        "Solar modules from the air, thermal: in order, or with one of eleven anomalies",
        "solar_thermal_modules",
        "solar_thermal.toml",
        (
            "Pictures of 24 x 40 px: a tower made for 224 px sees a blur.",
            "Folds are by blocks of file numbers, for the set names no site; its brightness differs by site.",
            "A sixth of the pictures is used, evenly.",
        ),
        lay_out=solar,
    ),
}

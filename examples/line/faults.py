"""The faults of the simulated line as one table: words, where each can occur, and what the sensors feel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PARTS: dict[str, tuple[str, ...]] = {
    "flange": ("bolted flange", "flange", "round flange", "pipe flange", "bolted disc"),
    "housing": ("housing", "machined plate", "gearbox housing", "cover plate", "bolted housing"),
    "bearing": ("bearing", "ball bearing", "bearing ring", "roller bearing"),
    "gear": ("gear", "gear wheel", "cog", "toothed wheel", "spur gear"),
    "valve": ("valve body", "valve", "pipe coupling", "pipe fitting with a bolted cover"),
    "sheet": ("sheet", "metal surface", "panel", "plate surface", "flat sheet"),
}
"""Part id -> names a person would use, most usual first."""

MATERIALS: dict[str, tuple[str, ...]] = {
    "steel": ("brushed steel", "steel", "stainless steel", "bright steel"),
    "cast_iron": ("cast iron", "dark cast iron", "rough cast iron", "grey iron"),
    "aluminium": ("aluminium", "machined aluminium", "aluminum", "light alloy"),
    "blue": ("blue painted", "blue", "painted blue"),
    "green": ("green painted", "green", "painted green"),
    "yellow": ("yellow painted", "yellow", "painted yellow"),
}
"""Material or finish id -> adjectives a person would use, most usual first."""

BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "belt": ("on a conveyor belt", "on the belt", "on a rubber belt"),
    "fixture": ("in a fixture", "on a fixture plate", "on the machine table"),
    "mesh": ("on a wire mesh", "on a mesh conveyor", "on a metal grid"),
    "tray": ("in a plastic tray", "on a ribbed tray", "in a tray"),
}
"""Background id -> where the part lies, in words."""

_SOLID = frozenset(PARTS)
_BOLTED = frozenset({"flange", "housing", "valve"})
_SEATED = frozenset(PARTS) - {"sheet"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One named fault.

    ``nouns`` complete "a part with ..."; ``adjectives`` precede a part name; ``clauses`` are whole sentences with
    ``{part}``; ``normal`` are nouns or short phrases for the absence of just this fault. ``signature`` maps a
    sensor reading to its steady change in that reading's unit while the fault is present at full severity.
    """

    id: str
    words: str
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    clauses: tuple[str, ...]
    normal: tuple[str, ...]
    parts: frozenset[str] = _SOLID
    materials: frozenset[str] = frozenset(MATERIALS)
    camera: bool = False
    signature: Mapping[str, float] = field(default_factory=dict)


_TABLE = (
    Fault(
        "scratch",
        "a scratch on the surface",
        (
            "a scratch",
            "a long scratch",
            "scratch marks",
            "a scratched surface",
            "a score mark",
            "a thin bright scratch",
            "surface scratches",
            "a scrape",
            "a fine line scratched into it",
        ),
        ("scratched", "scored", "scraped"),
        (
            "the {part} is scratched",
            "something has scratched the {part}",
            "the surface of the {part} is scored",
            "there is a scratch across the {part}",
        ),
        ("an unscratched surface", "no scratches", "a scratch-free surface", "a surface without scratches"),
    ),
    Fault(
        "crack",
        "a crack in the part",
        (
            "a crack",
            "a dark jagged crack",
            "a fracture",
            "a hairline crack",
            "a branching crack",
            "cracks",
            "a fissure",
            "a split in the metal",
            "a broken, cracked area",
        ),
        ("cracked", "fractured", "split"),
        (
            "the {part} is cracked",
            "a crack runs through the {part}",
            "the {part} has fractured",
            "the metal of the {part} has split",
        ),
        ("no cracks", "a crack-free body", "no fracture", "an unbroken surface"),
    ),
    Fault(
        "dent",
        "a dent",
        (
            "a dent",
            "a deep dent",
            "a dented area",
            "a hollow knocked into it",
            "an impact mark",
            "a round dent",
            "a depression",
            "a ding",
        ),
        ("dented", "knocked-in", "bashed"),
        (
            "the {part} is dented",
            "something has hit the {part} and left a dent",
            "the surface of the {part} is pushed in",
            "there is a hollow in the {part}",
        ),
        ("no dents", "an even surface without dents", "a dent-free surface", "no impact marks"),
    ),
    Fault(
        "missing_bolt",
        "a bolt is missing",
        (
            "a missing bolt",
            "an empty bolt hole",
            "a bolt missing",
            "a bolt hole without its bolt",
            "a missing screw",
            "a missing fastener",
            "one bolt gone",
        ),
        ("incompletely bolted", "loosely bolted"),
        (
            "a bolt is missing from the {part}",
            "the {part} lacks a bolt",
            "one of the bolts of the {part} is not there",
            "a bolt hole of the {part} is empty",
            "not all bolts of the {part} are fitted",
        ),
        ("all bolts in place", "every bolt fitted", "no bolt missing", "all screws present", "a complete set of bolts"),
        parts=_BOLTED,
        signature={"vibration_mm_s": 1.8, "pressure_bar": -0.25},
    ),
    Fault(
        "oil_leak",
        "an oil leak",
        (
            "an oil leak",
            "leaking oil",
            "a dark oil stain",
            "an oil spill",
            "oil running down",
            "a puddle of oil",
            "an oily patch",
            "dripping oil",
            "a lubricant leak",
        ),
        ("leaking", "oil-stained", "oily"),
        (
            "oil is leaking from the {part}",
            "the {part} leaks oil",
            "oil runs down from the {part}",
            "the {part} is covered with oil",
            "dark oil spreads over the {part}",
        ),
        ("no oil leak", "no leaking oil", "a dry, oil-free surface", "no trace of oil", "a tight seal without leaks"),
        signature={"pressure_bar": -1.6, "temperature_c": 7.0},
    ),
    Fault(
        "misaligned_part",
        "the part is misaligned",
        (
            "a misaligned position",
            "bad alignment",
            "a wrong position",
            "an offset from its marks",
            "an alignment error",
            "a crooked seat",
        ),
        ("misaligned", "crooked", "misplaced", "wrongly placed", "out-of-place"),
        (
            "the {part} is misaligned",
            "the {part} is not seated in its place",
            "the {part} sits outside its corner marks",
            "the {part} is out of position",
            "the {part} lies crooked",
            "the {part} is off centre",
        ),
        (
            "correct alignment",
            "a well aligned part",
            "the part properly seated",
            "the part centred between its marks",
            "the right position",
        ),
        parts=_SEATED,
        signature={"vibration_mm_s": 2.6, "motor_current_a": 1.4, "temperature_c": 4.0},
    ),
    Fault(
        "rust",
        "rust or corrosion",
        ("rust", "corrosion", "rust spots", "a rusty patch", "orange-brown rust", "a corroded area", "rust stains"),
        ("rusty", "corroded", "rusted"),
        (
            "the {part} is rusty",
            "rust has spread over the {part}",
            "the {part} is corroded",
            "the {part} shows rust",
            "corrosion attacks the {part}",
        ),
        ("no rust", "a rust-free surface", "no corrosion", "clean metal without rust"),
        materials=frozenset(MATERIALS) - {"aluminium"},
    ),
    Fault(
        "pitting",
        "pitting or spalling",
        (
            "pitting",
            "spalling",
            "pits in the surface",
            "a cluster of small pits",
            "pitted areas",
            "small holes eaten into it",
            "pit marks",
        ),
        ("pitted", "spalled", "pockmarked"),
        (
            "the {part} is pitted",
            "small pits cover the {part}",
            "material has spalled off the {part}",
            "the surface of the {part} is full of little holes",
        ),
        ("no pitting", "no pits", "a surface free of pits", "no spalling"),
        signature={"vibration_mm_s": 3.2, "temperature_c": 9.0, "motor_current_a": 0.6},
    ),
    Fault(
        "foreign_object",
        "a foreign object",
        (
            "a foreign object",
            "a foreign body",
            "something that does not belong there",
            "a loose object",
            "debris",
            "an object left behind",
            "a stray item",
            "litter",
        ),
        ("obstructed", "littered"),
        (
            "a foreign object lies on the {part}",
            "something was left on the {part}",
            "debris lies on the {part}",
            "a loose object rests on the {part}",
            "there is an object on the {part} that does not belong there",
        ),
        ("no foreign objects", "nothing lying on it", "no debris", "no loose objects"),
        signature={"motor_current_a": 0.9},
    ),
    Fault(
        "blocked_lens",
        "the camera lens is blocked",
        (
            "a blocked lens",
            "a covered camera",
            "an obstructed view",
            "dirt on the lens",
            "a dark obstruction in front of the camera",
            "a blocked camera view",
            "a smudged lens",
            "something covering the lens",
        ),
        ("half-hidden", "obscured", "hidden"),
        (
            "the camera lens is blocked",
            "something covers the camera",
            "the view of the {part} is obstructed",
            "the camera cannot see the whole {part}",
            "dirt on the lens hides the {part}",
            "the lens is dirty",
        ),
        ("a clear view", "a clean lens", "an unobstructed view", "nothing in front of the camera"),
        camera=True,
    ),
    Fault(
        "out_of_focus",
        "the camera is out of focus",
        (
            "a blurred picture",
            "bad focus",
            "a blurry view",
            "a lens out of focus",
            "a defocused picture",
            "an unsharp image",
            "a fogged lens",
        ),
        ("blurry", "out-of-focus", "blurred", "defocused"),
        (
            "the camera is out of focus",
            "the picture of the {part} is blurred",
            "the {part} is out of focus",
            "the image is not sharp",
            "the lens is fogged and the {part} is blurry",
        ),
        ("a sharp picture", "good focus", "a camera in focus", "a crisp image"),
        parts=_SEATED,  # a smooth sheet looks the same out of focus
        camera=True,
    ),
)

FAULTS: dict[str, Fault] = {fault.id: fault for fault in _TABLE}
"""Fault id -> fault, in the order of the table."""


def possible(fault_id: str, part: str, material: str) -> bool:
    """Whether the fault can occur on this part of this material. Raises KeyError for an unknown fault."""
    fault = FAULTS[fault_id]
    return part in fault.parts and material in fault.materials

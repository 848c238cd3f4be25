"""The concepts that the checkpoint learns, the words for each, and what each data set says about the others."""

from __future__ import annotations

import re
from random import Random

from examples.line.captions import normal_phrases, phrases
from examples.line.faults import BACKGROUNDS, FAULTS, MATERIALS, PARTS
from examples.training.common.facts import Text, denied

LINE = tuple(FAULTS)
GROUND = ("hole", "chip", "fray", "uneven")
STEEL = ("roll_printing", "sheet_ash", "plate_scale", "temperature_scale", "red_iron", "slag")
SOLAR = (
    "cell",
    "cell_multi",
    "solar_crack",
    "diode",
    "diode_multi",
    "hot_spot",
    "hot_spot_multi",
    "offline",
    "shadowing",
    "soiling",
    "vegetation",
)
CONCEPTS = (*LINE, *GROUND, *STEEL, *SOLAR, "normal")
DOMAINS = ("line", "zoom", "ground", "steel", "solar", "screw", "pan")

NOUNS: dict[str, tuple[str, ...]] = {
    "hole": (
        "a small dark hole",
        "a blowhole",
        "a pinhole",
        "a pore",
        "a small dark spot",
        "a gas hole",
        "a tiny round cavity",
        "a dark pore in the metal",
    ),
    "chip": (
        "a chipped edge",
        "a broken edge",
        "a chipped or broken edge",
        "a broken corner",
        "a piece broken off the edge",
        "edge chipping",
        "a damaged edge",
        "a notch in the edge",
    ),
    "fray": (
        "a worn frayed patch",
        "a worn-off, frayed patch",
        "a worn patch",
        "a frayed area",
        "a worn-off area",
        "a rubbed patch",
        "a dull worn spot",
    ),
    "uneven": (
        "uneven grinding",
        "an uneven surface texture",
        "a step in surface texture",
        "irregular grinding",
        "an unevenly ground surface",
        "uneven grinding, a step in surface texture",
        "a change of grinding pattern",
    ),
    "roll_printing": (
        "finishing roll printing",
        "roll marks",
        "stripes printed by the finishing roll",
        "marks of the finishing roll",
        "faint roll imprints along the strip",
    ),
    "sheet_ash": (
        "iron sheet ash",
        "ash on the sheet",
        "dark clumps of ash",
        "iron ash pressed into the sheet",
        "dark specks of iron ash",
    ),
    "plate_scale": (
        "oxide scale of plate system",
        "plate oxide scale",
        "a long scale mark",
        "elongated flaky oxide scale",
        "plate system scale",
    ),
    "temperature_scale": (
        "oxide scale of temperature system",
        "temperature oxide scale",
        "small scattered scale marks",
        "scale caused by temperature",
        "many small pressed-in scale flakes",
    ),
    "red_iron": (
        "red iron",
        "red iron scale",
        "dark irregular patches of red scale",
        "large dark patches",
        "red oxide patches",
    ),
    "slag": ("slag inclusion", "included slag", "a slag streak", "slag rolled into the steel", "a rough band of slag"),
    "cell": ("a hot cell", "one hot cell", "a single cell anomaly", "a square hot cell"),
    "cell_multi": ("several hot cells", "multiple hot cells", "multi-cell anomaly", "many hot cells"),
    "solar_crack": ("cracking", "a cracked module surface", "surface cracks of the module"),
    "diode": ("an activated bypass diode", "one hot third of the module", "a diode fault", "an active bypass diode"),
    "diode_multi": ("several activated bypass diodes", "two hot thirds of the module", "multiple diode faults"),
    "hot_spot": ("a hot spot", "a small hot spot", "a bright hot point"),
    "hot_spot_multi": ("several hot spots", "multiple hot spots", "many small hot points"),
    "offline": ("an offline module", "a module that is off", "a fully heated module", "a module out of operation"),
    "shadowing": ("shadowing", "a shadow on the module", "partial shade"),
    "soiling": ("soiling", "dirt on the module", "dust or dirt"),
    "vegetation": (
        "vegetation in front of the module",
        "plants over the module",
        "vegetation",
        "grass that blocks the module",
    ),
}
"""Concept -> noun phrases, most usual first; the line's own faults bring theirs from ``examples.line``."""

ABSENT: dict[str, tuple[str, ...]] = {
    "hole": ("no holes", "a surface without pores", "no blowholes", "a dense surface"),
    "chip": ("intact edges", "no chipped edge", "unbroken edges"),
    "fray": ("no worn patch", "an unworn surface", "no frayed area"),
    "uneven": ("even grinding", "an evenly ground surface", "a uniform surface texture"),
    "hot_spot": ("no hot spots", "an even temperature"),
}
"""Concept -> ways to say that just this is absent."""

NORMAL = (
    "a flawless part",
    "a normal part",
    "a part in good order",
    "a part without any defect",
    "no visible fault",
    "no defect",
    "everything is in order",
    "an undamaged part",
    "a flawless surface",
    "a clean, intact surface",
    "a surface without any defect",
    "a perfect part",
    "a healthy part",
    "a good part",
    "a fault-free part",
    "nothing is wrong",
    "an intact part",
    "a sound part",
    "nothing unusual",
    "a defect-free surface",
)

PLACES: dict[str, tuple[str, ...]] = {
    "zoom": ("close-up", "detail of a part", "metal surface seen close up", "machine part from near by"),
    "ground": (
        "ground metal surface",
        "grey ground surface",
        "ground metal part",
        "grey metal part",
        "metal tile",
        "surface of a ground part",
    ),
    "steel": ("hot-rolled steel strip", "steel strip", "rolled steel sheet", "steel surface", "hot-rolled steel"),
    "solar": (
        "thermal image of a solar module",
        "infrared image of a solar panel",
        "solar module seen by a thermal camera",
        "photovoltaic module, infrared",
    ),
    "screw": ("ball screw", "ball screw raceway", "polished raceway of a ball screw", "spindle", "ball screw drive"),
    "pan": ("metal pan", "formed metal pan", "steel pan", "metal dish on a dark table"),
}
"""Domain -> what the picture shows, in words."""

_OPENINGS = (
    "",
    "",
    "",
    "a photo of ",
    "an image of ",
    "a picture of ",
    "inspection photo: ",
    "camera view of ",
    "close-up of ",
)
_FORMS = (
    "{noun}",
    "{noun} on a {place}",
    "{place} with {noun}",
    "a {place} with {noun}",
    "{place}: {noun}",
    "{noun}, {place}",
    "defect: {noun}",
    "there is {noun} on the {place}",
)
_GOOD = (
    "{noun}",
    "a flawless {place}",
    "a {place} without any defect",
    "{place}, no defect",
    "{place}: {noun}",
    "a normal {place}",
    "a {place} in good order",
    "an intact {place}",
)

_ABSENT_HERE: dict[str, tuple[str, ...]] = {
    "line": (*LINE, *STEEL, *SOLAR),
    "zoom": (*STEEL, *SOLAR),
    "ground": (
        "crack",
        "scratch",
        "missing_bolt",
        "oil_leak",
        "misaligned_part",
        "rust",
        "foreign_object",
        "blocked_lens",
        *GROUND,
        *SOLAR,
    ),
    "steel": (
        "scratch",
        "missing_bolt",
        "misaligned_part",
        "blocked_lens",
        "foreign_object",
        "oil_leak",
        *STEEL,
        *SOLAR,
    ),
    "solar": (*(fault for fault in LINE if fault not in ("crack", "out_of_focus")), *GROUND, *STEEL, *SOLAR),
    "screw": ("pitting", "missing_bolt", "misaligned_part", "blocked_lens", *STEEL, *SOLAR),
    "pan": ("crack", "missing_bolt", "oil_leak", "blocked_lens", *STEEL, *SOLAR),
}
"""Domain -> concepts that its labels settle: absent unless named. What is not listed stays unknown there."""


def facts(domain: str, present: frozenset[str], unknown: frozenset[str] = frozenset()) -> frozenset[str]:
    """All facts of a picture of a domain from the faults that it shows; no fault and nothing unknown makes it normal."""
    absent = frozenset("!" + concept for concept in _ABSENT_HERE[domain] if concept not in present | unknown)
    state = frozenset({"!normal"} if present else set() if unknown else {"normal"})
    others = frozenset(f"!domain:{other}" for other in DOMAINS if other != domain)
    return present | absent | state | others | {f"domain:{domain}"}


def attribute_facts(kind: str, value: str, values: tuple[str, ...]) -> frozenset[str]:
    """Facts for one of several exclusive values, such as the part that is shown."""
    return frozenset(f"{kind}:{value}" if v == value else f"!{kind}:{v}" for v in values)


def nouns(concept: str) -> tuple[str, ...]:
    """Every way to name a concept. Raises KeyError for an unknown one."""
    if concept == "normal":
        return NORMAL
    return (phrases(concept) if concept in FAULTS else ()) + NOUNS.get(concept, ())


def absent_phrases(concept: str) -> tuple[str, ...]:
    """Ways to say that one concept is absent; empty when there are none."""
    return (normal_phrases(concept) if concept in FAULTS else ()) + ABSENT.get(concept, ())


def claim(concept: str, random: Random) -> Text:
    """A short claim about one concept that names no place: true of every picture that shows it."""
    return Text(random.choice(_OPENINGS) + random.choice(nouns(concept)), frozenset({concept}))


def absence(concept: str, random: Random) -> Text:
    """A short claim that one concept is absent. Raises IndexError where there are no words for that."""
    return Text(random.choice(absent_phrases(concept)), frozenset({denied(concept)}))


def described(domain: str, concept: str, random: Random) -> Text:
    """A claim about one concept on what this domain shows."""
    form = random.choice(_GOOD if concept == "normal" else _FORMS)
    text = form.format(noun=random.choice(nouns(concept)), place=random.choice(PLACES[domain]))
    claims = {concept, f"domain:{domain}"} if "{place}" in form else {concept}
    return Text(random.choice(_OPENINGS[:4]) + text, frozenset(claims))


def attribute(random: Random) -> Text:
    """A claim about the part, its finish or what it lies on."""
    kind, table = random.choice(
        (("part", PARTS), ("part", PARTS), ("material", MATERIALS), ("background", BACKGROUNDS))
    )
    value = random.choice(tuple(table))
    name = random.choice(table[value])
    article = "an" if name[0] in "aeiou" else "a"
    words = {
        "part": f"{random.choice(_OPENINGS)}{article} {name}",
        "material": f"{article} {name} part",
        "background": f"a part {name}",
    }[kind]
    return Text(words, frozenset({f"{kind}:{value}"}))


_HORIZONTAL = re.compile(r"\b(on the|to the|lower|upper) (left|right)\b")


def mirrored(text: str) -> str:
    """The caption of the picture seen in a mirror: left and right as places change, other uses of the words stay."""
    return _HORIZONTAL.sub(lambda found: f"{found[1]} {'right' if found[2] == 'left' else 'left'}", text)


def mentions(text: str, names: tuple[str, ...]) -> bool:
    """Whether a text holds one of the names."""
    return any(name in text for name in names)

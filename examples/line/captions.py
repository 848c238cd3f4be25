"""Words for a scene: varied captions and yes/no questions whose answers agree with what the picture shows."""

from __future__ import annotations

from random import Random

import numpy as np

from examples.line.faults import BACKGROUNDS, FAULTS, MATERIALS, PARTS, Fault
from examples.line.scene import SceneSpec

_OPENINGS = ("", "", "", "", "a photo of ", "an image of ", "a picture of ", "inspection photo: ", "camera view of ", "close-up of ")

_FAULT_FORMS = (
    "{opening}{a_part} with {noun}",
    "{opening}{a_part} with {noun}",
    "{opening}{a_part} with {noun} {place}",
    "{opening}{a_part} with {noun} {place}",
    "{opening}{a_adjective_part}",
    "{opening}{a_adjective_part} {where}",
    "{noun} on {the_part}",
    "{noun} on {the_part} {place}",
    "{clause}",
    "{clause} {place}",
    "{part} {where}, {noun} {place}",
    "{opening}{a_part} {where} with {noun}",
    "defect: {noun}",
    "faulty {part}: {noun}",
    "fault found: {noun} {place}",
    "{noun} {place}",
    "{noun}",
    "{the_part} has {noun}",
    "there is {noun} on {the_part}",
    "{words}",
    "this {part} must be rejected because of {noun}",
    "not in order: {clause}",
    "{the_part} shows {noun} {place}",
    "{opening}{a_part} with {noun} but {absent}",
)
_CAMERA_FORMS = (
    "{clause}",
    "{clause}",
    "{noun}",
    "{opening}{a_part} seen through {noun}",
    "{noun}: {the_part} cannot be seen well",
    "camera fault: {noun}",
    "{clause} {place}",
    "{words}",
    "{opening}{a_adjective_part}",
    "{noun} {place}",
    "camera problem, {noun}",
)
_NORMAL_FORMS = (
    "{opening}{a_flawless_part}",
    "{opening}{a_flawless_part} {where}",
    "{opening}{a_flawless_part}",
    "{opening}{a_part} without any defect",
    "{opening}{a_part} with no visible fault",
    "{opening}{a_part} in good order",
    "{opening}{a_part} in perfect condition {where}",
    "{the_part} is in good order",
    "{the_part} is fine",
    "{the_part} passes the inspection",
    "{the_part} {where} has no defect",
    "nothing is wrong with {the_part}",
    "no defect on {the_part}",
    "no fault visible",
    "normal {part}",
    "everything is in order with {the_part}",
    "{opening}{a_part} with {normal}",
    "{opening}{a_part} with {normal} and {normal2}",
    "{a_part} {where}, {normal}",
    "{normal}, {normal2}: {the_part} is good",
    "good part: {a_part}",
    "a clear view of {a_flawless_part}",
    "a sharp picture of {a_part} in good order",
)
_FLAWLESS = (
    "flawless", "normal", "perfect", "intact", "undamaged", "clean", "good", "sound", "faultless", "defect-free", "healthy", "spotless", "fault-free",
)


def article(phrase: str) -> str:
    """The phrase with "a" or "an" before it."""
    return ("an " if phrase[0].lower() in "aeiou" else "a ") + phrase


def _random(rng: np.random.Generator) -> Random:
    return Random(int(rng.integers(2**62)))


def _tidy(text: str) -> str:
    return " ".join(text.split()).replace(" ,", ",").replace(" :", ":")


def _names(spec: SceneSpec, random: Random) -> dict[str, str]:
    """The words for this part, with or without its material; camera and fault words are added by the caller."""
    name = random.choice(PARTS[spec.part]) if random.random() < 0.6 else PARTS[spec.part][0]
    part = f"{random.choice(MATERIALS[spec.material])} {name}" if random.random() < 0.5 else name
    return {
        "opening": random.choice(_OPENINGS),
        "part": part,
        "a_part": article(part),
        "the_part": f"the {part}",
        "a_flawless_part": article(f"{random.choice(_FLAWLESS)} {part}"),
        "where": random.choice(BACKGROUNDS[spec.background]) if spec.part != "sheet" and random.random() < 0.7 else "",
    }


def _words_for(fault: Fault, names: dict[str, str], spec: SceneSpec, random: Random) -> dict[str, str]:
    adjective = random.choice(fault.adjectives)
    return {
        "noun": random.choice(fault.nouns),
        "clause": random.choice(fault.clauses).format(part=names["part"]),
        "a_adjective_part": article(f"{adjective} {names['part']}"),
        "words": fault.words,
        "place": spec.place(fault.id) if random.random() < 0.75 else "",
    }


def _normals(spec: SceneSpec, random: Random) -> dict[str, str]:
    """Words for the absence of two faults that the scene does not have."""
    able = [f for f in FAULTS.values() if spec.part in f.parts and f.id not in spec.faults and not f.camera]
    first, second = (random.choice(fault.normal) for fault in random.sample(able, 2))
    return {"normal": first, "normal2": second, "absent": first}


def caption(spec: SceneSpec, rng: np.random.Generator) -> str:
    """One sentence or phrase that fits the scene; every fault of the scene is named."""
    random = _random(rng)
    names = _names(spec, random)
    if not spec.faults:
        return _tidy(random.choice(_NORMAL_FORMS).format(**names, **_normals(spec, random)))
    order = sorted(spec.faults)
    random.shuffle(order)
    first = FAULTS[order[0]]
    forms = _CAMERA_FORMS if first.camera else _FAULT_FORMS
    text = random.choice(forms).format(**names, **_words_for(first, names, spec, random), **_normals(spec, random))
    for fault_id in order[1:]:
        text += f"{random.choice((' and', ', also', ', and also', ' as well as', ' plus'))} {random.choice(FAULTS[fault_id].nouns)}"
    return _tidy(text)


def phrases(fault_id: str) -> tuple[str, ...]:
    """Ways to name a fault without naming a part. Raises KeyError for an unknown fault."""
    fault = FAULTS[fault_id]
    return (fault.words, *fault.nouns, *(clause.format(part="part") for clause in fault.clauses), *(article(f"{a} part") for a in fault.adjectives))


def normal_phrases(fault_id: str) -> tuple[str, ...]:
    """Ways to say that this one fault is absent. Raises KeyError for an unknown fault."""
    return FAULTS[fault_id].normal

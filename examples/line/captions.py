"""Words for a scene: varied captions and yes/no questions whose answers agree with what the picture shows."""

from __future__ import annotations

from random import Random

import numpy as np

from examples.line.faults import BACKGROUNDS, FAULTS, MATERIALS, PARTS, Fault
from examples.line.scene import PLACES, SceneSpec

_OPENINGS = (
    "",
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
    "one can see {noun} on {the_part}",
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
    "flawless",
    "normal",
    "perfect",
    "intact",
    "undamaged",
    "clean",
    "good",
    "sound",
    "faultless",
    "defect-free",
    "healthy",
    "spotless",
    "fault-free",
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
    return (
        fault.words,
        *fault.nouns,
        *(clause.format(part="part") for clause in fault.clauses),
        *(article(f"{a} part") for a in fault.adjectives),
    )


def normal_phrases(fault_id: str) -> tuple[str, ...]:
    """Ways to say that this one fault is absent. Raises KeyError for an unknown fault."""
    return FAULTS[fault_id].normal


_ASK_NOUN = (
    "Can you see {noun} on the {part}?",
    "Does this {part} have {noun}?",
    "Can you see {noun}?",
    "Does the picture show {noun}?",
    "Do you see {noun}?",
    "Is this {a_part} with {noun}?",
)
_ASK_CAMERA = ("Does the camera have {noun}?", "Is the picture spoilt by {noun}?", "Can you see {noun}?")
_ASK_CLAUSE = (
    "Is it true that {clause}?",
    "Would you say that {clause}?",
    "Check this statement: {clause}. Is it right?",
)
_ASK_NORMAL = ("Does the picture show {normal}?", "Would you describe this as {normal}?", "Can you confirm {normal}?")
_ASK_ANY = (
    ("Is there any fault?", True),
    ("Is anything wrong here?", True),
    ("Is there a defect on this {part} or with the camera?", True),
    ("Should an operator look at this {part}?", True),
    ("Is everything in order?", False),
    ("Is this {part} in good order and clearly visible?", False),
    ("Does this picture pass the inspection?", False),
    ("Is this a picture without any fault?", False),
)
_ASK_PART = ("Is this {a_part}?", "Does the picture show {a_part}?", "Is the part {a_part}?")


def _fault_questions(fault: Fault, spec: SceneSpec, part: str, random: Random) -> list[tuple[str, bool]]:
    """Three questions on one fault: by name, as a statement and by its absence."""
    present = fault.id in spec.faults
    asks = _ASK_CAMERA if fault.camera else _ASK_NOUN
    noun, normal = random.choice(fault.nouns), random.choice(fault.normal)
    clause = random.choice(fault.clauses).format(part=part)
    return [
        (random.choice(asks).format(noun=noun, part=part, a_part=article(part)), present),
        (random.choice(_ASK_CLAUSE).format(clause=clause), present),
        (random.choice(_ASK_NORMAL).format(normal=normal), not present),
    ]


def _combined_questions(spec: SceneSpec, random: Random) -> list[tuple[str, bool]]:
    """Questions on the part, and on a part together with a fault: both must hold for yes."""
    own, other = (
        random.choice(PARTS[spec.part]),
        random.choice(PARTS[random.choice([p for p in PARTS if p != spec.part])]),
    )
    questions = [(random.choice(_ASK_PART).format(a_part=article(name)), name is own) for name in (own, other)]
    for fault_id in sorted(spec.faults):
        fault = FAULTS[fault_id]
        noun = random.choice(fault.nouns)
        questions += [(f"Is this {article(name)} with {noun}?", name is own) for name in (own, other)]
        place = spec.place(fault_id)
        if place in PLACES:
            names = tuple(PLACES)
            opposite = names[(names.index(place) + len(names) // 2) % len(names)]
            questions += [(f"Do you see {noun} {where}?", where == place) for where in (place, opposite)]
    return questions


def qa_pairs(spec: SceneSpec, rng: np.random.Generator) -> list[tuple[str, bool]]:
    """Yes/no questions with their answers: on every fault the part could have, on the part, on both together and on the whole."""
    random = _random(rng)
    part = random.choice(PARTS[spec.part])
    pairs = [
        pair
        for fault in FAULTS.values()
        if spec.part in fault.parts
        for pair in _fault_questions(fault, spec, part, random)
    ]
    pairs += _combined_questions(spec, random)
    pairs += [
        (ask.format(part=part), bool(spec.faults) is yes_when_faulty)
        for ask, yes_when_faulty in random.sample(_ASK_ANY, 3)
    ]
    random.shuffle(pairs)
    return pairs

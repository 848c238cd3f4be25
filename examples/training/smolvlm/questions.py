"""What the checkpoint is asked: yes/no questions whose answers follow from a picture's facts, and a few answered with a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from examples.line.captions import article
from examples.line.faults import BACKGROUNDS, FAULTS, MATERIALS, PARTS
from examples.training.common import words
from examples.training.common.facts import Text, denied
from examples.training.common.generated import HELD_OUT_PAIRS
from exporters.onepass.generative import QUESTION
from exporters.onepass.prompts import INSTRUCTION_FIRST

INSTRUCTIONS = {"yes_no": INSTRUCTION_FIRST, "word": "Answer with a word. {question}"}

_NOUN_FORMS = (
    QUESTION.replace("{words}", "{noun}"),
    QUESTION.replace("{words}", "{noun}"),
    "Is there {noun}?",
    "Can you see {noun}?",
    "Do you see {noun}?",
    "Does the picture show {noun}?",
    "Does this part have {noun}?",
    "Is {noun} visible?",
)
_CLAUSE_FORMS = ("Is it true that {clause}?", "Is it right that {clause}?", "Can you see that {clause}?")
_NORMAL_FORMS = ("Does the picture show {normal}?", "Can you see {normal}?", "Is it true that it has {normal}?")
_FAULTY = ("Is there any fault?", "Is anything wrong here?", "Is there a defect?", "Is there a fault in the picture?", "Is this part faulty?")  # fmt: skip
_GOOD = ("Is everything in order?", "Is this {good}?", "Does the picture show {good}?", "Is there no fault?")
_THING_FORMS = ("Is this {thing}?", "Does the picture show {thing}?", "Can you see {thing}?")
_PAIR_FORMS = ("Is this {thing} with {noun}?", "Does the picture show {thing} with {noun}?")

UNSEEN: dict[str, tuple[str, ...]] = {
    "scratch": ("Would you call this metal part scratched all over?", "Look closely: is the surface scored anywhere?"),
    "crack": ("Would you call this a cracked metal part?", "Look closely: has the component cracked open?"),
    "dent": ("Would you say a blow has dented the metal?", "Look closely: is the surface dented anywhere?"),
    "missing_bolt": ("Was one of its bolts forgotten?", "Look closely: is any bolt hole left empty?"),
    "oil_leak": ("Would you say the machine is leaking oil?", "Look closely: is oil coming out anywhere?"),
    "misaligned_part": ("Would you say the component is not aligned with its marks?", "Look closely: is it seated crooked?"),
    "rust": ("Would you call this metal rusty?", "Look closely: is the metal rusting anywhere?"),
    "pitting": ("Would you say the metal has many small pits?", "Look closely: is the surface pitted anywhere?"),
    "foreign_object": ("Would you say some foreign thing is lying there?", "Look closely: was any object left on top?"),
    "blocked_lens": ("Would you say something blocks the camera?", "Look closely: is the view covered anywhere?"),
    "out_of_focus": ("Would you call the whole photo blurry?", "Look closely: is this picture blurred?"),
}  # fmt: skip
"""Line fault -> questions in a form, and partly in words, that no training question has."""

USUAL: dict[str, tuple[str, ...]] = {
    concept: tuple(f"Is there {noun} in the picture?" for noun in words.nouns(concept)[1:5]) for concept in words.LINE
}
"""Line fault -> questions as training asks them; the recipes' plain words come out in the same form."""


@dataclass(frozen=True, slots=True)
class WordTable:
    """Questions answered with one word: ``answers`` maps a fact to its word, and the fact of a picture is among exclusive ones."""

    forms: tuple[str, ...]
    answers: Mapping[str, str]

    def answer(self, facts: frozenset[str]) -> str | None:
        """The word for a picture; None when no fact or several settle it."""
        found = [word for fact, word in self.answers.items() if fact in facts]
        return found[0] if len(found) == 1 else None


WORD_QUESTIONS = (
    WordTable(
        ("What part is this?", "Which part do you see?", "Name the part."),
        {"part:flange": "flange", "part:housing": "housing", "part:bearing": "bearing", "part:gear": "gear", "part:valve": "valve", "part:sheet": "sheet"},
    ),
    WordTable(
        ("What is it made of or painted in?", "Which finish does the part have?"),
        {"material:steel": "steel", "material:cast_iron": "iron", "material:aluminium": "aluminium", "material:blue": "blue", "material:green": "green",
         "material:yellow": "yellow"},
    ),
    WordTable(
        ("What does the part lie on?", "Where does it lie?"),
        {"background:belt": "belt", "background:fixture": "fixture", "background:mesh": "mesh", "background:tray": "tray"},
    ),
    WordTable(
        ("What is wrong?", "What is wrong here?", "Which fault do you see?", "Name the fault."),
        {"normal": "nothing", "scratch": "scratch", "crack": "crack", "dent": "dent", "missing_bolt": "bolt", "oil_leak": "oil",
         "misaligned_part": "misaligned", "rust": "rust", "pitting": "pits", "foreign_object": "object", "blocked_lens": "lens", "out_of_focus": "focus",
         "hole": "hole", "chip": "chip", "fray": "wear", "uneven": "grinding", "red_iron": "scale", "plate_scale": "scale", "temperature_scale": "scale",
         "slag": "slag", "sheet_ash": "ash", "roll_printing": "marks", "hot_spot": "hot", "cell": "hot", "shadowing": "shadow", "vegetation": "plants",
         "offline": "offline", "diode": "diode"},
    ),
)  # fmt: skip


def concept_question(concept: str, random: Random) -> Text:
    """A question whether a concept shows, by name or as a statement."""
    if concept == "normal":
        good = random.choice(words.NORMAL[:6])
        return Text(random.choice(_GOOD).format(good=good), frozenset({"normal"}))
    if concept in FAULTS and random.random() < 0.25:
        clause = random.choice(FAULTS[concept].clauses).format(part="part")
        return Text(random.choice(_CLAUSE_FORMS).format(clause=clause), frozenset({concept}))
    return Text(random.choice(_NOUN_FORMS).format(noun=random.choice(words.nouns(concept))), frozenset({concept}))


def absence_question(concept: str, random: Random) -> Text:
    """A question that is answered yes where a concept is absent. Raises IndexError where there are no words for that."""
    normal = random.choice(words.absent_phrases(concept))
    return Text(random.choice(_NORMAL_FORMS).format(normal=normal), frozenset({denied(concept)}))


def fault_question(random: Random) -> Text:
    """A question whether anything is wrong."""
    return Text(random.choice(_FAULTY), frozenset({"!normal"}))


def thing_question(random: Random) -> Text:
    """A question on the part, its finish, what it lies on, or what kind of picture this is."""
    kind = random.choice(("part", "part", "material", "background", "domain"))
    if kind == "domain":
        value = random.choice(tuple(words.PLACES))
        thing = article(random.choice(words.PLACES[value]))
    else:
        table = {"part": PARTS, "material": MATERIALS, "background": BACKGROUNDS}[kind]
        value = random.choice(tuple(table))
        name = random.choice(table[value])
        thing = {"part": article(name), "material": f"{article(name)} part", "background": f"a part {name}"}[kind]
    return Text(random.choice(_THING_FORMS).format(thing=thing), frozenset({f"{kind}:{value}"}))


def pair_question(part: str, fault: str, random: Random) -> Text:
    """A question on a part together with a fault: both must hold for yes."""
    thing, noun = article(random.choice(PARTS[part])), random.choice(words.nouns(fault))
    return Text(random.choice(_PAIR_FORMS).format(thing=thing, noun=noun), frozenset({f"part:{part}", fault}))


def askable(part: str, fault: str) -> bool:
    """Whether training may ask for a pair: one that its pictures never show would only teach the answer no."""
    return part in FAULTS[fault].parts and (part, fault) not in HELD_OUT_PAIRS


def any_question(random: Random) -> Text:
    """A question of any kind, as a batch draws them."""
    kind = random.random()
    if kind < 0.6:
        return concept_question(random.choice(words.CONCEPTS), random)
    if kind < 0.7:
        return absence_question(random.choice(DENIABLE), random)
    if kind < 0.75:
        return fault_question(random)
    if kind < 0.9:
        return thing_question(random)
    part, fault = random.choice([(p, f) for p in PARTS for f in FAULTS if askable(p, f)])
    return pair_question(part, fault, random)


_SHORT_OTHERS = 4

DENIABLE = tuple(concept for concept in words.CONCEPTS if words.absent_phrases(concept))


def for_pictures(pictures: Sequence[frozenset[str]], count: int, random: Random) -> list[Text]:
    """Questions for a batch that all its pictures are asked: on most of what any of them shows, and on other things.

    Args:
        pictures: facts of each.
        count: how many questions.
        random: the draw.
    """
    shown = {concept for facts in pictures for concept in words.CONCEPTS if concept in facts and concept != "normal"}
    asked = []
    for pool, share in ((shown & set(words.LINE), 4), (shown - set(words.LINE), 2)):
        wanted = random.sample(sorted(pool), min(len(pool), count * share // 10))
        asked += [concept_question(concept, random) for concept in wanted]
    others = [concept_question(random.choice(words.LINE), random) for _ in range(2)]
    others += [concept_question("normal", random), fault_question(random)]
    others.append(absence_question(random.choice([c for c in DENIABLE if c in shown] or DENIABLE), random))
    others.append(_pair_of(pictures, random))
    asked += random.sample(others, len(others))
    while len(asked) < count:
        asked.append(
            thing_question(random) if random.random() < 0.6 else concept_question(random.choice(words.CONCEPTS), random)
        )
    return asked[:count]


def short_for(pictures: Sequence[frozenset[str]], random: Random) -> dict[str, list[str]]:
    """Concept -> usual questions whose words together ask it in one token: every line fault and whether all is normal, and some of what else shows."""
    others = {c for facts in pictures for c in words.CONCEPTS if c in facts and c not in words.LINE and c != "normal"}
    asked = (*words.LINE, "normal", *random.sample(sorted(others), min(len(others), _SHORT_OTHERS)))
    named = {concept: words.nouns(concept) for concept in asked}
    return {
        concept: [QUESTION.format(words=noun) for noun in random.sample(nouns, random.randint(1, min(4, len(nouns))))]
        for concept, nouns in named.items()
    }


def _pair_of(pictures: Sequence[frozenset[str]], random: Random) -> Text:
    """A pair that a picture shows, or another fault or part beside it."""
    pairs = [(p, f) for facts in pictures for p in PARTS if f"part:{p}" in facts for f in FAULTS if f in facts]
    part, fault = random.choice(pairs) if pairs else ("flange", "rust")
    if random.random() < 0.4:
        part = random.choice(tuple(PARTS))
    return pair_question(part, fault, random) if askable(part, fault) else concept_question(fault, random)

"""Chooses what a first recipe says: normal or fault, ids, grouping, head, folds and bound, each with its reason; pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exporters.pictures.grouping import Part, folds, split
from exporters.pictures.images import NORMAL
from exporters.proof.calibrate import images_needed
from exporters.recipe import UNNAMED

NORMAL_WORDS = frozenset(
    ("normal", "good", "ok", "okay", "free", "nominal", "healthy", "flawless", "pass", "passed", "clean", "negative")
)
NOT = frozenset(("no", "not", "non", "un", "nicht", "without"))
FAULT_WORDS = frozenset(
    ("fault", "faults", "defect", "defects", "anomaly", "anomalies", "damage", "finding", "findings")
)
GROUPINGS = (  # the first that fits is taken
    (r"(?:^|/)[^/]*?(20\d{6}[T_-]?\d{4})\d{2}[^/]*$", "the minute in the file name"),
    (r"(?:^|/)([A-Za-z]*[_-]?\d+)[_-][^/]*$", "the part id that file names begin with"),
)
MIN_GROUPS = 3  # of each label: to fit, to calibrate and to judge
MIN_PARTS = 8  # of many pictures: fewer numbers in front are no ids of parts
FEW_PICTURES = 200  # of a label: below it the closed form did better than the network (docs/sets.md)
FOLDS = (4, 3, 2)
BOUNDS = (0.02, 0.05)  # false-alarm bounds; the first that can be calibrated, else the last
FIT_SHARE, TEST_SHARE = 0.5, 0.3
MAX_ID = 64


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the draft: its id, its short name, phrasings, and the labels whose pictures show it."""

    id: str
    title: str
    words: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the recipe says.

    Args:
        normal: labels of the normal state.
        faults: in the order of their ids; none: only the unnamed channel.
        pattern: of the grouping; None: each picture counts by itself.
        why: the reason of the grouping, a sentence.
        closed_form: whether the head is linear, in closed form.
        folds: members of the head.
        bound: share of normal frames that may be flagged.
        by_group: whether it counts groups.
        counts: pictures by label.
    """

    normal: tuple[str, ...]
    faults: tuple[Fault, ...]
    pattern: str | None
    why: str
    closed_form: bool
    folds: int
    bound: float
    by_group: bool
    counts: Mapping[str, int]


def choose(shown: Mapping[str, Sequence[str]], normal: Iterable[str] = ()) -> Choice:
    """Choose for the names of each label's pictures; `normal` are labels of the normal state beside those known by name."""
    known = frozenset(normal)
    normals = tuple(label for label in shown if is_normal(label, known))
    faults = make_faults([label for label in shown if label not in normals])
    pattern, why = choose_grouping(shown)
    classes: dict[str, set[str]] = {}
    for label, names in shown.items():
        for name in names:
            classes.setdefault(name, set()).add(NORMAL if label in normals else label)
    names = sorted(classes)
    groups = [_group(pattern, name) for name in names]
    rows = [sorted(classes[name]) for name in names]
    members = _folds(groups, rows) if faults and normals else 1
    shares: dict[Part, float] = {"fit": FIT_SHARE, "calibrate": 1 - FIT_SHARE - TEST_SHARE, "test": TEST_SHARE}
    useful = ("calibrate",) if faults and members == 1 else ("fit", "calibrate")
    calibrating = [
        group
        for group, row, part in zip(groups, rows, split(groups, rows, shares), strict=True)
        if row == [NORMAL] and part in useful
    ]
    by_group = pattern is not None and len(set(calibrating)) >= images_needed(BOUNDS[-1])
    units = len(set(calibrating)) if by_group else len(calibrating)
    return Choice(
        normal=normals,
        faults=faults,
        pattern=pattern,
        why=why,
        closed_form=min((len(files) for files in shown.values()), default=0) < FEW_PICTURES,
        folds=members,
        bound=next((bound for bound in BOUNDS if units >= images_needed(bound)), BOUNDS[-1]),
        by_group=by_group,
        counts={label: len(files) for label, files in shown.items()},
    )


def is_normal(label: str, normal: Iterable[str] = ()) -> bool:
    """Whether a label names the normal state: by its last word (``MT_Free``, ``part_ok``), or as no fault (``no-anomaly``); ``not_ok`` does not."""
    words = tokens(label)
    if label in normal:
        return True
    denied = any(word in NOT for word in words)
    if denied:
        return len(words) == 2 and words[0] in NOT and words[1] in FAULT_WORDS
    return bool(words) and words[-1] in NORMAL_WORDS


def tokens(label: str) -> list[str]:
    """The words of a label, in plain small letters."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    return re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain).casefold())


def make_faults(labels: Iterable[str]) -> tuple[Fault, ...]:
    """A fault for each label; labels that differ in spelling alone are one fault, and one without letters of an id gets a number."""
    found: dict[str, list[str]] = {}
    numbered = 0
    for label in sorted(labels):
        name = re.sub(r"[^a-z0-9]+", "_", " ".join(tokens(label)))[:MAX_ID].strip("_")
        if not name:
            numbered += 1
            name = f"fault_{numbered}"
        found.setdefault("unnamed_fault" if name == UNNAMED else name, []).append(label)
    return tuple(
        Fault(id=name, title=_phrase(spelt[0]).capitalize(), words=_words(spelt[0]), labels=tuple(spelt))
        for name, spelt in found.items()
    )


def choose_grouping(shown: Mapping[str, Sequence[str]]) -> tuple[str | None, str]:
    """The pattern that tells which pictures belong together, or None; and why."""
    names = [name for files in shown.values() for name in files]
    for pattern, what in GROUPINGS:
        if not all(re.search(pattern, name) for name in names):
            continue
        counts = {label: len({_group(pattern, name) for name in files}) for label, files in shown.items()}
        groups = len({_group(pattern, name) for name in names})
        least = min(counts, key=lambda label: counts[label])
        if counts[least] < MIN_GROUPS:
            return None, (
                f"NOT GROUPED: by {what}, label {least!r} has {counts[least]} group{'s' * (counts[least] > 1)}; {MIN_GROUPS} are the least. "
                "Its pictures may all show one moment or part: bring others."
            )
        if groups < MIN_PARTS and len(set(names)) > MIN_PARTS**2:
            continue  # a lot, a day or a camera, no part
        if groups == len(set(names)):
            return None, f"Each picture counts by itself: by {what}, no two belong together."
        return pattern, f"Grouped by {what}: {groups} groups of {len(set(names))} pictures."
    return None, (
        "Each picture counts by itself: file names tell neither a time nor a part. "
        "Where several show one part, say so with images.grouping."
    )


def _group(pattern: str | None, name: str) -> str:
    found = None if pattern is None else re.search(pattern, name)
    return name if found is None else found.group(1)


def _folds(groups: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The most members of which each keeps a normal picture to calibrate with, as a build deals them; 1: one head."""
    shares: dict[Part, float] = {"fit": FIT_SHARE, "calibrate": 1 - FIT_SHARE - TEST_SHARE, "test": TEST_SHARE}
    used = [index for index, part in enumerate(split(groups, rows, shares)) if part != "test"]
    for count in FOLDS:
        dealt = folds([groups[index] for index in used], [rows[index] for index in used], count)
        if len({fold for fold, index in zip(dealt, used, strict=True) if rows[index] == [NORMAL]}) == count:
            return count
    return 1


def _phrase(label: str) -> str:
    """A label as words of a sentence, in its own letters."""
    return " ".join(re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label)).split()).casefold() or label


def _words(label: str) -> tuple[str, ...]:
    return (_phrase(label), f"a part with {_phrase(label)}")

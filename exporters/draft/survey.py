"""Finds the labelled pictures of a folder, and whatever in it does not count, with the reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.errors import ConfigError, RejectedInput
from edge.inference.picture_header import read_header
from edge.inference.preprocess import CALIBRATION
from exporters.draft.choice import is_normal
from exporters.draft.labels import ANNOTATIONS, Marks, read_marks
from exporters.pictures.images import NORMAL
from exporters.recipe import PICTURE_SUFFIXES

CONTAINERS = frozenset(
    ("train", "test", "val", "valid", "validation", "images", "data")
)  # their sub-folders are labels
NO_LABELS = frozenset(("ground_truth", "mask", "masks", "readings", "unsure", "unknown", "unsorted", "unlabelled"))
MASK_SUFFIXES = (".png", "_mask.png")  # of a file beside a picture that has the same name otherwise
MAX_NAMED = 3  # files in one note
MIN_PICTURES = 2  # of a label: one to learn from and one to judge


@dataclass(frozen=True, slots=True)
class Survey:
    """What a folder holds.

    Args:
        origin: what the labels come from, in words.
        shown: each label's pictures, sorted; parents are resolved.
        roots: each label's folders, which may hold other files as well.
        mask_suffix: ending of masks beside pictures; None: there are none.
        notes: what was passed over and why, in sentences.
    """

    origin: str
    shown: Mapping[str, Sequence[Path]]
    roots: Mapping[str, Sequence[Path]]
    mask_suffix: str | None
    notes: tuple[str, ...]


def survey(
    folder: Path, labels: Path | None, normal: Iterable[str] = (), *, unmarked_is_normal: bool = False
) -> Survey:
    """Look at a folder.

    Args:
        folder: with the pictures.
        labels: file of labels; None: one in the folder or its ``annotations``, else sub-folders are labels.
        normal: labels that mean the normal state, beside those that `is_normal` knows.
        unmarked_is_normal: whether pictures of a file of labels in which nothing is marked are normal; else they are left out.

    Raises:
        ConfigError: there is no such folder, no picture with a label, or several files of labels.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder.")
    folder = folder.resolve()
    notes: list[str] = []
    marks, source = _marks(folder, labels, notes)
    pictures, masks = _without_masks(_pictures(folder, source, notes), notes)
    if marks is None or source is None:
        origin, claimed, roots = "sub-folders", *_by_folder(folder, pictures, notes)
    else:
        origin = f"the {marks.kind} {source.name}"
        claimed = _by_marks(folder, pictures, marks, notes, unmarked_is_normal=unmarked_is_normal)
        roots = {label: sorted({file.parent for file in files}) for label, files in claimed.items()}
    known = frozenset(normal)
    shown = _few_left_out(_agreeing(claimed, known, notes), notes)
    if not shown:
        raise ConfigError(f"{folder} holds no label with {MIN_PICTURES} pictures. {' '.join(notes)}".strip())
    return Survey(origin, shown, {label: roots[label] for label in shown}, masks, tuple(notes))


def _pictures(folder: Path, labels: Path | None, notes: list[str]) -> list[Path]:
    """Every JPEG and PNG file below a folder; links to folders are entered in the folder itself only, as labels."""
    links = sorted(path for path in folder.iterdir() if path.is_symlink() and path.is_dir())
    found, passed = [], Counter[str]()
    for path in [path for root in (folder, *links) for path in sorted(root.rglob("*"))]:
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            passed["hidden files"] += path.is_file()
        elif path.is_dir():
            passed["linked folders"] += path.is_symlink() and path not in links
            passed["empty folders"] += not any(path.iterdir())
        elif path == labels:
            continue
        elif path.suffix.lower() not in PICTURE_SUFFIXES:
            passed[f"{path.suffix.lower() or 'no ending'} files"] += 1
        elif str(path) != str(path).encode(errors="ignore").decode():  # the recipe could not name it
            passed["files whose name is not UTF-8"] += 1
        else:
            found.append(path)
    if passed := +passed:
        told = ", ".join(f"{count} {what}" for what, count in passed.most_common())
        notes.append(f"Passed over: {told}. Only JPEG and PNG files count.")
    return found


def _without_masks(pictures: Sequence[Path], notes: list[str]) -> tuple[list[Path], str | None]:
    """The pictures without those that are masks of others, and the ending of masks; the commonest ending only."""
    stems = {path.with_suffix("") for path in pictures if path.suffix.lower() != ".png"}
    whole = {path.with_suffix("") for path in pictures}
    found: dict[str, set[Path]] = {suffix: set() for suffix in MASK_SUFFIXES}
    for path in pictures:
        if path.suffix == ".png" and path.with_suffix("") in stems:
            found[".png"].add(path)
        elif path.name.endswith("_mask.png") and path.with_name(path.name.removesuffix("_mask.png")) in whole:
            found["_mask.png"].add(path)
    suffix = max(MASK_SUFFIXES, key=lambda one: len(found[one]))
    masks = found[suffix]
    if not masks:
        return list(pictures), None
    notes.append(f"{len(masks)} files that end with {suffix} beside a picture of that name are taken as masks.")
    return [path for path in pictures if path not in masks], suffix


def _marks(folder: Path, labels: Path | None, notes: list[str]) -> tuple[Marks, Path] | tuple[None, None]:
    """What the file of labels says that was named or is there, and where it is; a note for each that is none."""
    if labels is not None:
        return read_marks(labels.name, _start(labels)), labels.resolve()
    found: list[tuple[Marks, Path]] = []
    for place in (folder, folder / "annotations"):
        for path in sorted((*place.glob("*.csv"), *place.glob("*.json"))):
            try:
                found.append((read_marks(path.name, _start(path)), path))
            except ConfigError as error:
                notes.append(f"No labels were read from {path.name}: {error}")
    if len(found) > 1:
        raise ConfigError(
            f"several files of labels: {', '.join(str(path) for _, path in found)}; name one with --labels."
        )
    return found[0] if found else (None, None)


def _start(path: Path) -> bytes:
    """A file of labels; of one that is too large a byte more than is allowed, so that it is refused unread."""
    with path.open("rb") as file:
        return file.read(ANNOTATIONS.size_bytes + 1)


def _by_folder(
    folder: Path, pictures: Sequence[Path], notes: list[str]
) -> tuple[dict[str, set[Path]], dict[str, Sequence[Path]]]:
    """Each label's pictures, and its folders."""
    claimed: dict[str, set[Path]] = {}
    roots: dict[str, set[Path]] = {}
    passed = Counter[str]()
    for path in pictures:
        parts = path.relative_to(folder).parts[:-1]
        depth = next((level for level, part in enumerate(parts) if part.casefold() not in CONTAINERS), len(parts))
        if depth == len(parts):
            passed["outside any label's folder"] += 1
        elif parts[depth].casefold() in NO_LABELS:
            passed[f"in {parts[depth]}"] += 1
        else:
            _refuse_labels_inside(folder, parts[: depth + 1], parts[depth + 1 :])
            claimed.setdefault(parts[depth], set()).add(_resolved(path))
            roots.setdefault(parts[depth], set()).add(folder.joinpath(*parts[: depth + 1]))
    notes += [f"{count} pictures {where} were passed over." for where, count in passed.most_common()]
    return claimed, {label: sorted(found) for label, found in roots.items()}


def _refuse_labels_inside(folder: Path, label: Sequence[str], inside: Sequence[str]) -> None:
    """A folder of normal pictures inside a fault's is one of a camera that was sorted. Raises ConfigError."""
    normal = next((part for part in inside if is_normal(part)), None)
    if normal is not None and not is_normal(label[-1]):
        place = folder.joinpath(*label)
        raise ConfigError(
            f"{place} holds a folder {normal!r}, so it is no label itself: run init on {place}, or take the folder out of it."
        )


def _by_marks(
    folder: Path, pictures: Sequence[Path], marks: Marks, notes: list[str], *, unmarked_is_normal: bool
) -> dict[str, set[Path]]:
    """Each label's pictures by a file of labels; a picture is found by its path, or by a name that only one has."""
    by_name: dict[str, list[Path]] = {}
    for path in pictures:
        by_name.setdefault(path.name, []).append(path)
    claimed: dict[str, set[Path]] = {}
    named, missing, unmarked = set(), [], 0
    for reference, labels in marks.shown.items():
        picture = _found(folder, reference, by_name.get(PurePosixPath(reference).name, []))
        if picture is None:
            missing.append(reference)
            continue
        named.add(picture)
        unmarked += not labels
        for label in labels or ((NORMAL,) if unmarked_is_normal else ()):
            claimed.setdefault(label, set()).add(_resolved(picture))
    if missing:
        notes.append(f"{len(missing)} pictures of the {marks.kind} are not there, or not once: {_some(missing)}.")
    if unmarked and not unmarked_is_normal:
        notes.append(
            f"{unmarked} pictures without a mark were left out: --unmarked-is-normal takes them as normal, if all were looked at."
        )
    if others := len(pictures) - len(named):
        notes.append(f"{others} pictures are not in the {marks.kind}.")
    return claimed


def _found(folder: Path, reference: str, candidates: Sequence[Path]) -> Path | None:
    if len(candidates) < 2:
        return next(iter(candidates), None)
    wanted = "/" + reference.lstrip("/")
    ends = [path for path in candidates if ("/" + path.relative_to(folder).as_posix()).endswith(wanted)]
    return ends[0] if len(ends) == 1 else None


def _agreeing(claimed: Mapping[str, set[Path]], normal: frozenset[str], notes: list[str]) -> dict[str, Sequence[Path]]:
    """The pictures that can be read and of which no copy is normal as well as a fault."""
    keys = dict(_keys(sorted(set().union(*claimed.values())), notes))
    sides: dict[str, set[bool]] = {}
    for label, files in claimed.items():
        for file in files & keys.keys():
            sides.setdefault(keys[file], set()).add(is_normal(label, normal))
    both = sorted(file for file, key in keys.items() if len(sides[key]) > 1)
    if both:
        notes.append(
            f"{len(both)} pictures were left out: by content each is normal and a fault: {_some([file.name for file in both])}. "
            "Decide, and draft again."
        )
    copies = len(keys) - len(set(keys.values()))
    if copies:
        notes.append(
            f"{copies} pictures are exact copies of others: they tell nothing new, and count as evidence each. Remove them."
        )
    kept = keys.keys() - set(both)
    return {label: sorted(files & kept) for label, files in sorted(claimed.items())}


def _keys(files: Sequence[Path], notes: list[str]) -> Iterator[tuple[Path, str]]:
    """Each readable picture and a hash of its content."""
    refused = []
    for file in files:
        encoded = file.read_bytes()
        try:
            read_header(encoded, CALIBRATION)
        except RejectedInput as error:
            refused.append(f"{file.name} ({error.reason})")
            continue
        yield file, hashlib.sha256(encoded).hexdigest()
    if refused:
        notes.append(f"{len(refused)} pictures would be rejected on the device: {_some(refused)}.")


def _few_left_out(shown: Mapping[str, Sequence[Path]], notes: list[str]) -> dict[str, Sequence[Path]]:
    few = {label: len(files) for label, files in shown.items() if len(files) < MIN_PICTURES}
    notes += [
        f"The label {label!r} was left out: it has {count or 'no'} picture{'s' * (not count)}, and {MIN_PICTURES} are the least."
        for label, count in few.items()
    ]
    return {label: files for label, files in shown.items() if label not in few}


def _resolved(path: Path) -> Path:
    """As a recipe names it: a link to a picture keeps its own name."""
    return path.parent.resolve() / path.name


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more

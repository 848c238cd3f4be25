"""`init`: looks at a folder, chooses, and writes the recipe, never over another file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from edge.errors import ConfigError
from edge.inference.picture_header import read_header
from edge.inference.preprocess import CALIBRATION
from edge.parsing.toml_file import explain
from edge.parsing.toml_text import MAX_TOML_BYTES, toml_of
from exporters.draft.choice import Choice, choose, tokens
from exporters.draft.export import Format, labels_text
from exporters.draft.phrases import read_phrases, rephrased
from exporters.draft.survey import Survey, survey
from exporters.draft.text import recipe_text
from exporters.recipe import PICTURE_SUFFIXES, Recipe, find_images

MAX_NAME = 40


@dataclass(frozen=True, slots=True)
class DraftOptions:
    """What a person may say beside the folder.

    Args:
        labels: file of labels; None: what lies there, else sub-folders.
        checkpoint: its folder; None: left open.
        normal: labels of the normal state, beside those known by name.
        labels_out: by format, a file to which the labels are written for another program.
        unmarked_is_normal: whether pictures without a mark in a file of labels are normal.
        words: file that says how people say each label; None: the labels themselves.
    """

    labels: Path | None = None
    checkpoint: Path | None = None
    normal: tuple[str, ...] = ()
    unmarked_is_normal: bool = False
    labels_out: Mapping[Format, Path] = field(default_factory=dict)
    words: Path | None = None


def write_recipe(folder: Path, out: Path, options: DraftOptions) -> list[str]:
    """Write a recipe; what was found, chosen and passed over, in lines for people.

    Raises:
        ConfigError: the file is there already, the folder holds nothing to learn from, or the checkpoint's folder is none.
    """
    for path in (out, *options.labels_out.values()):
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} is there already and is not overwritten; choose another name.")
    base = out.resolve().parent
    if not base.is_dir():
        raise ConfigError(f"{base} is no folder; make it first.")
    if options.checkpoint is not None and not (options.checkpoint / "config.json").is_file():
        raise ConfigError(
            f"--checkpoint: {options.checkpoint} has no config.json; give a checkpoint's folder, or leave it out."
        )
    found = survey(folder, options.labels, options.normal, unmarked_is_normal=options.unmarked_is_normal)
    choice = choose(
        {label: [_relative(file, base) for file in files] for label, files in found.shown.items()}, options.normal
    )
    if options.words is not None:
        choice = rephrased(choice, read_phrases(options.words.name, options.words.read_bytes()))
    _refuse_one_side(choice, folder)
    text = recipe_text(
        choice,
        name="_".join(tokens(folder.resolve().name))[:MAX_NAME].strip("_") or "pictures",
        checkpoint=None if options.checkpoint is None else _relative(options.checkpoint.resolve(), base),
        patterns=patterns_of(found, base),
        mask_suffix=found.mask_suffix,
        origin=found.origin,
        notes=found.notes,
    )
    _check(text, out)
    with out.open("x", encoding="utf-8") as file:
        file.write(text)
    for kind, path in options.labels_out.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(_labels_text(kind, found, folder.resolve()))
    return list(_said(found, choice, out, is_open=options.checkpoint is None))


def _labels_text(kind: Format, found: Survey, folder: Path) -> str:
    files = set().union(*found.shown.values())
    headers = {file: read_header(file.read_bytes(), CALIBRATION) for file in files}
    return labels_text(
        kind,
        {label: [_relative(file, folder) for file in mine] for label, mine in found.shown.items()},
        {_relative(file, folder): (header.width, header.height) for file, header in headers.items()},
    )


def patterns_of(found: Survey, base: Path) -> dict[str, list[str]]:
    """Each label's pictures as a recipe names them: by folder, by folder and ending, or file by file where neither finds exactly these."""
    return {
        label: [pattern for root in found.roots[label] for pattern in _patterns(root, files, base)]
        for label, files in found.shown.items()
    }


def _patterns(root: Path, files: Sequence[Path], base: Path) -> list[str]:
    place = root.resolve()
    wanted = {file for file in files if file.is_relative_to(place)}
    if not wanted:
        return []
    whole = glob.escape(_relative(place, base))
    by_ending = [
        f"{whole}/**/*{_either_case(suffix)}"
        for suffix in PICTURE_SUFFIXES
        if any(file.suffix.lower() == suffix for file in wanted)
    ]
    for candidate in ([whole if whole == _relative(place, base) else f"{whole}/**/*"], by_ending):
        if set(find_images(candidate, base)) == wanted:
            return candidate
    return [glob.escape(_relative(file, base)) for file in sorted(wanted)]


def _either_case(suffix: str) -> str:
    return "." + "".join(f"[{letter}{letter.upper()}]" for letter in suffix[1:])


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _refuse_one_side(choice: Choice, folder: Path) -> None:
    if choice.normal or len(choice.faults) > 1:
        return
    raise ConfigError(
        f"{folder} holds one label, {choice.faults[0].labels[0]!r}, and no normal pictures: put those into a folder 'normal', or, if the "
        f"label itself is the normal state, say --normal {choice.faults[0].labels[0]!r}."
    )


def _check(text: str, out: Path) -> None:
    """The text makes the recipe that it should. Raises ConfigError."""
    if len(text) > MAX_TOML_BYTES:
        raise ConfigError(
            f"the recipe would name {text.count(chr(10))} pictures one by one, more than a recipe holds: sort them into a folder for each label."
        )
    try:
        Recipe(**toml_of(text))
    except ValidationError as error:
        raise ConfigError(
            f"{out} was not written, because these labels make no recipe: {explain(error, Recipe, text)}"
        ) from error


def _said(found: Survey, choice: Choice, out: Path, *, is_open: bool) -> Iterator[str]:
    yield f"labels from {found.origin}:"
    width = max(map(len, choice.counts))
    ids: Mapping[str, str] = {label: f"fault {fault.id}" for fault in choice.faults for label in fault.labels}
    for label, count in choice.counts.items():
        yield f"  {label.ljust(width)}  {count:>6}  {ids.get(label, 'normal')}"
    yield from found.notes
    yield choice.why
    if not choice.faults:
        yield "Only normal pictures: the unnamed channel learns what is normal."
    elif choice.closed_form:
        yield f"Few pictures: a linear head in closed form{f', in {choice.folds} folds' if choice.folds > 1 else ''}."
    if is_open:
        yield f"Put the folder of a checkpoint into {out}: docs/checkpoints.md says which suit."
    yield f"Wrote {out}: read its comments, then edge-export plan {out} --board BOARD."

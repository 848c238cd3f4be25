"""Writes a choice as the text of a recipe, with comments that say what to check next; pure."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from exporters.draft.choice import FIT_SHARE, TEST_SHARE, Choice
from exporters.recipe import NO_CHECKPOINT

WIDTH = 120


def recipe_text(
    choice: Choice,
    *,
    name: str,
    checkpoint: str | None,
    patterns: Mapping[str, Sequence[str]],
    mask_suffix: str | None,
    origin: str,
    notes: Iterable[str],
) -> str:
    """The recipe.

    Args:
        choice: what it says.
        name: of the bundle, an id.
        checkpoint: folder, relative to the recipe; None: left open, so that a plan refuses it.
        patterns: each label's pictures, as `images` of a recipe names them.
        mask_suffix: ending of masks beside pictures.
        origin: what the labels come from.
        notes: what was passed over, in sentences.
    """
    lines = [
        *comment(
            f"Drafted by `edge-export init` from {origin}. Check each line below; nothing here is proven before a build."
        ),
        *(line for note in notes for line in comment(f"- {note}")),
        f"name = {quoted(name)}",
        *_checkpoint(checkpoint),
        "",
        *_images(choice, patterns, mask_suffix),
        *(_head(choice) if choice.faults else _unnamed()),
        "",
        *_tolerance(choice),
    ]
    for fault in choice.faults:
        count = sum(choice.counts[label] for label in fault.labels)
        lines += [
            "",
            "[[faults]]",
            f"id = {quoted(fault.id)} # {count} pictures",
            f"title = {quoted(fault.title)}",
            *comment("Check: say it as your people do, in several ways."),
            f"words = {_array(fault.words)}",
            f"images = {_array([pattern for label in fault.labels for pattern in patterns[label]])}",
        ]
    return "\n".join(lines) + "\n"


def comment(text: str) -> list[str]:
    """A text as lines of a comment; what could end the line or is not allowed in TOML is shown as ``?``."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return textwrap.wrap(plain, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def quoted(text: str) -> str:
    """A text as TOML writes it, on one line."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _array(texts: Sequence[str]) -> str:
    one_line = f"[{', '.join(map(quoted, texts))}]"
    return one_line if len(one_line) <= WIDTH else "[\n" + "".join(f"  {quoted(text)},\n" for text in texts) + "]"


def _checkpoint(folder: str | None) -> Iterator[str]:
    if folder is None:
        yield from comment(
            "TO DO: the folder of a checkpoint, relative to this file. docs/checkpoints.md says which suit."
        )
    yield f"checkpoint = {quoted(NO_CHECKPOINT if folder is None else folder)}"


def _images(choice: Choice, patterns: Mapping[str, Sequence[str]], mask_suffix: str | None) -> Iterator[str]:
    yield "[images]"
    if choice.normal:
        counted = ", ".join(f"{choice.counts[label]} in {label}" for label in choice.normal)
        yield from comment(
            f"Normal pictures: {counted}. Check that none of them shows a fault, and add other days and other light."
        )
    else:
        yield from comment(
            "No normal pictures were found, so no fault will be armed. Bring some, or name their label with --normal."
        )
    yield f"normal = {_array([pattern for label in choice.normal for pattern in patterns[label]])}"
    if mask_suffix is not None and choice.faults:
        yield from comment("Masks lie beside pictures; check that white is the fault.")
        yield f"mask_suffix = {quoted(mask_suffix)}"
    yield f"fit_share = {FIT_SHARE}"
    yield f"test_share = {TEST_SHARE} # never fitted or calibrated on: the evidence"
    yield from comment(choice.why)
    if choice.pattern is not None:
        yield from comment(
            "Check: pictures of one part or moment must be one group, or the report praises what it has seen."
        )
        yield f"grouping.pattern = {quoted(choice.pattern)}"
    yield ""


def _head(choice: Choice) -> Iterator[str]:
    yield "[head]"
    yield 'kind = "fitted"'
    if choice.closed_form:
        yield "hidden = 0 # few pictures: solved in closed form, which did better on them (docs/sets.md)"
    if choice.folds > 1:
        yield f"folds = {choice.folds} # each group serves twice: it fits some members and calibrates another"


def _unnamed() -> Iterator[str]:
    yield from comment(
        "Only normal pictures: the bundle says what is unlike them. Name faults once you have pictures of them."
    )
    yield "[unnamed]"
    yield "enabled = true"


def _tolerance(choice: Choice) -> Iterator[str]:
    yield "[tolerance]"
    yield f"false_alarm_bound = {choice.bound:g} # share of normal frames that may be flagged; `edge-export plan` says what it needs"
    if choice.by_group:
        yield "by_group = true # many pictures of one group are no more evidence than one"

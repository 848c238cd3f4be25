"""The recipe as one frozen record, read from ``recipe.toml``: the checkpoint, the faults in plain words, the site's images."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.errors import ConfigError
from edge.parsing.toml_file import Section, read_record

DATA_ROOT_VARIABLE = "EDGE_DATA"
DATA_ROOT_DEFAULT = "../shared/data"
NO_CHECKPOINT = "choose-a-checkpoint"  # what a draft says while nobody has chosen
UNNAMED = "unnamed"  # id of the channel of faults without a name
PICTURE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
)  # what edge.inference.preprocess decodes; others would fail on the device too

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Phrase = Annotated[str, Field(pattern=r"\S")]  # a blank one would be embedded, too
Scheme = Literal["float32", "dynamic-int8", "static-int8", "decoder-int4"]


class Grouping(Section):
    """Which images show the same thing, so that none of a group's images is fitted on while another is judged."""

    pattern: str | None = Field(
        default=None,
        description="regular expression on the file path; its first group (or whole match) names the group",
    )
    number_pattern: str | None = Field(
        default=None,
        description="regular expression whose first group is a running frame number; runs of near numbers are a group",
    )
    run_gap: int = Field(default=500, ge=1, description="largest gap inside a run, frame numbers")
    duplicate_bits: int = Field(
        default=0,
        ge=0,
        le=256,
        description="merge groups holding near duplicates: bits of 256 that may differ; 0: never",
    )
    duplicate_window: int = Field(
        default=6000, ge=1, description="look for near duplicates only this near, frame numbers"
    )

    @model_validator(mode="after")
    def _patterns(self) -> Grouping:
        for pattern in filter(None, (self.pattern, self.number_pattern)):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        if self.pattern and self.number_pattern:
            raise ValueError("give pattern or number_pattern, not both")
        return self


class Images(Section):
    """The site's own images; files, folders or glob patterns, relative to the recipe; ${EDGE_DATA} is expanded."""

    normal: tuple[str, ...] = Field(default=(), description="pictures of the normal state")
    mask_suffix: str | None = Field(
        default=None,
        description="a fault picture's mask lies beside it under this ending, e.g. .png; white is fault (fitted head only)",
    )
    grouping: Grouping = Field(default=Grouping(), description="which images belong together")
    fit_share: Share = Field(
        default=0.5, description="share of images for fitting a head; with words they calibrate too"
    )
    test_share: Share = Field(default=0.3, description="share of images never fitted or calibrated on: the evidence")
    long_side_mm: float | None = Field(
        default=None,
        gt=0,
        description="what the longer side of a picture shows, mm; the report then gives sizes of painted faults in mm",
    )
    limit: int = Field(default=4000, ge=1, description="most images used, number; more are thinned evenly")

    @model_validator(mode="after")
    def _shares(self) -> Images:
        if self.fit_share + self.test_share >= 1.0:
            raise ValueError("fit_share + test_share must leave images for calibration: keep their sum below 1")
        return self


class Head(Section):
    """How a frame's features become evidence for a fault."""

    kind: Literal["words", "fitted"] = Field(
        default="words", description="words: text embeddings alone (zero-shot); fitted: a head fitted on site images"
    )
    layers: tuple[Share, ...] = Field(
        default=(0.0, 0.5, 1.0),
        description="depths of the tower whose features the fitted head sees; 0: patch embedding, 1: last layer; none: texture alone",
    )
    epochs: int = Field(default=40, ge=1, description="passes over the fit images, number; a small set gets more")
    folds: int = Field(
        default=1,
        ge=1,
        le=10,
        description="members of the head, each fitted without one of so many shares of the groups, which it then calibrates; 1: one head, which part calibrate calibrates",
    )
    hidden: int = Field(
        default=96,
        ge=0,
        le=1024,
        description="width of the fitted head, units; 0: no patch is judged, but mean and spread of the layers over the picture, in closed form",
    )
    grain: int = Field(
        default=0,
        ge=0,
        le=8,
        description="networks over the frame's own pixels that judge beside the patch head, number; 0: none",
    )
    grain_epochs: int = Field(
        default=40, ge=1, description="passes over the fit images for each of those networks, number"
    )
    patch_share: Share = Field(
        default=0.25, description="weight of the head over features where such networks judge beside it"
    )
    unnamed_share: Share = Field(
        default=0.0,
        description="weight of the unnamed channel's evidence in that of the named faults, each in units of its spread over normal images; 0: none",
    )
    frame_scale: int = Field(
        default=1, ge=1, le=4,
        description="frame's size over the checkpoint's, times; the checkpoint sees the mean of the pixels, the networks all of them",
    )  # fmt: skip
    seed: int = Field(default=0, description="seed of the fit")

    @model_validator(mode="after")
    def _folds(self) -> Head:
        if self.folds > 1 and self.kind != "fitted":
            raise ValueError("folds are for kind = 'fitted': words have nothing to fit")
        if self.hidden == 0 and not self.layers:
            raise ValueError("hidden = 0 reads layers alone: name some")
        return self


class Generative(Section):
    """How a checkpoint that answers in words is asked; other checkpoints refuse this section."""

    resolution_px: int | None = Field(
        default=None, ge=1, description="edge of the square picture, px; none: the checkpoint's own"
    )
    form: Literal["tree", "prefix"] | None = Field(
        default=None, description="how the questions share the prompt's beginning; none: the faster one, by measurement"
    )
    opening: str = Field(
        default="",
        description="text behind the opening of the answer, e.g. an empty thought for a checkpoint trained to think first",
    )
    questions: Literal["worded", "one-token"] = Field(
        default="worded",
        description="worded: asked unchanged; one-token: each becomes one token fitted on the site's images, everything else frozen",
    )
    stream: bool | None = Field(
        default=None,
        description="keep the weights on disk and write the graph tensor by tensor; none: where the checkpoint would not fit into memory",
    )


class Explain(Section):
    """Whether a checkpoint that answers in words may also generate explanations; other checkpoints refuse this section."""

    speak: bool = Field(
        default=False,
        description="put its decoder into the bundle once more, for sentences after an alarm; about doubles the bundle",
    )
    question: str = Field(
        default="Where is {words}? Answer in one short sentence.",
        min_length=1,
        description="what it is asked about a fault; {words}: the fault's first phrasing that is no question, or its title",
    )
    tokens: int = Field(default=48, ge=1, le=400, description="longest sentence, tokens")


class Unnamed(Section):
    """The unnamed fault: what is unlike the site's normal pictures, with or without named faults."""

    enabled: bool = Field(default=False, description="whether the bundle has such a channel; it needs images.normal")
    title: str = Field(default="unlike the normal pictures", min_length=1, description="short name for people")
    layers: tuple[Share, ...] = Field(
        default=(0.7, 0.95, 1.0),
        min_length=1,
        description="depths of the tower whose features are compared; a tower that is cut takes its own usual ones",
    )
    threshold: Share | None = Field(default=None, description="score to flag at, 0..1; none: calibrated")
    seed: int = Field(
        default=0, ge=0, description="seed of the painted faults by which it is chosen and its power estimated"
    )


class Quantization(Section):
    """What to try; the best that keeps the verdicts is chosen by measurement."""

    schemes: tuple[Scheme, ...] | None = Field(
        default=None, min_length=1, description="schemes to try; none: the board's"
    )
    threads: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        default=None, min_length=1, description="threads to try, number; none: the board's"
    )
    calibration_images: int = Field(default=64, ge=1, description="images for static int8 ranges, number")


class Tolerance(Section):
    """What the result may cost, and what it must hold."""

    flips_share: Share = Field(default=0.01, description="share of verdicts that quantization may change")
    false_alarm_bound: Share = Field(default=0.02, description="share of normal frames that may be flagged, per fault")
    by_group: bool = Field(
        default=False,
        description="whether that share counts groups: then it holds for the frames of a part not seen before, and needs more parts",
    )
    timing_runs: int = Field(default=150, ge=10, description="timed runs per candidate, number")
    timing_seconds: float = Field(default=20.0, gt=0, description="most time spent on timing all candidates, s")


class FaultRecipe(Section):
    """One fault, in the engineer's words."""

    id: Identifier = Field(description="id, also its flag channel")
    title: str = Field(description="short name for people")
    words: tuple[Phrase, ...] = Field(min_length=1, description="several phrasings of the fault")
    normal_words: tuple[Phrase, ...] = Field(
        default=(), description="phrasings of the normal state; none: the recipe's"
    )
    images: tuple[str, ...] = Field(default=(), description="pictures that show the fault; as images.normal")
    threshold: Share | None = Field(default=None, description="score to flag at, 0..1; none: calibrated")


class Recipe(Section):
    """The whole recipe."""

    name: Identifier = Field(description="the bundle's name")
    version: int | None = Field(default=None, ge=1, description="number; none: one more than the newest in the folder")
    checkpoint: str = Field(description="checkpoint folder in Hugging Face layout, relative to the recipe")
    licence: str = Field(
        default="unknown",
        description="licence of the weights, from their card; none: what a checkpoint made by `edge-export tower` says, else unknown",
    )
    budget_ms: float | None = Field(default=None, gt=0, description="latency budget, ms; none: the board's")
    normal_words: tuple[Phrase, ...] = Field(
        min_length=1,
        default=("a flawless part", "a normal part without defects", "everything is in order"),
        description="phrasings of the normal state for faults that give none",
    )
    images: Images = Field(default=Images(), description="the site's own images")
    head: Head = Field(default=Head(), description="how features become evidence")
    unnamed: Unnamed = Field(default=Unnamed(), description="the channel for faults without a name")
    generative: Generative = Field(default=Generative(), description="how a generative checkpoint is asked")
    explain: Explain = Field(
        default=Explain(), description="whether a generative checkpoint may also generate explanations"
    )
    quantization: Quantization = Field(default=Quantization(), description="what to try")
    tolerance: Tolerance = Field(default=Tolerance(), description="what must hold")
    faults: tuple[FaultRecipe, ...] = Field(
        default=(), description="the faults to flag; at least one, or the unnamed channel"
    )

    @model_validator(mode="after")
    def _ids(self) -> Recipe:
        ids = [fault.id for fault in self.faults]
        if len(set(ids)) != len(ids):
            raise ValueError(f"fault ids repeat: {ids}")
        if not ids and not self.unnamed.enabled:
            raise ValueError("faults: name at least one, or set unnamed.enabled = true")
        if self.unnamed.enabled and UNNAMED in ids:
            raise ValueError(f"{UNNAMED!r} is the unnamed channel's id: call the fault otherwise")
        if self.unnamed.enabled and not self.images.normal:
            raise ValueError(
                "unnamed.enabled needs images.normal: it learns what is normal from them, one picture at least"
            )
        if self.head.unnamed_share and not (self.unnamed.enabled and self.head.kind == "fitted"):
            raise ValueError("head.unnamed_share needs head.kind = 'fitted' and unnamed.enabled = true")
        if self.head.kind == "fitted" and not ids:
            raise ValueError("head.kind = 'fitted' needs faults with pictures")
        if self.head.kind == "fitted" and not self.images.normal and (len(ids) == 1 or self.head.grain):
            raise ValueError(
                "head.kind = 'fitted' needs images.normal, or two faults at least, without grain: those are distinguished from each other and not armed"
            )
        if self.generative.questions == "one-token" and not self.images.normal:
            raise ValueError("generative.questions = 'one-token' needs images.normal")
        return self

    @model_validator(mode="after")
    def _contrast(self) -> Recipe:
        for fault in self.faults:
            normal = {_plain(phrase) for phrase in self.normal_words_of(fault)}
            both = [phrase for phrase in fault.words if _plain(phrase) in normal]
            if both:
                raise ValueError(
                    f"{both[0]!r} stands for {fault.id} and for its normal state: remove it from one of them"
                )
        return self

    @property
    def channels(self) -> tuple[FaultRecipe, ...]:
        """Everything that has a score, in the order of scores: the named faults, then the unnamed one."""
        if not self.unnamed.enabled:
            return self.faults
        section = self.unnamed
        unnamed = FaultRecipe(id=UNNAMED, title=section.title, words=(section.title,), threshold=section.threshold)
        return (*self.faults, unnamed)

    @property
    def fits(self) -> bool:
        """Whether something is fitted on the site's images, so that those must not calibrate as well.

        Of a head in folds each image has a member that never saw it.
        """
        return (self.head.kind == "fitted" and self.head.folds == 1) or self.generative.questions == "one-token"

    @property
    def fitted_share(self) -> float:
        """Share of the images that one head is fitted on, or one member of a head in folds."""
        folds = self.head.folds
        return self.images.fit_share if folds == 1 else (1.0 - self.images.test_share) * (folds - 1) / folds

    def normal_words_of(self, fault: FaultRecipe) -> tuple[str, ...]:
        """The phrasings of the normal state that a fault is contrasted with."""
        return fault.normal_words or self.normal_words


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe. Raises ConfigError that names the key and what is wrong with it."""
    return read_record(path, Recipe)


def _plain(phrase: str) -> str:
    """A phrase without what makes no difference to its meaning."""
    return " ".join(phrase.casefold().split())


def checkpoint_folder(recipe: Recipe, base: Path) -> Path:
    """The checkpoint's folder; ``base`` is the recipe's. Raises ConfigError if it is not there."""
    if recipe.checkpoint == NO_CHECKPOINT:
        raise ConfigError(
            "checkpoint: none is chosen yet; write the folder of one into the recipe (docs/checkpoints.md says which suit)."
        )
    folder = (base / expand(recipe.checkpoint)).resolve()
    if not (folder / "config.json").is_file():
        raise ConfigError(f"checkpoint: {folder} has no config.json; give a local Hugging Face checkpoint folder.")
    return folder


def expand(pattern: str) -> str:
    """A pattern with ${EDGE_DATA} filled in (an absolute path, so that the recipe's folder does not matter)."""
    root = Path(os.environ.get(DATA_ROOT_VARIABLE, DATA_ROOT_DEFAULT)).resolve()
    return pattern.replace("${" + DATA_ROOT_VARIABLE + "}", str(root))


def find_images(patterns: Sequence[str], base: Path) -> list[Path]:
    """The pictures that patterns name, sorted, each once.

    Raises:
        ConfigError: a pattern finds nothing - a silent gap in the evidence otherwise.
    """
    found: set[Path] = set()
    for pattern in patterns:
        here = [path for path in _matches(expand(pattern), base) if path.suffix.lower() in PICTURE_SUFFIXES]
        _refuse_odd_names(here)
        if not here:
            raise ConfigError(
                f"no JPEG or PNG picture matches {pattern!r} (from {base}; {DATA_ROOT_VARIABLE} is the data folder)."
            )
        # One spelling a file, whatever pattern found it; its own name stays, though it be a link into a store.
        found.update(path.parent.resolve() / path.name for path in here)
    return sorted(found)


def passed_over(patterns: Sequence[str], base: Path) -> Counter[str]:
    """What patterns match that is no picture that counts: files by their ending, and folders that are links, which are not entered."""
    found: Counter[str] = Counter()
    for path in {path for pattern in patterns for path in _matches(expand(pattern), base)}:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            found["linked folders"] += path.is_symlink()
        elif path.suffix.lower() not in PICTURE_SUFFIXES:
            found[f"{path.suffix.lower() or 'no ending'} files"] += 1
    return +found


def _refuse_odd_names(files: Sequence[Path]) -> None:
    """Names go into groups, tables and reports, which are text. Raises ConfigError."""
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"the name of {os.fsencode(file)!r} is not UTF-8; rename the picture.") from error


def _matches(pattern: str, base: Path) -> Iterator[Path]:
    whole = (base / pattern).resolve() if not any(mark in pattern for mark in "*?[") else None
    if whole is not None and whole.is_dir():
        yield from whole.rglob("*")
        return
    if whole is not None:
        yield from [whole] if whole.is_file() else []
        return
    root = Path(pattern).anchor
    yield from (Path(root) if root else base).glob(pattern.removeprefix(root)) if root else base.glob(pattern)

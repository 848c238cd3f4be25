"""`edge-export wrap`: puts a graph that judges windows of readings into a bundle; recorded normal readings set its thresholds.

The readings go through the device's own grid and engine, so what is calibrated here is what is judged there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edge.bundle import file_sha256
from edge.errors import ConfigError, ExportError, InferenceFailed
from edge.grid import Snapshot
from edge.inference.window_engine import WindowEngine
from edge.manifest import Calibration, FaultSpec, Identifier, ModelSource
from edge.parsing.page import html_page
from edge.parsing.toml_file import Section, read_record
from edge.replay.recorded import read_folder
from edge.units import NS_PER_S
from exporters.device import load_device
from exporters.pack import windowed, write
from exporters.pack.windowed import Contents, measure, open_engine, pack_windowed
from exporters.proof import calibrate
from exporters.proof.shares import Share, exact_interval
from exporters.recipe import expand
from exporters.recordings.cells import grid_of, windows_of

HOW_SURE = (
    "A share stands with its exact 95 % interval (Clopper and Pearson): of normal windows as if a group counted once, of faulty windows as if each were "
    "independent of the others. Windows that overlap are not, and make it less sure than that."
)
_UNIT_NS = {"hour": 3600 * NS_PER_S, "day": 86_400 * NS_PER_S}


class Window(Section):
    """What the graph gets; see docs/windows.md."""

    name: Identifier = Field(description="the graph's input; NAME_valid is the other")
    sensors: tuple[Identifier, ...] = Field(min_length=1, description="ids of sensors, in the order of the last axis")
    period_ms: float = Field(gt=0, description="length of a cell, ms")
    length: int = Field(ge=2, description="cells of each sensor")
    step: int = Field(default=1, ge=1, description="cells from one judgement to the next")
    aggregate: Literal["mean", "last", "rms"] = Field(default="mean", description="what a cell holds")
    min_valid: float = Field(default=0.7, gt=0, le=1, description="share of each sensor's cells that need a value")


class Wrapped(Section):
    """One fault that the graph scores."""

    id: Identifier = Field(description="also its default flag channel")
    title: str = Field(default="", description="short name for people; default: the id")
    faulty: tuple[str, ...] = Field(
        default=(), description="folders of readings with the fault: for detection figures and golden windows only"
    )


class Recording(Section):
    """Readings of normal operation, as `edge-daemon record` leaves them."""

    normal: tuple[str, ...] = Field(
        min_length=1, description="folders, relative to the recipe; ${EDGE_DATA} is filled in"
    )
    group: Literal["folder", "day", "hour"] = Field(
        default="day", description="what counts once: readings of one group are alike, those of the next may not be"
    )
    false_alarm_bound: float = Field(
        default=0.02, gt=0, lt=1, description="share of windows of a new normal group that may be flagged"
    )


class WrapRecipe(Section):
    """The whole recipe of `edge-export wrap`."""

    name: Identifier = Field(description="the bundle's name")
    version: int | None = Field(default=None, ge=1, description="number; none: one more than the newest in the folder")
    graph: str = Field(description="ONNX file, relative to the recipe")
    output: str = Field(default="scores", description="name of the graph's output, float32 [1, faults] in 0..1")
    licence: str = Field(default="unknown", description="licence of the graph")
    window: Window
    recording: Recording
    faults: tuple[Wrapped, ...] = Field(min_length=1, description="in the order of the scores")


@dataclass(frozen=True, slots=True)
class Judged:
    """Windows of recorded readings: their cells, the scores float32 [windows, faults], and the group of each."""

    windows: list[Snapshot]
    scores: NDArray[np.float32]
    groups: list[str]


def wrap(recipe_file: Path, board: str, out: Path, now: datetime) -> tuple[Path, list[str]]:
    """Write a bundle of a graph that somebody else made.

    Returns:
        its folder, and what people should know, line by line.

    Raises:
        ConfigError: the recipe or the board is wrong.
        ExportError: there are no readings, or the graph gives no scores of them.
        ProofFailed: the graph does not have the recipe's inputs and outputs.
    """
    recipe = read_record(recipe_file, WrapRecipe)
    board_name, device = load_device(board)
    base = recipe_file.resolve().parent
    graph = base / expand(recipe.graph)
    if not graph.is_file():
        raise ConfigError(f"graph: {graph} is not there; give an ONNX file, relative to the recipe")
    with write.alone_in(out):
        number = write.next_version(out, recipe.name, recipe.version)
        normal, faulty = _judge_all(recipe, graph, base)
        faults = tuple(_fault(recipe, place, normal, faulty[place]) for place in range(len(recipe.faults)))
        found = Contents(
            name=recipe.name,
            number=number,
            fields=recipe.window.model_dump(),
            output=recipe.output,
            graph=graph,
            faults=faults,
            source=_source(recipe, graph),
            judged=_together([normal, *faulty]),
        )
        measured = measure(found)
        lines = _lines(recipe, normal, faults, measured.p50_ms)
        markdown = "# " + "\n\n".join(lines) + f"\n\n{HOW_SURE}\n"
        files: dict[str, bytes | Path] = {
            "recipe.toml": recipe_file,
            "report.md": markdown.encode(),
            "report.html": html_page(markdown, {}),
        }
        return pack_windowed(out, found, measured, board=(board_name, device), now=now, files=files), lines


def _source(recipe: WrapRecipe, graph: Path) -> ModelSource:
    return ModelSource(
        family="wrapped",
        checkpoint=graph.name,
        checkpoint_sha256=file_sha256(graph),
        licence=recipe.licence,
        parameters=0,
    )


def _together(parts: Sequence[Judged]) -> windowed.Judged:
    windows = [window for judged in parts for window in judged.windows]
    return windowed.Judged(
        np.stack([window.values for window in windows]),
        np.stack([window.valid for window in windows]),
        np.concatenate([judged.scores for judged in parts]),
    )


def _judge_all(recipe: WrapRecipe, graph: Path, base: Path) -> tuple[Judged, list[Judged]]:
    engine = open_engine(graph, recipe.window.model_dump(), recipe.output, len(recipe.faults))
    normal = _judge(recipe, engine, recipe.recording.normal, base)
    if not normal.windows:
        raise ExportError(
            f"the normal readings fill no window of {', '.join(recipe.window.sensors)}: record longer, or use longer cells (period_ms)"
        )
    return normal, [_judge(recipe, engine, fault.faulty, base) for fault in recipe.faults]


def _judge(recipe: WrapRecipe, engine: WindowEngine, folders: Sequence[str], base: Path) -> Judged:
    windows, scores, groups = [], [], []
    spec = grid_of(**recipe.window.model_dump(exclude={"name"}))
    for pattern in folders:
        folder = base / expand(pattern)
        values = [value for value in read_folder(folder, (), 1.0).values if value.sensor in recipe.window.sensors]
        for at_ns, window in windows_of(values, spec):
            try:
                scores.append(engine.run(window.values, window.valid))
            except InferenceFailed as error:
                raise ExportError(f"{folder}: {error}. Correct the graph.") from error
            windows.append(window)
            groups.append(_group(recipe.recording.group, pattern, at_ns))
    return Judged(windows, np.array(scores, np.float32).reshape(len(scores), len(recipe.faults)), groups)


def _group(kind: str, folder: str, at_ns: int) -> str:
    return folder if kind == "folder" else f"{folder} {at_ns // _UNIT_NS[kind]}"


def _fault(recipe: WrapRecipe, place: int, normal: Judged, faulty: Judged) -> FaultSpec:
    """One fault with its threshold: by the same rule as for pictures, and armed only where there are enough groups for the bound."""
    fault, bound = recipe.faults[place], recipe.recording.false_alarm_bound
    scores = normal.scores[:, place]
    found = calibrate.conformal_threshold(scores, bound, normal.groups)
    threshold = calibrate.unbounded_threshold(scores) if found is None else found
    shown = faulty.scores[:, place]
    return FaultSpec(
        id=fault.id,
        window=recipe.window.name,
        title=fault.title or fault.id,
        words=(fault.title or fault.id,),
        threshold=threshold,
        release=calibrate.release_below(threshold, calibrate.score_noise(scores[1:], scores[:-1])),
        calibration=Calibration(
            method="conformal over groups of windows",
            normal_images=len(scores),
            fault_images=len(shown),
            false_alarm_bound=bound,
            false_alarm_measured=_left_out(scores, normal.groups, bound),
            detection_measured=float((shown >= threshold).mean()) if len(shown) else None,
            auroc=calibrate.auroc(shown, scores),
        ),
        armed=found is not None,
    )


def _left_out(scores: NDArray[np.float32], groups: Sequence[str], bound: float) -> float | None:
    """The share of windows flagged in groups that did not choose the threshold, the mean over groups; None: too few of them."""
    names = np.array(groups)
    shares = []
    for name in dict.fromkeys(groups):
        rest = names != name
        threshold = calibrate.conformal_threshold(scores[rest], bound, names[rest].tolist())
        if threshold is None:
            return None
        shares.append(float((scores[~rest] >= threshold).mean()))
    return sum(shares) / len(shares)


def _lines(recipe: WrapRecipe, normal: Judged, faults: Sequence[FaultSpec], p50_ms: float) -> list[str]:
    groups, bound = len(set(normal.groups)), recipe.recording.false_alarm_bound
    needed = calibrate.images_needed(bound)
    line = f"{recipe.name}: {len(normal.windows)} normal windows in {groups} groups ({recipe.recording.group})"
    lines = [f"{line}; a run takes {p50_ms:.2f} ms at p50."]
    for fault in faults:
        facts = fault.calibration
        left_out = None if facts is None else facts.false_alarm_measured
        detection = None if facts is None else facts.detection_measured
        line = f"{fault.id}: threshold {fault.threshold:.3f}"
        if left_out is not None:
            low, high = exact_interval(round(left_out * groups), groups)
            line += f", {left_out:.1%} of windows of {groups} left-out groups flagged ({low:.1%} to {high:.1%}; allowed {bound:.1%})"
        shown = Share.of(detection, 0 if facts is None else facts.fault_images)
        line += "" if shown is None else f", faulty windows flagged: {shown}"
        if not fault.armed:
            line += f"; NOT ARMED: {groups} groups, and the bound of {bound:g} needs {needed}. Record {needed - groups} more, or raise the bound"
        lines.append(line + ".")
    return lines

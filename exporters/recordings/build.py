"""`edge-export build` for recorded readings: from CSV files of normal operation to a proven bundle that judges windows."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle import file_sha256
from edge.errors import ConfigError, ExportError, InferenceFailed
from edge.manifest import Calibration, FaultSpec, ModelSource
from exporters.device import load_device
from exporters.pack.windowed import Contents, Judged, measure, open_engine, pack_windowed
from exporters.pack.write import alone_in, next_version
from exporters.progress import Log, Progress
from exporters.proof import calibrate, verify
from exporters.recordings.cells import FAULTY, NORMAL, cut, normal_values
from exporters.recordings.findings import Fitted, fit
from exporters.recordings.fit import Floats, features_of
from exporters.recordings.graph import SCORE, write_graph
from exporters.recordings.limits import days_text, most_alarms
from exporters.recordings.recipe import RecordingRecipe, load_recording_recipe
from exporters.recordings.report import markdown, scores_plot, verdict_lines
from exporters.recordings.states import find_states
from exporters.recordings.table import Table, find_files, read_tables

HALF = 0.5  # the score at the limit


@dataclass(frozen=True, slots=True)
class _Site:
    """What a build is about: its recipe, the recipe's file, and the recorded files."""

    recipe: RecordingRecipe
    file: Path
    files: tuple[Path, ...]


def build_recording(recipe_file: Path, board: str, out: Path, *, now: datetime, log: Log) -> tuple[Path, list[str]]:
    """Make the bundle.

    Returns:
        its folder, and what people should know, line by line.

    Raises:
        ConfigError: the recipe, the board or a file of readings is wrong.
        ExportError: the readings fill no window, or nothing of them is normal.
    """
    site = _site(recipe_file)
    named = load_device(board)
    step = Progress(log, time.monotonic)
    with alone_in(out), tempfile.TemporaryDirectory(prefix="edge-export-") as work:
        number = next_version(out, site.recipe.name, site.recipe.version)
        found = fit_recording(site.recipe, site.files, step)
        graph = Path(work) / "window.onnx"
        graph.write_bytes(graph_of(site.recipe, found))
        step("verify", "the graph against the fit")
        contents = _contents(site, found, graph, number)
        measured = measure(contents)
        step("pack", f"{site.recipe.name} version {number}")
        files: dict[str, bytes | Path] = {
            "recipe.toml": recipe_file,
            "report.md": markdown(site.recipe, found, measured.p50_ms),
            "scores.png": scores_plot(site.recipe, found),
        }
        folder = pack_windowed(out, contents, measured, board=named, now=now, files=files)
    return folder, verdict_lines(site.recipe, found)


def plan_recording(recipe_file: Path, board: str) -> list[str]:
    """What a build would read, and how much it needs for its bound. Raises ConfigError."""
    load_device(board)
    site = _site(recipe_file)
    tables = read_tables(site.files, site.recipe.recording, site.recipe.sensors)
    rows = sum(len(table.at_ns) for table in tables)
    left_out = sum(sum(table.left_out.values()) for table in tables)
    needed = most_alarms(0) / site.recipe.fault.per_day
    return [
        f"{len(tables)} files, {rows:,} rows; {left_out:,} rows or values are left out",
        f"{site.recipe.fault.bound}: armed with {days_text(needed)} of normal operation without an alarm, in two groups at least",
        *_states_to_confirm(site.recipe, tables),
    ]


def fit_recording(recipe: RecordingRecipe, files: Sequence[Path], step: Progress) -> Fitted:
    """Read, cut into windows, and fit. Raises ConfigError or ExportError."""
    step("read", f"{len(files)} files")
    tables = read_tables(files, recipe.recording, recipe.sensors)
    asked = _states_to_confirm(recipe, tables)
    if asked:
        raise ConfigError(" ".join(("state.edges are missing.", *asked)))
    windows = cut(recipe, tables)
    step("fit", f"{len(windows.at_ns)} windows")
    if (windows.kind == NORMAL).sum() < 2:
        raise ExportError("no window is normal: all of the recording is excluded or shows a fault")
    return fit(recipe, windows)


def _states_to_confirm(recipe: RecordingRecipe, tables: Sequence[Table]) -> list[str]:
    """What a person should look at before states are taken: none where there are no states, or their edges are given."""
    if recipe.state is None or recipe.state.edges:
        return []
    sensor = recipe.state.sensor
    found = find_states(normal_values(recipe, tables, sensor))
    if found is None:
        return [
            f"{sensor} shows no states with gaps between them: give the edges yourself, name another sensor, or leave [state] out."
        ]
    return found.lines(sensor)


def graph_of(recipe: RecordingRecipe, found: Fitted) -> bytes:
    """The graph of the chosen candidate at its limit."""
    normal = replace(found.chosen.fits.normal, limit=found.chosen.limit.value)
    return write_graph(
        normal, found.form, name=recipe.window.name, length=recipe.window.length, sensors=len(recipe.sensors)
    )


def window_fields(recipe: RecordingRecipe) -> dict[str, object]:
    """The manifest's window."""
    fields = recipe.window.model_dump(exclude={"statistics", "parts", "method"})
    return fields | {"sensors": tuple(sensor.id for sensor in recipe.sensors)}


def release_of(normal: NDArray[np.float32]) -> float:
    """The score below which a fault is over: lower than the limit by as much as scores of normal windows in a row differ."""
    return calibrate.release_below(HALF, calibrate.score_noise(normal[1:], normal[:-1]))


def _site(recipe_file: Path) -> _Site:
    recipe = load_recording_recipe(recipe_file)
    return _Site(recipe, recipe_file, tuple(find_files(recipe.recording, recipe_file.resolve().parent)))


def _contents(site: _Site, found: Fitted, graph: Path, number: int) -> Contents:
    recipe, windows = site.recipe, found.windows
    known = np.flatnonzero(np.isfinite(found.chosen.fits.normal.evidence(*_features(found))))
    engine = open_engine(graph, window_fields(recipe), SCORE, 1)
    try:
        scores = np.array([engine.run(windows.values[row], windows.valid[row]) for row in known], np.float32).reshape(
            -1, 1
        )
    except InferenceFailed as error:
        raise ExportError(f"the graph does not score what the fit does: {error}; please report the recipe") from error
    expected = replace(found.chosen.fits.normal, limit=found.chosen.limit.value)
    wanted = expected.score(expected.evidence(*_features(found)))[known].astype(np.float32).reshape(-1, 1)
    verify.check_exact([recipe.fault.id], wanted, scores)
    return Contents(
        name=recipe.name,
        number=number,
        fields=window_fields(recipe),
        output=SCORE,
        graph=graph,
        faults=(_fault(recipe, found, scores[:, 0], windows.kind[known]),),
        source=ModelSource(
            family="readings",
            checkpoint=found.chosen.kind,
            checkpoint_sha256=hashlib.sha256("".join(file_sha256(file) for file in site.files).encode()).hexdigest(),
            licence=recipe.licence,
            parameters=int(expected.centre.size + expected.width.size + expected.mix.size + 2 * expected.usual.size),
        ),
        judged=Judged(windows.values[known], windows.valid[known], scores),
    )


def _features(found: Fitted) -> tuple[Floats, NDArray[np.int64]]:
    return features_of(found.windows.values, found.windows.valid, found.form), found.states


def _fault(recipe: RecordingRecipe, found: Fitted, scores: NDArray[np.float32], kind: NDArray[np.int64]) -> FaultSpec:  # fmt: skip
    fault, limit = recipe.fault, found.chosen.limit
    judged = np.isfinite(found.evidence)
    faulty = (found.windows.kind == FAULTY) & judged
    normal = scores[kind == NORMAL]
    return FaultSpec(
        id=fault.id,
        window=recipe.window.name,
        title=fault.title or fault.id,
        words=(fault.title or fault.id,),
        threshold=HALF,
        release=release_of(normal),
        calibration=Calibration(
            method=f"{limit.alarms} alarms in {days_text(limit.days)} of left-out groups, after delays; bound {fault.bound}",
            normal_images=int(found.normal.sum()),
            fault_images=int(faulty.sum()),
            false_alarm_measured=float(found.flagged[found.normal & judged].mean())
            if (found.normal & judged).any()
            else None,
            detection_measured=float(found.flagged[faulty].mean()) if faulty.any() else None,
        ),
        armed=limit.armed,
    )

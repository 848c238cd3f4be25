"""Real recordings of readings: what was fitted without a file, a week or a unit judges it, and is held against the labels."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.sets.streamed import compare, readings_of, stream
from edge.frame import Verdict
from edge.units import NS_PER_S
from edge.verdict.decide import VisionSpec, classify
from exporters.recipe import expand
from exporters.recordings.build import HALF, build_recording, release_of
from exporters.recordings.cells import NORMAL, Windows, cut
from exporters.recordings.findings import confounds, fit
from exporters.recordings.fit import features_of, states_of
from exporters.recordings.limits import alarm_starts
from exporters.recordings.recipe import DAY_NS, RecordingRecipe, Sensor, load_recording_recipe
from exporters.recordings.table import Table, find_files, read_tables

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
FIRST_ROW = 400  # published figures of SKAB begin there: what comes before taught their models
WEEK_NS = 7 * DAY_NS
RUN_COLUMNS = ("Accel_1", "Accel_2", "Accel_3", "PG_1", "PG_2", "PG_3", "Internal_Temp")
ROWS_PER_CELL = 10
STREAMED = ("other/1.csv", "other/12.csv", "valve1/8.csv")  # one of each operating state, one of which changes its own
BOARD = "x86-64-avx2"
HEALTHY = ("Act_1", "Act_2", "Act_5")
GEAR, SEAL = "Act_3", "Act_4"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was fitted without its block says of each window.

    Attributes:
        ratio: evidence over the limit [n].
        flagged: which windows have the verdict of a fault, by limit and release.
        kinds: candidates that were kept.
        armed: how many fits were.
        missing_days: of each fit.
    """

    ratio: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    kinds: Counter[str]
    armed: int
    missing_days: tuple[float, ...]


def judge(recipe: RecordingRecipe, windows: Windows, blocks: NDArray[np.str_], left_out: Sequence[str]) -> LeftOut:
    """Each of some blocks by what was fitted on all others; windows of no such block have no ratio."""
    ratio, flagged = np.full(len(blocks), np.nan), np.zeros(len(blocks), np.bool_)
    kinds: Counter[str] = Counter()
    missing = []
    for block in left_out:
        own = blocks == block
        found = fit(recipe, windows.only(~own))
        chosen = found.chosen
        values, valid = windows.values[own], windows.valid[own]
        evidence = chosen.fits.normal.evidence(
            features_of(values, valid, found.form), states_of(values, valid, found.form)
        )
        ratio[own] = evidence / chosen.limit.value
        usual = chosen.fits.left_out[np.isfinite(chosen.fits.left_out)] / chosen.limit.value
        release = release_of(score_of(usual))
        flagged[own] = verdicts(score_of(ratio[own]), windows.files[own], release)
        kinds[chosen.kind] += 1
        missing.append(chosen.limit.missing_days)
    return LeftOut(ratio, flagged, kinds, sum(one == 0 for one in missing), tuple(missing))


def score_of(ratio: NDArray[np.float64]) -> NDArray[np.float32]:
    """The score of a graph, 0.5 at the limit."""
    return (ratio / (1.0 + ratio)).astype(np.float32)


def verdicts(scores: NDArray[np.float32], runs: NDArray[np.int64], release: float) -> NDArray[np.bool_]:
    """Which windows in a row the device would flag: from the limit on, until the release; it forgets between two runs."""
    found = np.zeros(len(scores), np.bool_)
    faulty = False
    spec = VisionSpec(HALF, release, 0)
    for row, score in enumerate(scores.tolist()):
        faulty = faulty and row > 0 and runs[row] == runs[row - 1]
        verdict = classify(score, faulty=faulty, spec=spec)
        if verdict is not Verdict.UNKNOWN:
            faulty = verdict is Verdict.FAULT
        found[row] = verdict is Verdict.FAULT
    return found


def skab(out: Path) -> None:
    """Each file with a fault left out in turn; then some of them through the daemon."""
    recipe, base = _recipe("skab")
    tables = read_tables(find_files(recipe.recording, base), recipe.recording, recipe.sensors)
    windows = cut(recipe, tables)
    faulty = [str(number) for number, table in enumerate(tables) if table.faulty.any()]
    found = judge(recipe, windows, windows.files.astype(str), faulty)
    chosen = [int(one) for one in faulty]
    rows = [
        row_figures(f"rows from the {FIRST_ROW}th of each file", tables, windows, found, chosen, FIRST_ROW),
        row_figures("all rows", tables, windows, found, chosen, 0),
    ]
    alarms, days = _false_alarms(recipe, windows, found)
    report.write(
        "set_skab",
        title="SKAB: faults of a water circuit, found by what was learned from normal operation alone",
        rows=rows,
        notes=[
            "Each file judged by what was fitted without it, and so was the limit; no fault is in either.",
            "A row has the verdict of the newest window. FAR: share of normal rows that are flagged; MAR: of faulty rows that are not.",
            f"After delays, before the faults: {alarms} false alarms in {24 * days:.1f} hours; bound {recipe.fault.bound}.",
            f"Kept: {_kinds(found.kinds)}. Armed in {found.armed} of {len(faulty)} fits.",
            "Not found: " + (", ".join(_less_than(0.0, tables, windows, found, chosen)) or "none") + ".",
            f"Flagged in less than a tenth of its rows: {', '.join(_less_than(0.1, tables, windows, found, chosen)) or 'none'}.",
            f"Normal rows that are flagged before the faults: {_before(tables, windows, found, chosen)}. The rest follows a fault, until the plant has settled.",
            "Faults did take part in one thing: cells, parts, method and bound of the recipe are one of some hundred settings, chosen by these very figures.",
            "So the figures flatter, and only the half that is not here can tell by how much. What normal data alone would choose: docs/sets.md.",
        ],
    )
    streamed_rows = [
        _through_the_daemon(recipe, tables, windows, found, number, out)
        for number in chosen
        if _name(tables[number]) in STREAMED
    ]
    report.write(
        "set_skab_daemon",
        title="SKAB through Mosquitto and the daemon: the same flags, in compressed time",
        rows=streamed_rows,
        notes=[
            "A bundle was built without the file, and the file sent by MQTT with its own times, moved so that the last is now.",
            "The sender waits for each judgement, so how much faster it goes than it was measured is the daemon's own pace here.",
        ],
    )


def _through_the_daemon(  # noqa: PLR0917 - one call's worth of facts
    recipe: RecordingRecipe, tables: Sequence[Table], windows: Windows, found: LeftOut, number: int, out: Path
) -> dict[str, object]:
    """Build without a file, send the file to the daemon, and hold its flags against the offline ones."""
    others = [str(table.file.resolve()) for place, table in enumerate(tables) if place != number]
    text = (RECIPES / "skab.toml").read_text(encoding="utf-8")
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"without_{number}.toml"
    file.write_text(re.sub(r"(?m)^files = .*$", f"files = {json.dumps(others)}", text), encoding="utf-8")
    bundle, _ = build_recording(file, BOARD, out / "bundles", now=datetime.now(UTC), log=lambda _: None)
    streamed = stream(bundle, readings_of(tables[number], [sensor.id for sensor in recipe.sensors]))
    own = windows.files == number
    known, other, apart = compare(streamed, score_of(found.ratio[own]), found.flagged[own])
    return {
        "file, left out": _name(tables[number]), "windows": known, "flagged": int(found.flagged[own].sum()), "other verdicts": other,
        "scores apart": round(apart, 6), "times faster": round(streamed.times_faster, 1),
    }  # fmt: skip


def machine_temperature(_out: Path) -> None:
    """Each week left out in turn."""
    recipe, base = _recipe("machine_temperature")
    windows = cut(recipe, read_tables(find_files(recipe.recording, base), recipe.recording, recipe.sensors))
    weeks = ((windows.at_ns - windows.at_ns[0]) // WEEK_NS).astype(str)
    found = judge(recipe, windows, weeks, sorted(set(weeks.tolist())))
    alarms, days = _false_alarms(recipe, windows, found)
    shown = []
    for one in recipe.recording.faults:
        inside = (windows.at_ns >= one.start.timestamp() * NS_PER_S) & (windows.at_ns < one.end.timestamp() * NS_PER_S)
        shown.append(bool((found.flagged & inside).any()))
    row = {
        "judged": "each week by the others", "faults": len(shown), "found %": round(100 * sum(shown) / len(shown), 1),
        "false alarms": alarms, "days": round(days, 1), "false alarms a day": round(alarms / days, 3),
    }  # fmt: skip
    report.write(
        "set_machine_temperature",
        title="NAB machine temperature: two faults in seven weeks, from normal days alone",
        rows=[row],
        notes=[
            f"Bound: {recipe.fault.bound}; armed in {found.armed} of {len(set(weeks.tolist()))} fits, missing days {', '.join(f'{one:.1f}' for one in found.missing_days)}.",
            f"Left out of the recording: {_kinds(windows.left_out)}.",
        ],
    )


def actuators(out: Path) -> None:
    """Each healthy unit left out in turn; the faulty ones by what was fitted on all healthy ones."""
    recipe, _ = _recipe("actuators")
    folder = (out / "material").resolve() / "actuators"
    if not folder.is_dir():
        part = folder.with_name("actuators.part")
        write_runs(_data() / "hydraulic_actuators" / "open" / "runs.tar.xz", part)
        part.rename(folder)
    columns = {"pressure": ("PG_1", "PG_2", "PG_3"), "vibration": ("Accel_1", "Accel_2", "Accel_3")}
    everything = recipe.model_copy(
        update={"sensors": tuple(Sensor(id=name.lower(), column=name) for name in RUN_COLUMNS)}
    )
    tables = read_tables(sorted(folder.glob("*/*.csv")), recipe.recording, everything.sensors)
    windows = cut(everything, tables)
    rows = []
    for name, wanted in columns.items():
        places = [RUN_COLUMNS.index(one) for one in wanted]
        own = recipe.model_copy(update={"sensors": tuple(everything.sensors[place] for place in places)})
        seen = Windows(
            windows.values[:, :, places], windows.valid[:, :, places], windows.at_ns, windows.groups, windows.files, windows.kind, windows.left_out
        )  # fmt: skip
        rows.append(_of_units(name, own, seen))
    report.write(
        "set_actuators",
        title="Hydraulic actuators: a healthy unit that was never seen, gear damage and a leaking seal, without levels",
        rows=rows,
        notes=[
            "A run is one window. Each healthy unit judged by what was fitted on the other two; faulty units by what was fitted on all three.",
            *(f"{line}" for line in confounds(everything, windows)),
        ],
    )


def write_runs(archive: Path, folder: Path) -> None:
    """The runs of the archive as CSV, a file each; a cell is the mean of ten rows, whose rate nobody has written down: 1 kHz is assumed."""
    with tarfile.open(archive) as runs:
        for number, member in enumerate(runs):
            if not member.name.endswith(".txt"):
                continue
            source = runs.extractfile(member)
            assert source is not None
            lines = source.read().decode("latin-1").splitlines()
            head = lines[0].split("\t")
            places = [head.index(name) for name in RUN_COLUMNS]
            cells = np.array([[float(line.split("\t")[place]) for place in places] for line in lines[1:]])
            cells = (
                cells[: len(cells) // ROWS_PER_CELL * ROWS_PER_CELL]
                .reshape(-1, ROWS_PER_CELL, len(places))
                .mean(axis=1)
            )
            unit = Path(member.name).parent.name.split()[0]
            target = folder / unit / f"{Path(member.name).stem.replace(' ', '_')}.csv"
            target.parent.mkdir(parents=True, exist_ok=True)
            begin = datetime.fromisoformat("2019-09-10T00:00:00+00:00") + timedelta(seconds=12 * number)
            fault = int(unit not in HEALTHY)
            target.write_text(
                "\n".join(
                    [
                        ",".join(("time", *RUN_COLUMNS, "faulty")),
                        *(
                            ",".join(map(str, ((begin + timedelta(milliseconds=10 * row)).isoformat(), *values, fault)))
                            for row, values in enumerate(cells.round(3).tolist())
                        ),
                    ]
                )
                + "\n",
                encoding="utf-8",
            )


def _of_units(name: str, recipe: RecordingRecipe, windows: Windows) -> dict[str, object]:
    found = judge(recipe, windows, windows.groups, HEALTHY)
    whole = fit(recipe, windows)
    flagged = whole.flagged
    row: dict[str, object] = {"sensors": name, "kept": whole.chosen.kind}
    for unit in HEALTHY:
        row[f"{unit} flagged %"] = _percent(found.flagged[windows.groups == unit])
    row["healthy, left out, flagged %"] = _percent(found.flagged[np.isin(windows.groups, HEALTHY)])
    row["gear found %"] = _percent(flagged[windows.groups == GEAR])
    row["seal found %"] = _percent(flagged[windows.groups == SEAL])
    row["armed"] = (
        "yes" if whole.chosen.limit.armed else f"no, {24 * whole.chosen.limit.missing_days:.1f} hours are missing"
    )
    return row


def row_figures(  # noqa: PLR0917 - one call's worth of facts
    name: str, tables: Sequence[Table], windows: Windows, found: LeftOut, files: Sequence[int], first: int
) -> dict[str, object]:
    """Figures of rows from `first` on, of the given files."""
    hit = false = miss = right = episodes = 0
    delays: list[float] = []
    for number in files:
        table = tables[number]
        shown, flagged = table.faulty[first:], _row_verdicts(table, windows, found, number)[first:]
        hit, false = hit + int((flagged & shown).sum()), false + int((flagged & ~shown).sum())
        miss, right = miss + int((~flagged & shown).sum()), right + int((~flagged & ~shown).sum())
        at = table.at_ns[first:][flagged & shown]
        episodes += len(at) > 0
        if len(at):
            delays.append((int(at[0]) - int(table.at_ns[table.faulty][0])) / NS_PER_S)
    return {
        "rows": name, "faults": len(files), "found": episodes, "found %": round(100 * episodes / len(files), 1), "F1": round(2 * hit / max(1, 2 * hit + false + miss), 3),
        "FAR %": round(100 * false / max(1, false + right), 2), "MAR %": round(100 * miss / max(1, hit + miss), 1), "median delay s": float(np.median(delays)) if delays else "-",
    }  # fmt: skip


def _row_verdicts(table: Table, windows: Windows, found: LeftOut, number: int) -> NDArray[np.bool_]:
    own = windows.files == number
    newest = np.searchsorted(windows.at_ns[own], table.at_ns, side="right") - 1
    verdicts: NDArray[np.bool_] = (newest >= 0) & found.flagged[own][np.maximum(newest, 0)]
    return verdicts


def _less_than(
    share: float, tables: Sequence[Table], windows: Windows, found: LeftOut, files: Sequence[int]
) -> list[str]:
    """The files of whose faulty rows at most so many are flagged."""
    return [
        _name(tables[number])
        for number in files
        if _row_verdicts(tables[number], windows, found, number)[tables[number].faulty].mean() <= share
    ]


def _before(tables: Sequence[Table], windows: Windows, found: LeftOut, files: Sequence[int]) -> int:
    """Normal rows that are flagged before the fault of their file, from the row on that published figures begin with."""
    flagged = 0
    for number in files:
        first = int(np.flatnonzero(tables[number].faulty)[0])
        flagged += int(_row_verdicts(tables[number], windows, found, number)[FIRST_ROW:first].sum())
    return flagged


def _false_alarms(recipe: RecordingRecipe, windows: Windows, found: LeftOut) -> tuple[int, float]:
    """Alarms in left-out normal windows after delays, and how many days these are."""
    step_ns = round(recipe.window.period_ms * 1e6) * recipe.window.step
    own = (windows.kind == NORMAL) & np.isfinite(found.ratio)
    starts = alarm_starts(found.flagged[own], windows.at_ns[own], windows.files[own], recipe.fault, 3 * step_ns)
    return len(starts), float(own.sum()) * step_ns / DAY_NS


def _name(table: Table) -> str:
    return "/".join(table.file.parts[-2:])


def _recipe(name: str) -> tuple[RecordingRecipe, Path]:
    file = RECIPES / f"{name}.toml"
    return load_recording_recipe(file), file.parent


def _data() -> Path:
    return Path(expand("${EDGE_DATA}"))


def _percent(flags: NDArray[np.bool_]) -> float:
    return round(100 * float(flags.mean()), 1) if len(flags) else float("nan")


def _kinds(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"


RECORDINGS = {"skab": skab, "machine_temperature": machine_temperature, "actuators": actuators}

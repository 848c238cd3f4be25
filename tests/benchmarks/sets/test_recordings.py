"""Sets of recordings: what is left out judges nothing of itself, rows have the newest window's verdict, and runs become CSV."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np

from benchmarks.sets.recordings import RUN_COLUMNS, judge, row_figures, verdicts, write_runs
from exporters.recordings.cells import FAULTY, cut
from exporters.recordings.recipe import RecordingRecipe
from exporters.recordings.table import find_files, read_tables


def recipe() -> RecordingRecipe:
    """One sensor, windows of four seconds."""
    return RecordingRecipe.model_validate(
        {
            "name": "pump", "recording": {"files": ["*.csv"], "group": "file", "label": "bad"}, "window": {"period_ms": 1000, "length": 4},
            "fault": {"id": "odd", "bound": "1 per hour"}, "sensors": [{"id": "flow"}],
        }
    )  # fmt: skip


def test_a_file_that_is_left_out_is_judged_by_the_others(tmp_path: Path) -> None:
    """Each file's last hundred seconds are faulty; a window needs some seconds to see it and some to forget it."""
    noise = np.random.default_rng(0)
    for number in range(3):
        flow = noise.normal(10, 1, 400)
        flow[200:300] += 30
        rows = [f"{second},{value:.3f},{int(200 <= second < 300)}" for second, value in enumerate(flow)]
        (tmp_path / f"{number}.csv").write_text("time,flow,bad\n" + "\n".join(rows), encoding="utf-8")
    made = recipe()
    tables = read_tables(find_files(made.recording, tmp_path), made.recording, made.sensors)
    windows = cut(made, tables)
    found = judge(made, windows, windows.files.astype(str), ["0", "2"])
    assert np.isnan(found.ratio[windows.files == 1]).all()
    assert sum(found.kinds.values()) == 2
    assert found.flagged[(windows.kind == FAULTY) & (windows.files == 0)].mean() > 0.9
    row = row_figures("all", tables, windows, found, [0, 2], 0)
    assert (row["faults"], row["found"], row["found %"]) == (2, 2, 100.0)
    assert 0 <= float(str(row["median delay s"])) <= 4
    assert float(str(row["F1"])) > 0.9
    assert float(str(row["FAR %"])) < 4
    later = row_figures("late", tables, windows, found, [0, 2], 350)
    assert (later["found"], later["F1"]) == (0, 0.0)


def test_runs_become_files_of_their_unit(tmp_path: Path) -> None:
    """Ten rows are one cell, and what the recorder itself found is left behind."""
    head = "\t".join(("Time", *RUN_COLUMNS, "Prediction"))
    lines = ["\t".join(map(str, (row, *([row] * len(RUN_COLUMNS)), 4))) for row in range(25)]
    text = "\n".join([head, *lines]).encode()
    archive = tmp_path / "runs.tar.xz"
    with tarfile.open(archive, "w:xz") as made:
        for name in ("Act_1/Base 1.txt", "Act_3 (Gear Damage)/Gear_1.txt", "labels.csv"):
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(text)
            made.addfile(member, io.BytesIO(text))
    write_runs(archive, tmp_path / "runs")
    files = {
        file.relative_to(tmp_path / "runs").as_posix(): file.read_text().splitlines()
        for file in (tmp_path / "runs").rglob("*.csv")
    }
    assert sorted(files) == ["Act_1/Base_1.csv", "Act_3/Gear_1.csv"]
    healthy, gear = files["Act_1/Base_1.csv"], files["Act_3/Gear_1.csv"]
    assert healthy[0].split(",") == ["time", *RUN_COLUMNS, "faulty"]
    assert [line.split(",")[1] for line in healthy[1:]] == ["4.5", "14.5"]
    assert (healthy[1][-1], gear[1][-1]) == ("0", "1")


def test_no_row_is_judged_before_its_first_window(tmp_path: Path) -> None:
    """Whatever comes first is not flagged."""
    rows = [f"{second},{1000 if second < 3 else 10 + second % 3},{int(second == 1)}" for second in range(300)]
    for number in range(2):
        (tmp_path / f"{number}.csv").write_text("time,flow,bad\n" + "\n".join(rows), encoding="utf-8")
    made = recipe()
    tables = read_tables(find_files(made.recording, tmp_path), made.recording, made.sensors)
    windows = cut(made, tables)
    found = judge(made, windows, windows.files.astype(str), ["0"])
    assert row_figures("all", tables, windows, found, [0], 0)["found"] == 0


def test_a_fault_goes_on_until_the_release_and_ends_with_its_recording() -> None:
    """As on the device: what is not known flags nothing and forgets nothing."""
    scores = np.array([0.1, 0.5, 0.45, np.nan, 0.45, 0.3, 0.45, 0.9, 0.45], np.float32)
    runs = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1])
    assert verdicts(scores, runs, 0.4).astype(int).tolist() == [0, 1, 1, 0, 1, 0, 0, 1, 0]

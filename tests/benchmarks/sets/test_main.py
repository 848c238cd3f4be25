"""Each set's one command on a sample of it: laid out, built, replayed through Mosquitto and the daemon, told."""

from __future__ import annotations

import argparse
import csv
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import material, report
from benchmarks.sets import __main__ as command
from benchmarks.sets.catalogue import SETS
from exporters.recipe import load_recipe

A_CLASS = 14  # pictures of each class folder
SAMPLED = tuple(SETS) if os.environ.get("EDGE_ALL_SETS") else ("metal_pans",)  # each builds a bundle: minutes
TIMING = "timing_runs = 10\ntiming_seconds = 1.0\n"


@pytest.mark.parametrize("name", SETS)
def test_a_set_says_how_to_read_it_and_has_a_recipe(name: str) -> None:
    """The recipe looks below the set's own folder and calls the bundle after it."""
    recipe = load_recipe(SETS[name].recipe_file)
    patterns = [*recipe.images.normal, *(pattern for fault in recipe.faults for pattern in fault.images)]
    assert all(pattern.startswith("${EDGE_DATA}/" + SETS[name].folder + "/open/") for pattern in patterns)
    assert SETS[name].reading


@pytest.mark.whole
@pytest.mark.realdata
@pytest.mark.parametrize("name", SAMPLED)
def test_the_command_runs_on_a_sample(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every channel has a row with figures in their range, some picture went through the daemon in time, and the misses are drawn."""
    chosen = SETS[name]
    source = material.DATA / chosen.folder / "open"
    if not source.is_dir():
        pytest.skip(f"EDGE_DATA has no {chosen.folder}")
    _sample(source, tmp_path / "data" / chosen.folder / "open")
    told: dict[str, Any] = {}

    def write(result: str, *, title: str, rows: Sequence[Any], notes: Sequence[str]) -> None:
        told[result] = (title, rows, notes)

    monkeypatch.setattr(report, "write", write)
    monkeypatch.chdir(tmp_path)  # the usual --out is relative, and the daemon works in a folder of its own
    options = argparse.Namespace(data=tmp_path / "data", test_data=None, bundle=None, fps=5.0, out=Path("out"))
    command.run(name, replace(chosen, recipe=str(_quick(chosen.recipe_file, tmp_path))), options)
    title, rows, notes = told[f"set_{name}"]
    assert title == chosen.title
    assert [row["channel"] for row in rows] == [one.id for one in load_recipe(chosen.recipe_file).channels]
    assert all(0 <= row["AUROC"] <= 1 for row in rows if row["pictures"])
    assert any("Replayed through Mosquitto" in note for note in notes)
    assert (tmp_path / "out" / name / "worst_misses.png").is_file()
    assert (f"set_{name}_over_time" in told) is chosen.over_time


def _quick(recipe: Path, folder: Path) -> Path:
    """The same recipe, timed briefly."""
    text = recipe.read_text(encoding="utf-8").replace('"../', f'"{recipe.parents[1].as_posix()}/')
    first, faults, rest = text.partition("[[faults]]")
    if "[tolerance]\n" in first:
        first = first.replace("[tolerance]\n", f"[tolerance]\n{TIMING}")
    else:
        first += f"[tolerance]\n{TIMING}\n"
    file = folder / recipe.name
    file.write_text(first + faults + rest, encoding="utf-8")
    return file


def _sample(source: Path, target: Path) -> None:
    """Some pictures of each class folder with their masks; of lists some rows, and what they name."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".csv":
            (target / file.name).symlink_to(file)
    for folder in (path for path in source.iterdir() if path.is_dir()):
        pictures = sorted(
            path for path in folder.iterdir() if path.suffix == ".jpg" or not path.with_suffix(".jpg").is_file()
        )
        step = 1 if folder.name == "images" else max(1, len(pictures) // A_CLASS)
        (target / folder.name).mkdir()
        for picture in pictures[::step]:
            for file in {picture, picture.with_suffix(".png")}:
                if file.is_file():
                    shutil.copy(file, target / folder.name)
    for name in ("labels.csv", "patches.csv"):
        if (source / name).is_file():
            _rows(source / name, target / name)


def _rows(source: Path, target: Path) -> None:
    """Of a long list every so many-th row; of positions over time the steps around the first annotation."""
    with source.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream))
    if "t_index" in header:
        place = header.index("t_index")
        rows = [row for row in rows if row[place] in {"0", "20", "44", "45"}]
    with target.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows[:: max(1, len(rows) // 400)]])

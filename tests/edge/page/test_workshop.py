"""What an engineer works with: words that a draft reads, jobs of the real toolchain one at a time, and a note of who did what."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.errors import ConfigError, EdgeError
from edge.page.settings import PictureSource, WorkshopSettings
from edge.page.workshop import NORMAL_WORDS, OTHER_FOLDERS, Workshop
from exporters.draft import choice, survey
from exporters.draft.phrases import read_phrases
from tests.stand.brokers import wait_for
from tests.stand.bundles import colour_bundle, flat_jpeg

NOW = "2026-11-30T12:00:00.000Z"
SCRATCH = {"label": "scratch", "title": "Scratch", "words": ["a scratch", "a scratched part"]}
SLEEPER = (sys.executable, "-c", "import time; print('began', flush=True); time.sleep(60)")


@pytest.fixture
def settings(tmp_path: Path) -> WorkshopSettings:
    """Ten pictures of one camera, four of them red, and the toolchain of this Python."""
    folder = tmp_path / "cam1"
    folder.mkdir()
    for number in range(10):
        picture = flat_jpeg(255, 0, 0) if number in {3, 4, 5, 8} else flat_jpeg(0, 0, 10 * number)
        (folder / f"20261130T1200{number:02d}.000Z_{number}.jpg").write_bytes(picture)
    source = PictureSource(id="cam1", folder=folder)
    return WorkshopSettings(folder=tmp_path / "workshop", sources=(source,), board="x86-64-avx2")


@pytest.fixture
def workshop(settings: WorkshopSettings) -> Iterator[Workshop]:
    """Closed in the end."""
    made = Workshop(settings)
    try:
        yield made
    finally:
        made.close()


def ended(workshop: Workshop, name: str) -> Mapping[str, Any]:
    """The facts of a job once it ended."""
    wait_for(lambda: workshop.jobs.running() is None, 60, "the job ends")
    return workshop.jobs.about(name)


def sort_all(workshop: Workshop) -> None:
    """Red is a scratch."""
    for one in workshop.sorting.pictures("cam1", "", 99):
        is_red = one["name"][13:15] in {"03", "04", "05", "08"}
        workshop.sort("cam1", one["id"], "scratch" if is_red else "normal", "keller", NOW)


def test_words_that_a_build_would_take_for_the_normal_state_are_refused() -> None:
    """The same words as there: this side of the house may not import the other."""
    assert NORMAL_WORDS == choice.NORMAL_WORDS
    assert survey.NO_LABELS | survey.CONTAINERS | {"annotations"} == OTHER_FOLDERS


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (SCRATCH | {"label": "part_ok"}, "no name for a fault"),
        (SCRATCH | {"label": "unsure"}, "no name for a fault"),
        (SCRATCH | {"label": "../x"}, "label"),
        (SCRATCH | {"words": []}, "words"),
        (SCRATCH | {"colour": "red"}, "colour"),
        ("scratch", "faults"),
    ],
)
def test_what_is_no_fault_is_refused(workshop: Workshop, fault: object, words: str) -> None:
    """In words that name it; what was there stays."""
    with pytest.raises(ConfigError, match=words):
        workshop.name_faults([fault], "keller", NOW)
    assert workshop.faults().faults == ()


def test_the_words_are_what_a_draft_reads(workshop: Workshop, settings: WorkshopSettings) -> None:
    """One file for both; a fault with pictures cannot go, and who changed it stands in the notes."""
    workshop.name_faults([SCRATCH], "keller", NOW)
    path = settings.folder / "faults.json"
    assert read_phrases(path.name, path.read_bytes())["scratch"].words == ("a scratch", "a scratched part")
    sort_all(workshop)
    with pytest.raises(ConfigError, match="4 pictures are sorted as scratch"):
        workshop.name_faults([], "keller", NOW)
    state = workshop.state()
    assert (state["normal"], state["faults"][0]["pictures"]) == (6, 4)
    assert [note["what"] for note in state["audit"]] == ["words"]
    lines = [json.loads(line) for line in (settings.folder / "audit.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {note["user"] for note in lines} == {"keller"}
    assert sum(note["what"] == "sort" for note in lines) == 10


@pytest.mark.slow
def test_a_plan_says_what_is_missing(workshop: Workshop, settings: WorkshopSettings) -> None:
    """The toolchain's own words, from a recipe of the sorted pictures with the engineer's words."""
    workshop.name_faults([SCRATCH], "keller", NOW)
    sort_all(workshop)
    name = workshop.begin("plan", {}, "keller", NOW)
    about = ended(workshop, name)
    text, end = workshop.jobs.output(name, 0)
    assert (about["status"], about["user"]) == ("failed", "keller")
    assert "none is chosen yet; write the folder" in text
    assert workshop.jobs.output(name, end) == ("", end)
    recipe = (settings.folder / "jobs" / name / "recipe.toml").read_text(encoding="utf-8")
    assert 'words = ["a scratch", "a scratched part"]' in recipe
    with pytest.raises(EdgeError, match="no report"):
        workshop.report(name)


@pytest.mark.slow
def test_a_backtest_leaves_a_report_and_a_table_of_thresholds(workshop: Workshop, settings: WorkshopSettings) -> None:
    """Of the bundle and the source that were named, and no other path."""
    colour_bundle(settings.place_of_bundles() / "colours")
    name = workshop.begin("backtest", {"bundle": "colours", "source": "cam1"}, "keller", NOW)
    about = ended(workshop, name)
    assert about["status"] == "done", workshop.jobs.output(name, 0)
    assert workshop.report(name).startswith(b"<!doctype html>")
    red = next(fault for fault in workshop.thresholds(name)["faults"] if fault["id"] == "red")
    assert (red["flags"], red["threshold"] in {row[0] for row in red["rows"]}) == (10, True)
    assert max(row[2] for row in red["rows"]) >= 2
    for given in ({"bundle": "../colours", "source": "cam1"}, {"bundle": "colours", "source": "/etc"}):
        with pytest.raises(ConfigError, match="that are there"):
            workshop.begin("backtest", given, "keller", NOW)


def test_one_job_runs_at_a_time_and_can_be_cancelled(settings: WorkshopSettings) -> None:
    """Whatever it started goes with it, and the next may begin."""
    colour_bundle(settings.place_of_bundles() / "colours")
    workshop = Workshop(settings.model_copy(update={"export": SLEEPER}))
    wanted = {"bundle": "colours", "source": "cam1"}
    try:
        name = workshop.begin("backtest", wanted, "keller", NOW)
        wait_for(lambda: "began" in workshop.jobs.output(name, 0)[0], 30, "the child runs")
        with pytest.raises(ConfigError, match="wait for it, or cancel it"):
            workshop.begin("plan", {}, "keller", "2026-11-30T12:00:01.000Z")
        assert workshop.cancel("meier", NOW) == name
        assert ended(workshop, name)["status"] == "cancelled"
        with pytest.raises(ConfigError, match="no job runs"):
            workshop.cancel("keller", NOW)
        second = workshop.begin("backtest", wanted, "keller", "2026-11-30T12:00:02.000Z")
        wait_for(lambda: "began" in workshop.jobs.output(second, 0)[0], 30, "the child runs")
    finally:
        workshop.close()
    assert ended(workshop, second)["status"] == "cancelled"
    assert [note["what"] for note in workshop.audited()] == ["backtest", "cancel", "backtest"]


def test_a_job_of_a_page_that_was_killed_does_not_run(settings: WorkshopSettings) -> None:
    """Its facts still say so, and nobody does it."""
    folder = settings.folder / "jobs" / "20261130T120000-build"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(
        json.dumps({"job": folder.name, "kind": "build", "user": "keller", "status": "running"})
    )
    found = Workshop(settings).jobs.listing()
    assert [(one["status"], one["why"]) for one in found] == [("failed", "the page ended before it did")]


def test_what_is_not_on_this_machine_is_said(settings: WorkshopSettings) -> None:
    """A command that is not there fails; without a board no recipe is drafted."""
    workshop = Workshop(settings.model_copy(update={"export": ("/nowhere/edge-export",)}))
    name = workshop.begin("plan", {}, "keller", NOW)
    assert "cannot be started" in ended(workshop, name)["why"]
    with pytest.raises(ConfigError, match="for which board"):
        Workshop(settings.model_copy(update={"board": ""})).begin("plan", {}, "keller", NOW)

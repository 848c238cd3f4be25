"""What is wrong inside a bundle shows in a process of its own, which always ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import MANIFEST, Bundle, open_bundle
from edge.errors import ProofFailed
from edge.rehearsal import PictureLimits, rehearsal_limits, rehearse
from edge.site.settings import Site
from tests.stand.bundles import colour_bundle, colour_graph, endless_graph, hungry_graph, speech_files, speech_section


def bundle(folder: Path, **changes: Any) -> Bundle:
    """The colour bundle, opened."""
    colour_bundle(folder, **changes)
    return open_bundle(folder)


def site(folder: Path) -> Site:
    """One camera, explanations on."""
    return Site.model_validate(
        {"bundle": folder, "node": {"id": "n"}, "cameras": ({"id": "cam"},), "explain": {"enabled": True}}
    )


def processor_s() -> float:
    """Processor time of the children that ended."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.slow
def test_a_good_bundle_comes_through(tmp_path: Path) -> None:
    """With speech and without, whatever the interpreter was started with."""
    rehearse(bundle(tmp_path / "a"))
    speaking = bundle(tmp_path / "b", extra=speech_files(), speech=speech_section())
    rehearse(speaking, site(tmp_path / "b"))


@pytest.mark.slow
def test_a_graph_that_never_ends_is_ended(tmp_path: Path) -> None:
    """By its processor time, so that a busy machine refuses no honest bundle; the reason is said, and nothing runs on."""
    before = processor_s()
    limits = PictureLimits(cpu_s=2, wall_s=120.0, memory_mib=900)
    with pytest.raises(ProofFailed, match=r"2 s of trying it.*does not end"):
        rehearse(bundle(tmp_path, graph=endless_graph()), limits=limits)
    assert processor_s() - before < 15


@pytest.mark.slow
def test_a_bundle_that_waits_is_ended_too(tmp_path: Path) -> None:
    """Time on the wall is limited as well: a stopped or starved process answers nobody."""
    began = time.monotonic()
    with pytest.raises(ProofFailed, match="allowed: 600 s"):
        rehearse(bundle(tmp_path, graph=endless_graph()), limits=PictureLimits(cpu_s=600, wall_s=3.0, memory_mib=900))
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_speech_that_never_ends_is_ended_too(tmp_path: Path) -> None:
    """Every graph of the bundle that would be loaded is tried, not the one with the scores only."""
    broken = speech_files()
    broken["speech/begin.onnx"] = endless_graph(broken["speech/begin.onnx"], "mean")
    found = bundle(tmp_path, extra=broken, speech=speech_section())
    rehearse(found)  # where nobody wants explanations it is not loaded
    with pytest.raises(ProofFailed, match="does not end"):
        rehearse(found, site(tmp_path), limits=PictureLimits(cpu_s=2, wall_s=120.0, memory_mib=900))


@pytest.mark.slow
def test_a_graph_that_eats_the_memory_is_refused(tmp_path: Path) -> None:
    """4 GB of zeros: refused by the limit, not by the kernel's choice of a victim."""
    with pytest.raises(ProofFailed, match=r"golden/0\.jpg gives no scores"):
        rehearse(bundle(tmp_path, graph=hungry_graph()))


@pytest.mark.slow
def test_what_is_refused_keeps_its_kind_and_its_words(tmp_path: Path) -> None:
    """The other process finds what this one would have found."""
    with pytest.raises(ProofFailed, match=r"graph.onnx does not load"):
        rehearse(bundle(tmp_path / "cut", graph=colour_graph()[:-30]))


@pytest.mark.slow
def test_a_manifest_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    """What was opened here is what is tried there."""
    opened = bundle(tmp_path)
    (tmp_path / MANIFEST).write_bytes((tmp_path / MANIFEST).read_bytes() + b"\n")
    with pytest.raises(ProofFailed, match="changed while it was tried"):
        rehearse(opened)


@pytest.mark.slow
def test_it_finds_this_program_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the working folder nor the environment of the daemon matters."""
    root = str(Path(__file__).parents[2])
    opened = bundle(tmp_path)
    monkeypatch.setattr(sys, "path", [root, *(entry for entry in sys.path if entry not in {"", root})])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    rehearse(opened)


def test_limits_follow_size_budget_and_threads(tmp_path: Path) -> None:
    """More to load and slower frames are given more, and no manifest can ask for an endless budget."""
    opened = bundle(tmp_path)
    usual, slow, absurd = (rehearsal_limits(opened, budget_ms, 1) for budget_ms in (40.0, 4_000.0, 1e300))
    assert usual.cpu_s < slow.cpu_s < absurd.cpu_s < 60
    assert rehearsal_limits(opened, 4_000.0, 4).cpu_s > slow.cpu_s
    assert usual.wall_s > usual.cpu_s

"""Timing runs in a process of its own, in turns, and reports that process's own memory."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path
from typing import cast

import pytest

from edge.bundle import open_bundle
from edge.errors import ExportError
from edge.inference.engine import Engine
from exporters.progress import Progress
from exporters.proof import candidates, measure


def _job(bundle: Path, *, copies: int) -> measure.Job:
    manifest = open_bundle(bundle).manifest
    return measure.Job(
        folder=bundle,
        executions=(manifest.execution,) * copies,
        input=manifest.frame_input,
        output=manifest.frame_output,
        picture=bundle / manifest.proof.golden[0].file,
        runs=10,
        seconds=5.0,
    )


def test_each_execution_gets_both_distributions(words_bundle: Path) -> None:
    """Inference and whole frame, per execution, with a plausible memory figure of a process without torch."""
    timing = measure.measure(_job(words_bundle, copies=2))
    assert [latency.scope for latency in timing.infer] == ["infer"] * 2
    assert [latency.scope for latency in timing.frame] == ["frame"] * 2
    assert all(0 < latency.p50_ms <= latency.p99_ms <= latency.max_ms for latency in timing.infer)
    assert 20 < timing.peak_rss_mib < 250


def test_a_failed_measurement_tells_its_last_words(words_bundle: Path, tmp_path: Path) -> None:
    """A graph that does not load is an ExportError with the reason."""
    job = _job(words_bundle, copies=1).model_copy(update={"picture": tmp_path / "none.jpg"})
    with pytest.raises(ExportError, match=r"none\.jpg"):
        measure.measure(job)


def test_percentiles_are_of_the_samples() -> None:
    """p50, p95, p99 and max of known samples."""
    found = measure.distribution([float(value) for value in range(1, 101)], "infer", "m")
    assert (found.runs, found.p50_ms, found.max_ms) == (100, 50.5, 100.0)
    assert 95 <= found.p95_ms < found.p99_ms < 100


def test_peak_memory_is_read_from_the_status() -> None:
    """VmHWM in MiB; an unknown format counts as none."""
    assert measure.peak_rss_mib("Name:\tx\nVmHWM:\t  204800 kB\n") == 200.0
    assert measure.peak_rss_mib("") == 0.0


def test_large_graphs_are_loaded_for_their_turn(words_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never two at once, and each still gets both distributions, in several turns."""
    alive: list[weakref.ref[Engine]] = []
    real = Engine.load

    def watched(*arguments: object, **named: object) -> Engine:
        assert not any(one() is not None for one in alive), "the last one is still held"
        engine = real(*arguments, **named)  # type: ignore[arg-type]
        alive.append(weakref.ref(engine))
        return engine

    monkeypatch.setattr(Engine, "load", watched)
    timing = measure.run(_job(words_bundle, copies=2).model_copy(update={"together": False}))
    assert len(alive) == 2 * measure.LOADED_TURNS
    assert all(latency.runs >= measure.LOADED_TURNS for latency in (*timing.infer, *timing.frame))


def test_what_others_take_of_the_machine_is_measured(words_bundle: Path) -> None:
    """Beside a process that never rests the timing says so; its own work is not counted as that of others."""
    spin = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", spin]) as other:
        try:
            timing = measure.measure(_job(words_bundle, copies=1).model_copy(update={"runs": 1000, "seconds": 2.0}))
        finally:
            other.kill()
    assert timing.others_cores > 0.3
    assert timing.busy


def test_a_busy_machine_is_asked_again_only_where_it_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the budget nothing is repeated; over it the timing waits for the others, a few times, and the quietest and fastest counts."""

    def timing(p99_ms: float, others_cores: float) -> measure.Timing:
        latency = measure.distribution([p99_ms] * 3, "frame", "m")
        return measure.Timing(infer=(latency,), frame=(latency,), peak_rss_mib=1.0, others_cores=others_cores)

    def attempts(*found: measure.Timing) -> tuple[measure.Timing, int]:
        left = list(found)
        waits: list[float] = []
        monkeypatch.setattr(measure, "measure", lambda _job, _python: left.pop(0))
        step = Progress(lambda _line: None, lambda: 0.0)
        best = candidates.measure_quietly(cast("measure.Job", None), 40.0, step, waits.append)
        return best, len(waits)

    busy, quiet = 99.0, 0.0
    assert attempts(timing(39, busy)) == (timing(39, busy), 0)
    assert attempts(timing(90, quiet)) == (timing(90, quiet), 0)
    assert attempts(timing(90, busy), timing(50, quiet)) == (timing(50, quiet), 1)
    assert attempts(timing(90, busy), timing(70, busy), timing(80, busy), timing(95, busy)) == (timing(70, busy), 3)

"""A recording goes through a real broker and a real daemon by its own times, faster than it was measured, and comes back as the same flags."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sets.streamed import Judged, Streamed, compare, readings_of, stream
from edge.frame import Quality
from edge.units import NS_PER_S
from exporters.recordings.table import Table
from tests.stand.bundles import PUMP_SENSORS, fault, pump_bundle, pump_section

START_NS = 1_700_000_000 * NS_PER_S


@pytest.mark.slow
def test_a_daemon_flags_what_the_graph_says_of_each_window(tmp_path: Path) -> None:
    """Cells of ten seconds, eight to a window, whose mean over ten is the score; four minutes take some seconds."""
    pump_bundle(
        tmp_path / "pump",
        windows=[pump_section(period_ms=10_000.0)],
        faults=[fault("leak", window="pump", threshold=0.5, release=0.4)],
    )
    values = [2.0 if 60 <= at < 150 else 8.0 if at < 170 else 3.0 for at in range(0, 240, 4)]
    rows = [(START_NS + 4 * place * NS_PER_S, dict.fromkeys(PUMP_SENSORS, value)) for place, value in enumerate(values)]
    found = stream(tmp_path / "pump", rows)
    assert found.recorded_s == 236
    assert found.times_faster > 1
    known = [one for one in found.judged if one.quality is Quality.GOOD]
    assert len(known) > 10
    assert {one.verdict for one in known} == {"fault", "ok"}
    for one in known:
        assert one.score is not None
        assert one.verdict == "fault" or one.score < 0.5
    assert [one.verdict for one in found.judged if one.quality is Quality.STALE][:1] == ["unknown"]


def test_what_differs_is_counted() -> None:
    """A verdict, a score that is missing though all cells have values, and a window too few; a doubtful window may be without a score."""
    judged = (
        Judged(0, Quality.STALE, "unknown", None),
        Judged(1, Quality.UNCERTAIN, "unknown", None),
        Judged(2, Quality.GOOD, "fault", 0.9),
        Judged(3, Quality.GOOD, "ok", 0.1),
    )
    scores, flagged = np.array([0.2, 0.9, 0.11], np.float32), np.array([False, True, False])
    known, others, apart = compare(Streamed(judged, 10.0, 1.0), scores, flagged)
    assert (known, others) == (3, 0)
    assert apart == pytest.approx(0.01, abs=1e-6)
    assert compare(Streamed(judged, 10.0, 1.0), scores, ~flagged)[1] == 3
    assert compare(Streamed(judged[:3], 10.0, 1.0), scores, flagged)[1] == 1
    silent = (*judged[:3], Judged(3, Quality.GOOD, "unknown", None))
    assert compare(Streamed(silent, 10.0, 1.0), scores, flagged)[1] == 1


def test_rows_hold_what_was_measured() -> None:
    """A value that is missing is not sent."""
    values = np.array([[1.0, np.nan]])
    table = Table(Path("a.csv"), np.array([5]), values, np.array([False]), None, labelled=False, left_out=Counter())
    assert readings_of(table, ["flow", "temp"]) == [(5, {"flow": 1.0})]

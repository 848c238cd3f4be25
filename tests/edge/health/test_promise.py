"""A fault whose alarm comes more often than its bound allows has an alarm of its own, which a restart remembers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.assembly import make_stages
from edge.errors import ConfigError
from edge.health.promise import KEPT_BOUND, KEPT_DRIFT
from edge.plan import make_plan
from edge.site.settings import Site
from tests.edge.bench import ALARM, MS, Bench
from tests.stand.bundles import fault, flat_jpeg

RULE_FAULT = {"id": "loose", "rules": ("shaking",)}


def promised(bound: str = "1 per hour", **changes: Any) -> dict[str, Any]:
    """A site without cameras whose fault `loose` promises a bound."""
    fault = RULE_FAULT | {"alarm": ALARM | {"bound": bound, "off_delay_ms": 0.0}}
    return {"cameras": (), "faults": (fault, *changes.pop("more", ()))} | changes


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A worker that watches it."""
    return Bench(tmp_path / "bundle", **promised())


def nuisance(bench: Bench, times: int) -> list[str]:
    """The alarm comes and goes; returns its occurrences."""
    seen = []
    for _ in range(times):
        for value in (9.0, 0.0):
            bench.reading(value)
            bench.idle(500)
        seen.append(bench.last("alarm/loose")["occurrence_id"])
        quiet(bench, 300)
    return seen


def quiet(bench: Bench, seconds: int) -> None:
    """The sensor goes on, and nothing happens."""
    for _ in range(2 * seconds):
        bench.reading(0.0)
        bench.time.now_ns += 500 * MS
        bench.turn()


def test_false_alarms_beyond_the_bound_raise_an_alarm_and_true_ones_take_it_back(bench: Bench) -> None:
    """Five in half an hour where one an hour was promised are enough; those that were true are not."""
    occurrences = nuisance(bench, 5)
    assert bench.last("alarm/loose-overbound")["state"] == "UNACK_ALM"
    assert bench.last("state")["ne107"] == "M"
    assert bench.command("ack", alarm_id="loose", occurrence_id=occurrences[-1], valid=True)["ok"]
    (test,) = bench.stages.promises.bounds.values()
    assert test.alarms == 4
    for occurrence in occurrences[:-1]:
        test.label(occurrence, valid=True)
    quiet(bench, 10)
    assert bench.last("alarm/loose-overbound")["active"] is False


def test_time_in_which_no_alarm_could_be_seen_does_not_count(bench: Bench) -> None:
    """A silent sensor raises nothing, and a shelved alarm annoys nobody: neither proves that the bound is kept."""
    (test,) = bench.stages.promises.bounds.values()
    bench.idle(5_000)
    assert test.known_ns == 0
    quiet(bench, 10)
    known_ns = test.known_ns
    assert known_ns == pytest.approx(10e9, rel=0.2)
    assert bench.command("shelve", alarm_id="loose", duration_s=600.0, comment="test")["ok"]
    quiet(bench, 10)
    assert test.known_ns == pytest.approx(known_ns, abs=1.1e9)


def test_what_was_counted_goes_on_after_a_restart_and_a_reload(bench: Bench) -> None:
    """Another bound begins anew, and so does what cannot be read."""
    nuisance(bench, 1)
    (test,) = bench.stages.promises.bounds.values()
    kept = {KEPT_BOUND + "loose": test.to_dict()}
    assert make_stages(bench.stages.plan, kept=kept).promises.bounds["loose"].alarms == 1
    unreadable = make_stages(bench.stages.plan, kept={KEPT_BOUND + "loose": {"format": 1}})
    assert unreadable.promises.bounds["loose"].alarms == 0
    after = make_stages(bench.stages.plan, bench.stages)
    assert after.promises.bounds["loose"] is test
    other = Site.model_validate(bench.site.model_dump() | {"faults": (promised("2 per day")["faults"])})
    changed = make_stages(make_plan(other, None), bench.stages)
    assert changed.promises.bounds["loose"].alarms == 0
    back = make_stages(bench.stages.plan, changed, bench.stages)
    assert back.promises.bounds["loose"] is test, "a reload that is taken back lost nothing"


def test_a_fault_without_alarm_or_bound_promises_nothing(tmp_path: Path) -> None:
    """There is no such alarm, and nothing is counted."""
    bench = Bench(tmp_path / "bundle", cameras=(), faults=(RULE_FAULT | {"alarm": ALARM},))
    assert bench.stages.promises.bounds == {}
    assert "loose-overbound" not in bench.annunciator
    bench.reading(9.0)
    bench.idle(100)
    occurrence = bench.last("alarm/loose")["occurrence_id"]
    assert bench.command("ack", alarm_id="loose", occurrence_id=occurrence, valid=True)["ok"]


@pytest.mark.parametrize("bound", ["0 per day", "often", "1 per fortnight", "1 / day", "-1 per day"])
def test_a_bound_that_is_none_is_refused(bound: str) -> None:
    """Never cannot be promised."""
    with pytest.raises(ValueError, match=r"bound|never"):
        Site.model_validate({"node": {"id": "n"}, "sensors": ({"id": "s"},), **promised(bound, rules=())})


def test_no_fault_may_take_the_name_of_a_promise(tmp_path: Path) -> None:
    """An alarm's id is its topic."""
    with pytest.raises(ConfigError, match="loose-overbound"):
        Bench(tmp_path / "bundle", **promised(more=({"id": "loose-overbound", "rules": ("shaking",)},)))


def drifting(folder: Path, **site: Any) -> Bench:
    """A camera and a bundle that says how red normal pictures are: from 0.2 to 0.4."""
    normal = {"scores": [0.2 + index / 500 for index in range(100)], "independent": 100}
    calibrated = {"method": "m", "normal_images": 100, "fault_images": 0, "normal": normal}
    faults = [fault("red", calibration=calibrated), fault("green"), fault("blue")]
    drift = {"block_s": 20.0, "mean_days": 0.1} | site.pop("drift", {})
    picture = {"n_of_m": (3, 5), "frozen_after_ms": 0.0, "sharpness_share": 0.0, "covered_share": 0.0}
    return Bench(folder, made={"faults": faults}, cameras=({"id": "cam", "picture": picture},), drift=drift, **site)


def watch(bench: Bench, reds: Iterable[int]) -> None:
    """A picture of each redness, one a second."""
    for red in reds:
        bench.frame(flat_jpeg(red, 90, 90))
        bench.time.now_ns += 1000 * MS
        bench.turn()


@pytest.mark.slow
def test_normal_scores_that_move_raise_an_alarm_and_usual_ones_end_it(tmp_path: Path) -> None:
    """Long before a limit is reached; what was learned of it is kept for a restart."""
    bench = drifting(tmp_path / "bundle")
    rng = np.random.default_rng(1)
    watch(bench, rng.integers(51, 102, 100).tolist())
    assert not bench.annunciator.is_active("red-drift")
    watch(bench, [140] * 600)
    assert bench.last("alarm/red-drift")["state"] == "UNACK_ALM"
    assert not bench.annunciator.is_active("red")
    (test,) = bench.stages.promises.drifts.values()
    again = make_stages(bench.stages.plan, kept={KEPT_DRIFT + "red": test.to_dict()}).promises.drifts["red"]
    assert again.strength == test.strength >= 1.0
    assert make_stages(bench.stages.plan, bench.stages).promises.drifts["red"] is test
    watch(bench, rng.integers(51, 102, 600).tolist())
    assert bench.last("alarm/red-drift")["active"] is False


def test_scores_of_a_fault_that_stands_are_no_drift(tmp_path: Path) -> None:
    """Nor are those of pictures that cannot be judged; and a site may leave it out."""
    bench = drifting(tmp_path / "bundle")
    watch(bench, [255] * 100)
    assert bench.annunciator.is_active("red")
    (test,) = bench.stages.promises.drifts.values()
    assert test.strength == 0.0
    for _ in range(50):
        bench.frame(b"x")
    assert test.strength == 0.0
    left_out = drifting(tmp_path / "other", drift={"enabled": False})
    assert left_out.stages.promises.drifts == {}
    assert "red-drift" not in left_out.annunciator


def test_a_run_length_shorter_than_a_block_is_refused() -> None:
    """No block could be judged."""
    with pytest.raises(ValueError, match="mean_days"):
        Site.model_validate({"node": {"id": "n"}, **promised(), "drift": {"mean_days": 0.01}})

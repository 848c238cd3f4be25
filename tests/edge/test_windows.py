"""Windows of readings on the inference thread: from readings to flags and alarms, beside frames and in time left over."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.assembly import make_stages, prove_plan
from edge.bundle import Bundle, open_bundle
from edge.console.inspection import check_site
from edge.errors import ConfigError, InferenceFailed, NothingKnown, ProofFailed
from edge.frame import Reading
from edge.inference.onnx_session import Stopped
from edge.inference.window_engine import WindowEngine
from edge.plan import make_plan, site_bundle
from edge.rehearsal import rehearse
from edge.site.settings import Site, load_site
from edge.units import NS_PER_S
from tests.edge.bench import ALARM, DARK, MS, Bench
from tests.stand.bundles import (
    COLOURS,
    PUMP_SENSORS,
    fault,
    mean_graph,
    pump_bundle,
    pump_files,
    pump_section,
    window_cells,
)

SENSORS = tuple({"id": name, "stale_after_ms": 3000} for name in PUMP_SENSORS)


def bench(folder: Path, **window: Any) -> Bench:
    """A camera and a pump; the pump's window has 8 cells of a second, judged every second."""
    made = {
        "extra": pump_files(),
        "windows": [pump_section(**window)],
        "faults": [*map(fault, COLOURS), fault("leak", window="pump", threshold=0.5, release=0.4)],
    }
    faults = ({"id": "red", "camera": "cam", "alarm": ALARM}, {"id": "leak", "window": "pump", "alarm": ALARM})
    return Bench(folder / "bundle", made=made, sensors=SENSORS, rules=(), faults=faults)


def pumping(bench: Bench, values: Sequence[float | None], *, sensors: tuple[str, ...] = PUMP_SENSORS) -> list[str]:
    """A reading of each sensor every second, none for None; the verdict of the flag after each second."""
    verdicts = []
    for value in values:
        for sensor in sensors:
            if value is not None:
                bench.reading(value, sensor)
        bench.idle(1000)
        verdicts.append(bench.last("flag/leak")["verdict"] if bench.take("flag/leak") else "none")
    return verdicts


def site(folder: Path, **changes: Any) -> Site:
    """A pump without a camera."""
    base: dict[str, Any] = {
        "bundle": folder,
        "node": {"id": "n"},
        "sensors": SENSORS,
        "faults": ({"id": "leak", "window": "pump", "alarm": ALARM},),
        "runtime": {"allow_other_board": True},
    }
    return Site.model_validate(base | changes)


def pump(folder: Path, **changes: Any) -> Bundle:
    """The bundle of readings only, opened."""
    pump_bundle(folder, **changes)
    return open_bundle(folder)


def test_a_window_is_unknown_until_it_is_full_then_ok_then_a_fault(tmp_path: Path) -> None:
    """While it fills nothing can be ruled out; the mean of eight seconds crosses the threshold in the middle of them."""
    made = bench(tmp_path)
    verdicts = pumping(made, [1.0] * 12 + [9.0] * 8)
    assert set(verdicts[:8]) == {"unknown"}
    assert set(verdicts[9:12]) == {"ok"}
    assert verdicts[-1] == "fault"
    assert made.last("flag/leak")["score"] == pytest.approx(0.8)  # the newest cell is not complete yet
    assert made.last("alarm/leak")["state"] == "UNACK_ALM"
    assert made.health.strays() == {}


def test_a_window_with_holes_shows_a_fault_and_clears_none(tmp_path: Path) -> None:
    """Missing cells leave it uncertain: the alarm stays, and comes down only with a whole window that is ok."""
    made = bench(tmp_path)
    pumping(made, [1.0] * 4 + [9.0] * 6)
    assert made.last("flag/leak") | {"verdict": "fault", "q": "uncertain"} == made.last("flag/leak") | {
        "q": "uncertain"
    }
    assert set(pumping(made, [None, *[0.0] * 8])[-2:]) == {"unknown"}
    assert made.last("flag/leak")["q"] == "uncertain"
    assert made.last("alarm/leak")["active"]
    assert pumping(made, [0.0] * 4)[-1] == "ok"
    assert not made.last("alarm/leak")["active"]


def test_a_silent_sensor_makes_the_verdict_unknown(tmp_path: Path) -> None:
    """Of both, or of one while the other goes on: no value is carried forward, and the alarm keeps its state."""
    made = bench(tmp_path)
    pumping(made, [9.0] * 12)
    assert pumping(made, [9.0] * 8, sensors=("inlet",))[-1] == "unknown"
    assert made.last("flag/leak")["q"] == "stale"
    pumping(made, [9.0] * 12)
    assert pumping(made, [None] * 8)[-1] == "unknown"
    assert made.last("alarm/leak")["active"]


def test_a_backlog_is_judged_once_and_what_is_older_than_the_window_is_counted(tmp_path: Path) -> None:
    """A gateway sends what it kept, oldest first; only the newest window counts, and it is whole."""
    made = bench(tmp_path)
    pumping(made, [1.0] * 10)
    made.idle(20_000)
    made.sent.clear()
    now_ns = made.time.now_ns
    for age_s in range(20, -1, -1):
        for sensor in PUMP_SENSORS:
            value = 9.0 if age_s > 12 else 1.0
            made.inbox.put_reading(Reading(sensor, value, now_ns, None, age_s * NS_PER_S))
    made.idle(200)
    assert [body["verdict"] for body in made.take("flag/leak")] == ["ok"]
    made.inbox.put_reading(Reading("inlet", 9.0, made.time.now_ns, None, 60 * NS_PER_S))
    made.idle(100)
    assert made.health.sensors(made.time.now_ns)["inlet"].rejected == {"window_late": 1}


def test_frames_come_first_and_a_window_waits_for_time_left_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A turn with a frame judges no window, and one that must give way stays due."""
    made = bench(tmp_path)
    pumping(made, [1.0] * 12)
    real, runs = WindowEngine.run, []

    def stopped_once(self: WindowEngine, *arguments: Any) -> Any:
        runs.append(made.time.now_ns)
        if len(runs) == 1:
            raise Stopped
        return real(self, *arguments)

    monkeypatch.setattr(WindowEngine, "run", stopped_once)
    for sensor in PUMP_SENSORS:
        made.reading(1.0, sensor)
    made.time.now_ns += 60 * MS
    made.frame(DARK)
    assert runs == []
    made.idle(150)
    assert len(runs) == 2
    assert made.last("flag/red")["verdict"] == "ok"


def test_a_graph_that_fails_leaves_the_verdict_unknown_and_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """What was known before does not stand."""
    made = bench(tmp_path)
    pumping(made, [1.0] * 12)

    def fails(*_arguments: Any) -> None:
        raise InferenceFailed("broken")

    monkeypatch.setattr(WindowEngine, "run", fails)
    assert pumping(made, [1.0])[-1] == "unknown"
    assert made.last("flag/leak")["q"] == "bad"
    assert made.health.strays() == {"window_inference_failed": 1}


def test_a_graph_that_cannot_judge_leaves_the_verdict_unknown_and_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """As in an operating state that was never recorded: neither ok nor a fault, and nothing is counted."""
    made = bench(tmp_path)

    def passes(*_arguments: Any) -> None:
        raise NothingKnown("never recorded")

    assert pumping(made, [1.0] * 12)[-1] == "ok"
    monkeypatch.setattr(WindowEngine, "run", passes)
    assert pumping(made, [9.0] * 3)[-1] == "unknown"
    assert made.last("flag/leak")["q"] == "stale"
    assert made.health.strays() == {}


@pytest.mark.slow
def test_a_site_without_cameras_needs_no_graph_of_frames(tmp_path: Path) -> None:
    """Its bundle is checked, rehearsed in a process of its own, proven and planned as any other."""
    bundle = pump(tmp_path / "pump")
    wanted = site(tmp_path / "pump")
    rehearse(bundle, wanted)
    opened = site_bundle(wanted)
    assert opened is not None
    plan = make_plan(wanted, opened)
    proven = prove_plan(plan, time.monotonic_ns)
    assert (proven.engine, proven.proof, list(proven.windows)) == (None, None, ["pump"])
    assert (plan.title, plan.tensor, plan.budgets_ms) == ("pump version 1", "", {})
    lines = list(check_site(wanted, bundle))
    assert "window    pump: inlet, outlet over 8 s, judged every 1 s; 2 golden inputs reproduced" in lines
    assert "fault     leak: raises an alarm" in lines


def test_a_reload_keeps_a_window_that_asks_the_same(tmp_path: Path) -> None:
    """Its readings are there at once; with another silence of a sensor it fills anew."""
    plan = make_plan(site(tmp_path / "pump"), pump(tmp_path / "pump"))
    before = make_stages(plan)
    assert make_stages(plan, before).windows["pump"] is before.windows["pump"]
    patient = tuple({"id": name, "stale_after_ms": 9000} for name in PUMP_SENSORS)
    other = make_plan(site(tmp_path / "pump", sensors=patient), plan.bundle)
    assert make_stages(other, before).windows["pump"] is not before.windows["pump"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sensors": SENSORS[:1]}, r"reads sensors \['outlet'\], which the site does not have"),
        ({"faults": ({"id": "leak", "window": "fan"},)}, r"asks for window 'fan', and the bundle has \['pump'\]"),
        ({"faults": ({"id": "noise", "window": "pump"},)}, "no fault 'noise' of window pump; it has leak"),
        ({"cameras": ({"id": "cam"},)}, "no camera can be watched with it"),
    ],
)
def test_a_site_and_a_bundle_that_do_not_fit_are_told_apart(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Each time with what to change."""
    with pytest.raises(ConfigError, match=said):
        make_plan(site(tmp_path / "pump", **changes), pump(tmp_path / "pump"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"windows": [pump_section(golden=[{"file": "golden/low.f32", "scores": [0.3]}])]}, "scores differ by 0.2"),
        ({"files": {"golden/low.f32": b"1234"}}, "has 4 bytes"),
        ({"files": {"golden/low.f32": window_cells(50.0)}}, "gives no scores here"),
        ({"files": {"pump.onnx": mean_graph(length=9)}}, "Export the bundle again"),
    ],
)
def test_a_window_that_is_not_as_it_was_proven_does_not_go_live(tmp_path: Path, changes: dict[str, Any], said: str) -> None:  # fmt: skip
    """Other scores, a damaged golden window, or a graph of another form."""
    plan = make_plan(site(tmp_path / "pump"), pump(tmp_path / "pump", **changes))
    with pytest.raises(ProofFailed, match=said):
        prove_plan(plan, time.monotonic_ns)


def test_a_window_that_takes_longer_than_a_frame_may_is_refused_unless_the_machine_is_only_busy(tmp_path: Path) -> None:
    """A start on a busy machine goes on, as with frames."""
    plan = make_plan(site(tmp_path / "pump"), pump(tmp_path / "pump"))
    ticks = iter(range(0, 10**12, 50 * MS))
    with pytest.raises(ProofFailed, match=r"window pump takes 50\.0 ms of 40"):
        prove_plan(plan, lambda: next(ticks))
    assert list(prove_plan(plan, lambda: next(ticks), slow_is_fatal=False).windows) == ["pump"]


def test_a_site_file_with_a_window_names_its_bundle(tmp_path: Path) -> None:
    """Without one nothing could judge it."""
    (tmp_path / "site.toml").write_text(
        '[node]\nid = "n"\n[[sensors]]\nid = "inlet"\n[[faults]]\nid = "leak"\nwindow = "pump"\n', encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="windows of readings are judged by a bundle"):
        load_site(tmp_path / "site.toml")
    with pytest.raises(ConfigError, match="are watched with a bundle"):
        site_bundle(site(tmp_path, bundle=None))


@pytest.mark.parametrize("evidence", [{"camera": "cam", "window": "pump"}, {"vision": "leak", "rules": ("r",)}, {}])
def test_a_fault_is_scored_by_one_input(tmp_path: Path, evidence: dict[str, Any]) -> None:
    """A camera or a window, not both; and `vision` needs one of them."""
    with pytest.raises(ValueError, match="fault leak"):
        site(tmp_path, faults=({"id": "leak", **evidence},))

"""A silent gateway, seen from the whole inference thread: one alarm for the operator, the others suppressed with the reason, all of it undone by its return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.edge.bench import RED, Bench

NAMES = ("t0", "t1", "t2")


@pytest.fixture
def plant(tmp_path: Path) -> Bench:
    """Three sensors of one topic."""
    return Bench(
        tmp_path,
        sensors=tuple({"id": name, "topic": "gw/all", "stale_after_ms": 1000} for name in NAMES),
        rules=({"id": "hot", "sensor": "t0", "kind": "above", "limit": 50.0},),
        faults=({"id": "red", "camera": "cam"}, {"id": "heat", "rules": ("hot",)}),
    )


def speak(plant: Bench, *names: str) -> None:
    """These give a value."""
    for name in names:
        plant.health.reading_received(name, plant.time.now_ns)
    plant.turn()


def states(plant: Bench) -> dict[str, Any]:
    """Each sensor's silent alarm, as it was published last."""
    return {name: plant.last(f"alarm/{name}-silent")["state"] for name in NAMES}


def test_one_alarm_for_the_gateway_and_the_others_with_the_reason(plant: Bench) -> None:
    """The suppressed ones are counted neither as alarms nor as shelved by somebody."""
    speak(plant, *NAMES)
    plant.idle(1500)
    assert plant.last("alarm/gateway-gw-all-silent")["state"] == "UNACK_ALM"
    assert "topic gw/all" in plant.last("alarm/gateway-gw-all-silent")["message"]
    assert states(plant) == dict.fromkeys(NAMES, "SUPPRESSED")
    assert "gateway-gw-all-silent" in plant.last("alarm/t0-silent")["suppressed_because"]
    assert plant.last("state")["alarms"]["shelved"] == 0
    assert not any(name in " ".join(plant.last("state")["reasons"]) for name in NAMES)
    speak(plant, "t0")
    plant.idle(100)
    assert plant.last("alarm/t0-silent")["state"] == "NORM"
    speak(plant, *NAMES)
    plant.idle(100)
    assert states(plant) == dict.fromkeys(NAMES, "NORM")
    assert plant.last("alarm/t1-silent")["suppressed_because"] is None


def test_a_sensor_that_does_not_come_back_raises_its_own(plant: Bench) -> None:
    """Once its time is up, and a neighbour has spoken."""
    speak(plant, *NAMES)
    plant.idle(1500)
    for _ in range(4):
        speak(plant, "t0", "t1")
        plant.idle(500)
    assert states(plant) == {"t0": "NORM", "t1": "NORM", "t2": "UNACK_ALM"}


def test_what_an_operator_decided_stays(plant: Bench) -> None:
    """One that he suppressed is not shown by the gateway's return; one that he shows is not hidden again."""
    speak(plant, *NAMES)
    assert plant.command("suppress", alarm_id="t1-silent")["ok"]
    plant.idle(1500)
    assert plant.last("alarm/t1-silent")["suppressed_because"] is None
    assert plant.command("unsuppress", alarm_id="t2-silent")["ok"]
    plant.idle(200)
    assert states(plant) == {"t0": "SUPPRESSED", "t1": "SUPPRESSED", "t2": "NORM"}
    speak(plant, *NAMES)
    plant.idle(100)
    assert states(plant) == {"t0": "NORM", "t1": "SUPPRESSED", "t2": "NORM"}


def test_one_alarm_for_two_cameras_of_one_switch(tmp_path: Path) -> None:
    """Their own alarms come with the reason; a camera that sends what cannot be judged is silent by itself."""
    plant = Bench(
        tmp_path,
        cameras=({"id": "cam", "gateway": "switch"}, {"id": "cam2", "gateway": "switch"}),
        sensors=(),
        rules=(),
        faults=({"id": "red", "camera": "cam"},),
    )
    cameras = ("cam", "cam2")
    for _ in range(2):
        plant.frame(RED)
        plant.health.frame_received("cam2", plant.time.now_ns)
    plant.idle(3000)
    gateway = plant.last("alarm/gateway-switch-silent")
    assert (gateway["state"], gateway["severity"]) == ("UNACK_ALM", 700)
    assert "2 cameras of gateway switch" in gateway["message"]
    assert {plant.last(f"alarm/{name}-silent")["state"] for name in cameras} == {"SUPPRESSED"}
    for _ in range(6):
        plant.frame(RED)
        plant.health.frame_received("cam2", plant.time.now_ns)
        plant.idle(500)
    assert plant.last("alarm/gateway-switch-silent")["active"] is False
    assert {name: plant.last(f"alarm/{name}-silent")["state"] for name in cameras} == {
        "cam": "NORM",
        "cam2": "UNACK_ALM",
    }


@pytest.fixture
def steady(tmp_path: Path) -> Bench:
    """Three sensors of one topic that may not repeat a value for long."""
    return Bench(
        tmp_path,
        sensors=tuple(
            {"id": name, "topic": "gw/all", "stale_after_ms": 1000, "frozen_after_ms": 2000} for name in NAMES
        ),
        rules=({"id": "hot", "sensor": "t0", "kind": "above", "limit": 50.0},),
        faults=({"id": "red", "camera": "cam"}, {"id": "heat", "rules": ("hot",)}),
    )


def go_on(steady: Bench, seconds: float, **values: bool) -> None:
    """Values twice a second; those that are true change."""
    for step in range(round(seconds * 2)):
        for name, changes in values.items():
            steady.health.reading_received(name, steady.time.now_ns, float(step) if changes else 5.0)
        steady.idle(500)


def frozen(steady: Bench) -> dict[str, Any]:
    """Each sensor's alarm about a value that does not change, as it was published last."""
    return {name: steady.last(f"alarm/{name}-frozen")["state"] for name in NAMES}


def test_a_gateway_that_repeats_old_values_is_one_alarm(steady: Bench) -> None:
    """The alarms of its sensors are suppressed until one of them changes; one that stays as it was raises its own then."""
    go_on(steady, 4, t0=False, t1=False, t2=False)
    gateway = steady.last("alarm/gateway-gw-all-frozen")
    assert gateway["state"] == "UNACK_ALM"
    assert "3 sensors of topic gw/all" in gateway["message"]
    assert frozen(steady) == dict.fromkeys(NAMES, "SUPPRESSED")
    assert steady.last("alarm/gateway-gw-all-silent")["active"] is False
    go_on(steady, 4, t0=True, t1=True, t2=False)
    assert steady.last("alarm/gateway-gw-all-frozen")["active"] is False
    assert frozen(steady) == {"t0": "NORM", "t1": "NORM", "t2": "UNACK_ALM"}


def test_one_sensor_that_repeats_its_value_is_its_own_alarm(steady: Bench) -> None:
    """Its neighbours show at once that it is not the gateway; of a silent one nothing is known."""
    go_on(steady, 2.5, t0=True, t1=True, t2=False)
    assert frozen(steady) == {"t0": "NORM", "t1": "NORM", "t2": "UNACK_ALM"}
    go_on(steady, 2, t0=True, t1=True)
    assert steady.last("alarm/t2-frozen")["quality"] == "stale"

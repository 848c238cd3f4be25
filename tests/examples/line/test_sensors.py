"""The sensors feel the faults: right direction, more than noise, with the lag of the physics."""

from __future__ import annotations

import numpy as np
import pytest

from examples.line.faults import FAULTS
from examples.line.sensors import CHANNELS, SensorModel, load, settled

DT_S = 0.1


def _run(seed: int, faults: tuple[str, ...], start_s: float, end_s: float) -> dict[str, float]:
    """Mean readings between two times of a run whose faults are present from the start."""
    model, kept = SensorModel(seed), []
    for step in range(round(end_s / DT_S)):
        readings = model.step(step * DT_S, faults, DT_S)
        if step * DT_S >= start_s:
            kept.append(readings)
    return {name: float(np.mean([readings[name] for readings in kept])) for name in CHANNELS}


def test_the_same_seed_reads_the_same() -> None:
    """Noise is seeded."""
    first, second, other = (SensorModel(seed).step(0.0, (), DT_S) for seed in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_moves_exactly_its_readings(fault: str) -> None:
    """After settling, the change has the stated sign and size; readings without a signature stay."""
    rest, faulty = _run(1, (), 70, 112), _run(1, (fault,), 70, 112)
    for name, channel in CHANNELS.items():
        stated = FAULTS[fault].signature.get(name, 0.0)
        assert faulty[name] - rest[name] == pytest.approx(stated, abs=0.05 + 0.02 * abs(stated))
        assert stated == 0 or abs(stated) > 3 * channel.noise


def test_temperature_and_pressure_lag_behind_current() -> None:
    """One second after a fault the motor current has moved, the temperature and the pressure have not yet."""
    model, calm = SensorModel(3), SensorModel(3)
    for step in range(10):
        faulty = model.step(step * DT_S, ("misaligned_part", "oil_leak"), DT_S)
        normal = calm.step(step * DT_S, (), DT_S)
    assert faulty["motor_current_a"] - normal["motor_current_a"] > 1.2
    assert 0 < faulty["temperature_c"] - normal["temperature_c"] < 1.5
    assert -0.6 < faulty["pressure_bar"] - normal["pressure_bar"] < 0


def test_a_fault_that_goes_leaves_no_trace() -> None:
    """The readings return to rest."""
    model, calm = SensorModel(4), SensorModel(4)
    for step in range(1600):
        faults = ("pitting", "oil_leak") if step < 400 else ()
        after, never = model.step(step * DT_S, faults, DT_S), calm.step(step * DT_S, (), DT_S)
    assert all(abs(after[name] - never[name]) < 0.01 for name in CHANNELS)


def test_severity_scales_and_faults_add() -> None:
    """Half a fault moves half as far; two faults move by the sum."""
    vibration = CHANNELS["vibration_mm_s"].rest
    one = settled("vibration_mm_s", {"misaligned_part": 1.0}) - vibration
    assert settled("vibration_mm_s", {"misaligned_part": 0.5}) - vibration == pytest.approx(one / 2)
    both = settled("vibration_mm_s", {"misaligned_part": 1.0, "pitting": 1.0})
    assert both - vibration == pytest.approx(one + FAULTS["pitting"].signature["vibration_mm_s"])


def test_step_width_does_not_change_where_it_settles() -> None:
    """10 Hz and 50 Hz sampling see the same machine."""
    coarse, fine = SensorModel(5), SensorModel(5)
    for step in range(100):
        slow = coarse.step(step * 0.1, ("oil_leak",), 0.1)
    for step in range(500):
        fast = fine.step(step * 0.02, ("oil_leak",), 0.02)
    assert slow["pressure_bar"] == pytest.approx(fast["pressure_bar"], abs=0.15)


def test_bad_steps_are_refused() -> None:
    """Time must move on and faults must exist."""
    model = SensorModel(0)
    for dt_s in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="dt_s"):
            model.step(0.0, (), dt_s)
    with pytest.raises(KeyError):
        model.step(0.0, ("sadness",), DT_S)


def test_load_is_bounded() -> None:
    """The load cycle stays within what the channels are scaled for."""
    assert max(abs(load(t / 10)) for t in range(1000)) <= 0.15

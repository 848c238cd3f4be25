"""A bound that is kept is called broken in one plant of twenty at most, ever; one that is not kept is found soon."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edge.errors import RejectedInput
from edge.health.overbound import LIMIT, MAX_SLOTS, SLOTS_PER_ALARM, BoundTest

DAY = 86_400_000_000_000
SLOT = DAY // SLOTS_PER_ALARM
PLANTS = 300
SLOTS = 400  # 40 times the mean time between two alarms
ALLOWED = 24  # of 300 plants at 1 in 20: more would have a probability of 1 %


def crossing(alarms: np.ndarray[Any, np.dtype[np.int64]]) -> int | None:
    """The slot in which a plant's test first says that its bound is broken, from the alarms of each slot; None: never."""
    test, number = BoundTest(DAY), 0
    for slot, count in enumerate(alarms):
        for _ in range(count):
            number += 1
            test.count(f"o{number}")
        if test.stake >= LIMIT:
            return slot
        test.advance(SLOT)
    return None


def false_crossings(plants: np.ndarray[Any, np.dtype[np.int64]]) -> int:
    """How many of the plants [n, slots] are called broken."""
    return sum(crossing(alarms) is not None for alarms in plants)


def test_independent_false_alarms_at_the_bound_break_it_in_one_plant_of_twenty_at_most() -> None:
    """Alarms come as they like, one a day on average as promised, and somebody looks at every moment."""
    plants = np.random.default_rng(1).poisson(1.0 / SLOTS_PER_ALARM, (PLANTS, SLOTS))
    assert false_crossings(plants) <= ALLOWED


def test_bursts_within_a_slot_do_not_break_a_bound_that_holds_on_average() -> None:
    """One bad hour raises five alarms, every fifth day or so: five bets of one slot are one bet."""
    plants = 5 * np.random.default_rng(2).poisson(0.2 / SLOTS_PER_ALARM, (PLANTS, SLOTS))
    assert false_crossings(plants) <= ALLOWED


def autocorrelated(rng: np.random.Generator, slots: int, samples: int, memory: float) -> Any:
    """Exceedances of a slowly moving normal score [slots]: clusters, each of them one alarm."""
    noise = rng.standard_normal(slots * samples) * np.sqrt(1.0 - memory**2)
    score = np.empty(slots * samples)
    level = rng.standard_normal()
    for index, step in enumerate(noise):
        level = memory * level + step
        score[index] = level
    above = score > 2.2
    raised = above & ~np.roll(above, 1)
    return raised.reshape(slots, samples).sum(axis=1)


def test_autocorrelated_normal_data_keep_the_bound_after_blocking() -> None:
    """Scores with a memory of ten samples, slots of two hundred: the bound is set to what they do on average, and holds."""
    rng = np.random.default_rng(3)
    plants = np.array([autocorrelated(rng, 80, 200, 0.9) for _ in range(120)])
    rate = plants.mean()
    scaled = rng.binomial(
        plants, min(1.0, 1.0 / SLOTS_PER_ALARM / rate)
    )  # thinned to the bound; clusters stay clusters
    assert 0.08 < scaled.mean() < 0.12
    assert false_crossings(scaled) <= 12


@pytest.mark.parametrize(("times", "within_days"), [(3, 9), (5, 4), (20, 1)])
def test_a_bound_that_is_not_kept_is_found_soon(times: int, within_days: float) -> None:
    """Half of the plants are found within so many times the promised distance."""
    plants = np.random.default_rng(times).poisson(times / SLOTS_PER_ALARM, (60, SLOTS))
    found = sorted(SLOTS if (slot := crossing(alarms)) is None else slot for alarms in plants)
    assert found[30] <= within_days * SLOTS_PER_ALARM


def test_a_change_after_a_quiet_year_is_found_too() -> None:
    """What was earned by silence is not spent: bets begin anew in every slot."""
    test = BoundTest(DAY)
    for _ in range(365 * SLOTS_PER_ALARM):
        test.advance(SLOT)
    days = 0
    while test.stake < LIMIT:
        days += 1
        for alarm in range(5):
            test.count(f"{days}-{alarm}")
            test.advance(DAY // 5)
    assert days <= 8


def test_a_true_alarm_does_not_count_and_a_label_can_change() -> None:
    """Until somebody says otherwise an alarm is a false one; the same occurrence counts once."""
    test = BoundTest(DAY)
    for number in range(4):
        for _ in range(2):
            test.count(f"o{number}")
        test.advance(3 * SLOT)
    alone, high = BoundTest(DAY), test.stake
    alone.advance(12 * SLOT)
    assert test.alarms == 4
    for number in range(4):
        test.label(f"o{number}", valid=True)
        test.label(f"o{number}", valid=True)
    assert test.alarms == 0
    assert test.stake == pytest.approx(alone.stake)
    for number in range(4):
        test.label(f"o{number}", valid=False)
    assert test.stake == pytest.approx(high)
    test.label("unknown", valid=True)
    assert test.stake == pytest.approx(high)


def test_memory_is_bounded_and_what_left_it_still_counts() -> None:
    """Slots that are forgotten are in the stakes; their labels come too late."""
    test = BoundTest(DAY)
    test.count("early")
    for number in range(3 * MAX_SLOTS):
        test.advance(SLOT)
        test.count(f"o{number}")
    assert len(test.to_dict()["counts"]) == len(test.to_dict()["seen"]) == MAX_SLOTS
    assert test.known_ns == (MAX_SLOTS - 1) * SLOT
    before = test.stake
    test.label("early", valid=True)
    test.label("o600", valid=True)
    assert test.stake == before >= LIMIT


def test_a_restart_goes_on_and_another_bound_begins_anew() -> None:
    """Through JSON and back nothing changes."""
    test = BoundTest(DAY)
    for number in range(700):
        if number % 3 == 0:
            test.count(f"o{number}")
        test.advance(SLOT)
    test.advance(SLOT // 3)
    kept = json.loads(json.dumps(test.to_dict()))
    again, other = BoundTest(DAY), BoundTest(7 * DAY)
    again.restore(kept)
    other.restore(kept)
    assert other.alarms == 0
    assert again.stake == pytest.approx(test.stake)
    assert (again.alarms, again.known_ns) == (test.alarms, test.known_ns)
    again.label("o699", valid=True)
    test.label("o699", valid=True)
    assert again.stake == pytest.approx(test.stake)


@pytest.mark.parametrize(
    "damage",
    [
        {"counts": []},
        {"counts": [-1]},
        {"counts": "x"},
        {"before": [1.0]},
        {"before": [float("nan")] * 4},
        {"first": -1},
        {"elapsed_ns": DAY},
        {"seen": [["a", 99, True]]},
        {"seen": [1]},
        {"first": None},
    ],
)
def test_what_was_kept_and_makes_no_sense_is_refused(damage: dict[str, Any]) -> None:
    """It is an error that the caller reports, and no number that it shows."""
    with pytest.raises(RejectedInput):
        BoundTest(DAY).restore(BoundTest(DAY).to_dict() | damage)
    with pytest.raises(RejectedInput):
        BoundTest(DAY).restore("nothing")

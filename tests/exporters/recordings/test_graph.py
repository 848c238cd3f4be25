"""The graph scores what the fit does, says which sensor it is, and nothing where nothing is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge.errors import NothingKnown
from exporters.pack.windowed import open_engine
from exporters.recordings.fit import CANDIDATES, Floats, Form, Normal, crossfit, features_of, form_of, states_of
from exporters.recordings.graph import SCORE, SHARE, write_graph
from exporters.recordings.recipe import State, Statistic

LENGTH, SENSORS = 8, ("speed", "flow", "pressure")
FIELDS = {
    "name": "pump", "sensors": SENSORS, "period_ms": 1000.0, "length": LENGTH, "step": 1, "aggregate": "mean", "min_valid": 0.5
}  # fmt: skip


def plant(count: int, *, seed: int = 0, holes: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Windows of a plant with two speeds, flow after speed and pressure after flow, some cells without a value."""
    noise = np.random.default_rng(seed)
    speed = np.where(np.arange(count) % 2 == 0, 10.0, 30.0)[:, None] + noise.normal(0, 0.2, (count, LENGTH))
    flow = 2 * speed + noise.normal(0, 0.5, (count, 1)) + noise.normal(0, 0.1, (count, LENGTH))
    pressure = flow / 4 + noise.normal(0, 0.05, (count, LENGTH))
    values = np.stack([speed, flow, pressure], axis=2).astype(np.float32)
    valid = (noise.random(values.shape) >= holes).astype(np.float32)
    return values * valid, valid


def fitted(kind: str, statistics: tuple[Statistic, ...], state: State | None) -> tuple[Form, Normal, Floats]:
    """A fit over four groups."""
    values, valid = plant(400)
    form = form_of(values, valid, statistics, state, SENSORS)
    features, states = features_of(values, valid, form), states_of(values, valid, form)
    groups = np.repeat(np.array(["a", "b", "c", "d"]), 100)
    found = crossfit(kind, features, states, groups, form)
    return form, found.normal, found.left_out


@pytest.mark.parametrize("kind", CANDIDATES)
@pytest.mark.parametrize("statistics", [("mean",), ("mean", "std", "change")])
@pytest.mark.parametrize("state", [None, State(sensor="speed", edges=(20.0,))])
def test_the_graph_is_the_fit(tmp_path: Path, kind: str, statistics: tuple[Statistic, ...], state: State | None) -> None:  # fmt: skip
    """To rounding, on windows that it was not fitted on, missing cells among them."""
    form, normal, _ = fitted(kind, statistics, state)
    file = tmp_path / "pump.onnx"
    file.write_bytes(write_graph(normal, form, name="pump", length=LENGTH, sensors=3))
    engine = open_engine(file, FIELDS, SCORE, 1)
    values, valid = plant(40, seed=1)
    wanted = normal.score(normal.evidence(features_of(values, valid, form), states_of(values, valid, form)))
    found = [float(engine.run(*pair)[0]) for pair in zip(values, valid, strict=True)]
    assert found == pytest.approx(wanted.tolist(), abs=1e-4)


@pytest.mark.parametrize("kind", CANDIDATES)
def test_a_sensor_that_leaves_its_state_is_flagged_and_named(tmp_path: Path, kind: str) -> None:
    """The flow of the low speed at the high one, which is normal elsewhere."""
    state = State(sensor="speed", edges=(20.0,))
    form, normal, left_out = fitted(kind, ("mean",), state)
    values, valid = plant(2, seed=2, holes=0)
    values[1] = values[1] * [1, 0.7, 1]
    file = tmp_path / "pump.onnx"
    file.write_bytes(write_graph(normal, form, name="pump", length=LENGTH, sensors=3))
    session = onnxruntime.InferenceSession(file)
    score, share = session.run([SCORE, SHARE], {"pump": values[1:], "pump_valid": valid[1:]})
    assert score[0, 0] > normal.score(np.array([np.nanmax(left_out)]))[0] > 0
    assert SENSORS[int(share[0].argmax())] == "flow"
    assert share.sum() == pytest.approx(1.0)


def test_where_the_state_changes_or_was_never_recorded_nothing_is_known(tmp_path: Path) -> None:
    """Not ok, and no fault."""
    form, normal, _ = fitted("states", ("mean",), State(sensor="speed", edges=(20.0, 50.0)))
    assert normal.known.tolist() == [True, True, False]
    file = tmp_path / "pump.onnx"
    file.write_bytes(write_graph(normal, form, name="pump", length=LENGTH, sensors=3))
    engine = open_engine(file, FIELDS, SCORE, 1)
    values, valid = plant(2, seed=3, holes=0)
    changing = np.concatenate([values[0][:4], values[1][:4]])
    for window in (changing, values[1] + 60):
        with pytest.raises(NothingKnown):
            engine.run(window, valid[0])
    gone = valid[0].copy()
    gone[:4, 0] = 0  # what is not there tells no state
    assert 0 <= engine.run(changing * gone, gone)[0] <= 1


def test_a_group_that_is_strange_does_not_widen_what_is_normal() -> None:
    """It is flagged itself, and what the others usually reach stays nearly what it was."""
    noise = np.random.default_rng(0)
    features = noise.normal(0, 1, (900, 1, 2))
    groups = np.repeat(np.array([f"g{number}" for number in range(9)]), 100)
    form = Form(("mean",), np.zeros(2), None, ())
    states = np.zeros(900, np.int64)
    usual = crossfit("states", features, states, groups, form).normal.usual
    features[groups == "g3"] += 40
    found = crossfit("states", features, states, groups, form)
    assert found.left_out[groups == "g3"].min() > 5
    assert (found.normal.usual < usual + np.log(2)).all()


def test_a_group_of_hours_is_held_against_others_as_stretches_of_minutes() -> None:
    """What one reaches in a long time is not what the others must be able to reach."""
    noise = np.random.default_rng(0)
    features = noise.normal(0, 1, (5 * 100 + 4000, 1, 1))
    groups = np.r_[np.repeat(np.array(list("abcde")), 100), np.full(4000, "long")]
    found = crossfit(
        "states", features, np.zeros(len(groups), np.int64), groups, Form(("mean",), np.zeros(1), None, ())
    )
    assert np.exp(found.normal.usual[0, 0]) < 1.3 * np.exp(found.folds["long"].usual[0, 0])


@pytest.mark.parametrize("kind", CANDIDATES)
def test_a_deviation_must_last_through_all_parts_of_a_window(tmp_path: Path, kind: str) -> None:
    """The graph says so as the fit does: half a window of a fault is none, all of it is, and one that turns its side is none."""
    values, valid = plant(400, holes=0)
    form = form_of(values, valid, ("mean",), None, SENSORS, parts=2)
    features, states = features_of(values, valid, form), states_of(values, valid, form)
    normal = crossfit(kind, features, states, np.repeat(np.array(list("abcd")), 100), form).normal
    shown = np.repeat(values[:1], 4, axis=0)
    shown[1, :, 1] += 60
    shown[2, 4:, 1] += 60
    shown[3] = shown[1]
    shown[3, 4:, 1] -= 120
    there = np.ones_like(shown)
    wanted = normal.score(normal.evidence(features_of(shown, there, form), np.zeros(4, np.int64)))
    file = tmp_path / "pump.onnx"
    file.write_bytes(write_graph(normal, form, name="pump", length=LENGTH, sensors=3))
    engine = open_engine(file, FIELDS, SCORE, 1)
    found = [float(engine.run(*pair)[0]) for pair in zip(shown, there, strict=True)]
    assert found == pytest.approx(wanted.tolist(), abs=1e-4)
    assert found[1] > 0.9
    assert max(found[0], found[2], found[3]) < 0.5

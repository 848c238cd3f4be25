"""A recipe of recorded readings: what does not agree in it is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from exporters.recordings.recipe import is_recording, load_recording_recipe

RECIPES = Path(__file__).parents[3] / "examples" / "recipes"
NAMES = ("actuators", "machine_temperature", "pump", "skab")


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_recipes_of_recordings(name: str) -> None:
    """Each with a bound that is a rate a day."""
    assert is_recording(RECIPES / f"{name}.toml")
    assert 0 < load_recording_recipe(RECIPES / f"{name}.toml").fault.per_day <= 288


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('sensor = "speed"', 'sensor = "speeds"', "speeds is none of the sensors"),
        ("edges = [2000]", "edges = [2000, 1000]", "state.edges must ascend"),
        ('id = "flow"', 'id = "speed"', "sensors repeat"),
        ("1 per hour", "often", "must be of the form"),
        ("1 per hour", "0 per hour", "nothing can promise"),
        ("end = 2027-01-05T06:05:00Z", "end = 2027-01-05T05:05:00Z", "before it begins"),
        ("end = 2027-01-05T06:05:00Z", "end = 2027-01-05T06:05:00", "timezone"),
        ('group = "day"', 'group = "unit"', "go together"),
        ('group = "day"', 'group = "unit"\nunit_pattern = "("', "no regular expression"),
        ('group = "day"', 'group = "unit"\nunit_pattern = "a"', "one group in round brackets"),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    """By the key."""
    text = (RECIPES / "pump.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "pump.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load_recording_recipe(tmp_path / "pump.toml")


def test_a_recipe_of_pictures_is_none_and_one_of_wrap_is_sent_there(tmp_path: Path) -> None:
    """Both kinds are given to `build`."""
    assert not is_recording(RECIPES / "line.toml")
    text = 'graph = "pump.onnx"\n' + (RECIPES / "pump.toml").read_text(encoding="utf-8")
    (tmp_path / "pump.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="edge-export wrap"):
        is_recording(tmp_path / "pump.toml")

"""A number in a text counts where it can mean one value only."""

from __future__ import annotations

import pytest

from edge.errors import RejectedInput
from edge.intake.quantity import begins_like_number, quantity_of


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("81.5", "", 81.5), (" -2e3 ", "", -2000.0), ("81.5 °C", "", 81.5), ("81.5%", "", 81.5), ("81.5 %RH", "%RH", 81.5), ("81.5\xa0°C", "°C", 81.5),
        ("81.5 ℃", "°C", 81.5), ("3.2 kW", "kW", 3.2), ("12 m3/h", "m³/h", 12.0), ("12 m³/h", "m3/h", 12.0), ("5 µm", "μm", 5.0), ("9 m/s", " m/s ", 9.0),
    ],
)  # fmt: skip
def test_a_number_with_the_sites_unit_is_read(text: str, unit: str, number: float) -> None:
    """Also one without a unit, and one whose unit no device scales; letters that look alike in Unicode are one."""
    assert quantity_of(text, unit) == number


@pytest.mark.parametrize(
    ("text", "unit", "reason"),
    [
        ("3.2 kW", "W", "wrong_unit"), ("3.2 kW", "", "wrong_unit"), ("81.5 °F", "°C", "wrong_unit"), ("81.5 mbar", "bar", "wrong_unit"),
        ("1,013.2 hPa", "hPa", "not_a_number"), ("81,5", "", "not_a_number"), ("1.234,5", "", "not_a_number"), ("81.5;20.1", "", "not_a_number"),
        ("0x51", "", "not_a_number"), ("12:30", "", "not_a_number"), ("1.2.3", "", "not_a_number"), ("2026-11-30", "", "not_a_number"),
        ("ON", "", "not_a_number"), ("", "", "not_a_number"), ("NaN", "", "not_a_number"), ("١٢", "", "not_a_number"), ("9" * 65, "", "not_a_number"),
        ("1 2", "", "not_a_number"),
    ],
)  # fmt: skip
def test_what_could_mean_another_value_is_refused(text: str, unit: str, reason: str) -> None:
    """A device that sends kW today may send W tomorrow; a comma parts thousands here and decimals there."""
    with pytest.raises(RejectedInput) as refused:
        quantity_of(text, unit)
    assert refused.value.reason == reason


def test_a_comma_and_a_missing_unit_are_explained() -> None:
    """The log says what to change."""
    with pytest.raises(RejectedInput, match="thousands or decimals"):
        quantity_of("1,013.2 hPa", "hPa")
    with pytest.raises(RejectedInput, match="set `unit`"):
        quantity_of("3.2 kW", "")


@pytest.mark.parametrize(("text", "meant"), [("81.5 °C", True), (" -.5V", True), ("ON", False), ("-Infinity", False)])
def test_a_text_that_begins_with_digits_is_meant_as_a_number(text: str, *, meant: bool) -> None:
    """Others are JSON, or nothing."""
    assert begins_like_number(text) is meant


def test_only_a_site_makes_a_word_a_number() -> None:
    """A thermometer that says OFF shows no cold; the log says how to call it a switch."""
    assert [quantity_of(word, "", switch=True) for word in ("ON", "off", " On ")] == [1.0, 0.0, 1.0]
    assert quantity_of("True", "") == 1.0
    with pytest.raises(RejectedInput, match='set format = "switch"'):
        quantity_of("OFF", "")

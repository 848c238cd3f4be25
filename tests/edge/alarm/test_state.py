"""An alarm's specification refuses contradictions, and agrees with the settings it comes from."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge.alarm.machine import AlarmSpec
from edge.alarm.table import Trigger
from edge.errors import ConfigError
from edge.site.alarms import AlarmSettings

TEXTS = {"severity": 500, "message": "m", "operator_action": "o", "consequence": "c"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"severity": 0}, "severity"),
        ({"severity": 1001}, "severity"),
        ({"on_delay_ns": -1}, "negative"),
        ({"re_alarm_ns": -1}, "negative"),
        ({"n": 0}, "n of m"),
        ({"n": 3, "m": 2}, "n of m"),
        ({"m": 1001}, "n of m"),
        ({"latching": True, "auto_ack": True}, "exclude"),
        ({"chatter_count": 1}, "chattering"),
        ({"chatter_window_ns": 0}, "chattering"),
        ({"max_shelve_ns": 1, "chatter_shelve_ns": 2}, "max_shelve"),
    ],
)
def test_a_contradictory_specification_is_refused(changes: dict[str, Any], words: str) -> None:
    """Each contradiction is a configuration error that names the alarm and the trouble."""
    with pytest.raises(ConfigError, match=f"alarm a: .*{words}"):
        AlarmSpec("a", **changes)


@pytest.mark.parametrize(
    ("changes", "clear"),
    [({}, Trigger.CLEAR), ({"latching": True}, Trigger.CLEAR_LATCHING), ({"auto_ack": True}, Trigger.CLEAR_AUTO_ACK)],
)
def test_the_class_chooses_how_it_clears(changes: dict[str, bool], clear: Trigger) -> None:
    """The class of the alarm chooses one of the three CLEAR triggers."""
    assert AlarmSpec("a", **changes).clear is clear


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_of_m": (2, 1)}, "n_of_m"),
        ({"latching": True, "auto_ack": True}, "exclude"),
        ({"max_shelve_s": 1.0, "chatter_shelve_s": 2.0}, "chatter_shelve_s"),
        ({"operator_action": ""}, "operator_action"),
        ({"consequence": ""}, "consequence"),
        ({"severity": 0}, "severity"),
    ],
)
def test_the_settings_refuse_the_same(changes: dict[str, Any], words: str) -> None:
    """What the machine would refuse is refused when the site file is read; so is an alarm without action or consequence."""
    with pytest.raises(ValidationError, match=words):
        AlarmSettings(**(TEXTS | changes))


def test_the_defaults_agree() -> None:
    """The settings' defaults are the specification's."""
    site, spec = AlarmSettings(**TEXTS), AlarmSpec("a")
    assert (site.on_delay_ms * 1e6, site.off_delay_ms * 1e6) == (spec.on_delay_ns, spec.off_delay_ns)
    assert (site.re_alarm_s * 1e9, site.max_shelve_s * 1e9, site.chatter_shelve_s * 1e9) == (
        spec.re_alarm_ns,
        spec.max_shelve_ns,
        spec.chatter_shelve_ns,
    )
    assert (*site.n_of_m, site.latching, site.auto_ack) == (spec.n, spec.m, spec.latching, spec.auto_ack)

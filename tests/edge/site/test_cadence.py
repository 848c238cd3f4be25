"""`check` says which delays and spans are too short for how often their sensors are sent."""

from __future__ import annotations

from typing import Any

import pytest

from edge.site.cadence import haste
from edge.site.settings import Site

ALARM = {"severity": 500, "message": "m", "operator_action": "a", "consequence": "c"}


def doubts(rule: dict[str, Any], alarm: dict[str, Any], **sensor: object) -> list[str]:
    """What is said of one fault on a sensor that comes every 5 minutes."""
    return list(
        haste(
            Site.model_validate(
                {
                    "node": {"id": "n"},
                    "sensors": [
                        {"id": "t", "period_ms": 300_000.0, "stale_after_ms": 900_000.0, **sensor},
                        {"id": "quick", "period_ms": 1_000.0},
                        {"id": "undeclared"},
                    ],
                    "rules": [{"id": "r", "sensor": "t", "kind": "above", "limit": 1.0, **rule}],
                    "faults": [{"id": "f", "rules": ["r"], "alarm": {**ALARM, **alarm}}],
                }
            )
        )
    )


@pytest.mark.parametrize(
    ("rule", "alarm", "sensor", "said"),
    [
        ({}, {"on_delay_ms": 30_000}, {}, "a single wrong reading raises it"),
        ({"sensor": "quick", "minus": "t"}, {"on_delay_ms": 30_000}, {}, "a single wrong reading raises it"),
        ({"of": "slope", "over_s": 600}, {}, {}, "set over_s to 900"),
        ({"of": "mean", "over_s": 60}, {}, {}, "set over_s to 300"),
        ({}, {}, {"stale_after_ms": 300_000.0}, "it is unknown between two values"),
    ],
)
def test_what_comes_too_soon_is_said(
    rule: dict[str, Any], alarm: dict[str, Any], sensor: dict[str, Any], said: str
) -> None:
    """In a sentence that says what to set."""
    assert [doubt for doubt in doubts(rule, alarm, **sensor) if said in doubt]


@pytest.mark.parametrize(
    ("rule", "alarm"),
    [
        ({}, {}),
        ({}, {"on_delay_ms": 300_000}),
        ({}, {"on_delay_ms": 30_000, "n_of_m": [2, 3]}),
        ({"sensor": "quick"}, {"on_delay_ms": 30_000}),
        ({"sensor": "undeclared", "of": "slope", "over_s": 1}, {"on_delay_ms": 1}),
        ({"of": "slope", "over_s": 900}, {}),
    ],
)
def test_what_is_long_enough_needs_no_word(rule: dict[str, Any], alarm: dict[str, Any]) -> None:
    """No delay asks for none; n of m holds back single readings; of an undeclared period nothing is known."""
    assert doubts(rule, alarm) == []


def test_a_flag_without_alarm_has_no_delay() -> None:
    """Nothing is raised, so nothing is raised too soon."""
    ours = Site.model_validate(
        {
            "node": {"id": "n"},
            "sensors": [{"id": "t", "period_ms": 100.0}],
            "rules": [{"id": "r", "sensor": "t", "kind": "above", "limit": 1.0}],
            "faults": [{"id": "f", "rules": ["r"]}],
        }
    )
    assert list(haste(ours)) == []

"""A rule whose settings contradict each other is refused with what to set instead."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge.plan import resolve_rules
from edge.site.rules import RuleSettings
from edge.site.settings import Site
from edge.verdict.origin import Join
from edge.verdict.window import Statistic

S = 1_000_000_000


def rule(**fields: Any) -> RuleSettings:
    """A rule on sensor `t`."""
    return RuleSettings.model_validate({"id": "r", "sensor": "t", "kind": "above", **fields})


def site(*rules: dict[str, Any], unit: str = "") -> Site:
    """A site of two sensors with these rules."""
    return Site.model_validate(
        {
            "node": {"id": "n"},
            "sensors": [{"id": "t", "unit": unit}, {"id": "u", "stale_after_ms": 2000.0, "frozen_after_ms": 9000.0}],
            "rules": list(rules),
            "faults": [{"id": "f", "rules": [rules[0]["id"]]}],
        }
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "needs limit"),
        ({"kind": "outside"}, r"needs limits = \[low, high\]"),
        ({"kind": "outside", "limit": 1.0}, "needs limits"),
        ({"limits": (1.0, 2.0)}, "needs limit"),
        ({"limit": 1.0, "vibration_zone": "medium/C"}, "exclude each other"),
        ({"kind": "outside", "limits": (2.0, 1.0)}, "the lower first"),
        ({"kind": "below", "vibration_zone": "medium/C"}, "where a zone begins"),
        ({"vibration_zone": "medium/A"}, "classes are small, medium"),
        ({"vibration_zone": "group-9/B"}, "classes are small, medium"),
        ({"kind": "bit_set", "limit": 0.5}, "is no bit"),
        ({"limit": 1.0, "over_s": 5.0}, "name one"),
        ({"limit": 1.0, "of": "mean"}, "set over_s"),
        ({"limit": 1.0, "of": "mean", "over_s": 0.01}, "over_s"),
        ({"kind": "rise", "limit": 1.0, "of": "mean", "over_s": 5.0}, "of = 'slope'"),
        ({"limit": 1.0, "minus": "u", "divided_by": "u"}, "choose one"),
        ({"limit": 1.0, "minus": "t"}, "with itself"),
        ({"limit": 1.0, "settle_s": 5.0}, "counts from when"),
    ],
)
def test_a_contradiction_is_named(fields: dict[str, Any], said: str) -> None:
    """Each says what to change."""
    with pytest.raises(ValidationError, match=said):
        rule(**fields)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([{"limit": 1.0, "minus": "w"}], "reads sensor 'w'"),
        ([{"limit": 1.0, "when": ["gone"]}], "waits for rule 'gone'"),
        ([{"limit": 1.0, "when": ["r"]}], "waits for others itself"),
        ([{"vibration_zone": "medium/C"}], "has unit = ''"),
    ],
)
def test_what_a_rule_names_must_be_there_and_fit(rules: list[dict[str, Any]], said: str) -> None:
    """A second sensor, a gate that is not gated itself, a sensor in the unit of the zones."""
    with pytest.raises(ValidationError, match=said):
        site(*({"id": "r", "sensor": "t", "kind": "above", **fields} for fields in rules))


def test_every_setting_reaches_the_rule_that_runs() -> None:
    """Spans in ns, the second sensor with its own times, gates first."""
    found = resolve_rules(
        site(
            {
                "id": "drop", "sensor": "t", "divided_by": "u", "kind": "outside", "limits": [0.5, 2.0], "of": "mean",
                "over_s": 60.0, "min_known": 0.8, "when": ["running"], "settle_s": 10.0, "deadband": 0.1,
            },
            {"id": "running", "sensor": "u", "kind": "above", "limit": 1.0},
        )
    )  # fmt: skip
    assert list(found) == ["running", "drop"]
    spec = found["drop"].spec
    assert (spec.limit, spec.high, spec.deadband) == (0.5, 2.0, 0.1)
    assert (spec.of, spec.over_ns, spec.min_known) == (Statistic.MEAN, 60 * S, 0.8)
    assert (spec.when, spec.settle_ns, spec.join) == (("running",), 10 * S, Join.RATIO)
    assert spec.other is not None
    assert (spec.other.sensor, spec.other.stale_after_ns, spec.other.frozen_after_ns) == ("u", 2 * S, 9 * S)
    assert not found["drop"].applies(0) or found["drop"].evidence(0).score is None


def test_a_vibration_zone_is_the_limit_where_it_begins() -> None:
    """In mm/s RMS, for a sensor in that unit."""
    ours = site({"id": "r", "sensor": "t", "kind": "above", "vibration_zone": "group-2-rigid/D"}, unit="mm/s")
    assert resolve_rules(ours)["r"].spec.limit == 4.5
    minus = site({"id": "r", "sensor": "t", "kind": "above", "limit": 1.0, "minus": "u"})
    assert resolve_rules(minus)["r"].spec.join is Join.DIFFERENCE

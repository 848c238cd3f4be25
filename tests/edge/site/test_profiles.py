"""The profiles of a site file: what contradicts itself is refused when the file is read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge.site.profiles import profile_named
from edge.site.settings import Site

BASE: dict[str, Any] = {
    "bundle": "b",
    "node": {"id": "press7"},
    "cameras": ({"id": "cam"},),
    "sensors": ({"id": "oil"},),
    "rules": (
        {"id": "hot", "sensor": "oil", "kind": "above", "limit": 80},
        {"id": "off", "sensor": "oil", "kind": "outside", "limits": (1, 9)},
        {"id": "bit", "sensor": "oil", "kind": "bit_set", "limit": 3},
    ),
    "faults": ({"id": "cap", "camera": "cam"}, {"id": "heat", "rules": ("hot",)}),
}


def site(*profiles: dict[str, Any], **changes: Any) -> Site:
    """A site with these profiles."""
    return Site.model_validate(BASE | {"profiles": profiles} | changes)


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ([{"id": "a"}, {"id": "a"}], "two profiles are called 'a'"),
        ([{"id": "a", "called": ["7"]}, {"id": "b", "called": ["7"]}], "two profiles are called '7'"),
        ([{"id": "a", "called": ["b"]}, {"id": "b"}], "two profiles are called 'b'"),
        (
            [{"id": "a", "faults": ["rust"]}],
            r"profile a names faults \['rust'\], which are not among \['cap', 'heat'\]",
        ),
        ([{"id": "a", "thresholds": {"rust": 0.5}}], r"names faults \['rust'\]"),
        ([{"id": "a", "faults": ["heat"], "thresholds": {"cap": 0.5}}], r"thresholds for \['cap'\], which do not hold"),
        ([{"id": "a", "limits": {"cold": 1}}], r"limits for rules \['cold'\], which are not among"),
        ([{"id": "a", "limits": {"off": 1}}], r"\['off'\], which have no single `limit`"),
        ([{"id": "a", "limits": {"bit": 1}}], r"\['bit'\]"),
        ([{"id": "a", "thresholds": {"cap": 1.5}}], "less than or equal to 1"),
    ],
)
def test_contradictions_are_refused(profiles: list[dict[str, Any]], words: str) -> None:
    """Each with what is wrong and what there is."""
    with pytest.raises(ValidationError, match=words):
        site(*profiles)


def test_a_profile_is_found_by_its_id_and_by_what_the_plant_calls_it() -> None:
    """And holds all faults unless it names some."""
    made = site({"id": "a", "called": ["a", "12"]}, {"id": "b", "faults": ["cap"], "limits": {"hot": 70}})
    found = [profile_named(made.profiles, word) for word in ("a", "12", "b", "c")]
    assert [None if one is None else one.id for one in found] == ["a", "a", "b", None]
    assert [[one.holds(fault) for fault in ("cap", "heat")] for one in made.profiles] == [[True, True], [True, False]]


def test_the_topic_of_the_product_is_an_input() -> None:
    """It may be read; without profiles it would say nothing."""
    assert "plc/recipe" in site({"id": "a"}, changeover={"topic": "plc/recipe"}).input_topics()
    with pytest.raises(ValidationError, match=r"there are no \[\[profiles\]\]"):
        site(changeover={"topic": "plc/recipe"})

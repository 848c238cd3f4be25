"""Words and facts of the domains agree with each other."""

from __future__ import annotations

from random import Random

import pytest

from examples.training.common import words
from examples.training.common.facts import truth


@pytest.mark.parametrize("concept", words.CONCEPTS)
def test_every_concept_can_be_named(concept: str) -> None:
    """Each concept has phrases, and a claim about it claims just that."""
    assert words.nouns(concept)
    assert words.claim(concept, Random(0)).claims == {concept}


def test_no_fault_means_normal() -> None:
    """A picture without a fault is normal; with one it is known not to be."""
    assert "normal" in words.facts("ground", frozenset())
    assert "!normal" in words.facts("ground", frozenset({"hole"}))


def test_an_unknown_fault_leaves_the_normal_state_open() -> None:
    """When nobody knows whether a fault is there, the picture is neither normal nor not."""
    facts = words.facts("line", frozenset(), frozenset({"crack"}))
    assert truth(frozenset({"normal"}), facts) == -1
    assert truth(frozenset({"crack"}), facts) == -1


@pytest.mark.parametrize("domain", words.DOMAINS)
def test_domains_exclude_each_other(domain: str) -> None:
    """A text that names what another domain shows is false here."""
    facts = words.facts(domain, frozenset())
    for other in words.DOMAINS:
        assert truth(frozenset({f"domain:{other}"}), facts) == (other == domain)


def test_a_mirror_swaps_places_only() -> None:
    """Left and right as places change sides; an object that was left behind stays."""
    assert words.mirrored("a crack in the lower left") == "a crack in the lower right"
    assert words.mirrored("an object left behind on the right") == "an object left behind on the left"
    assert words.mirrored("something was left on the gear") == "something was left on the gear"

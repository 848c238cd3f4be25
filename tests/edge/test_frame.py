"""The nouns of a frame's path: how qualities rank, and that nothing of a frame changes on its way."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from edge.frame import Evidence, Frame, Quality, Reading, Stamps, Verdict, worst

NOUNS = [
    Frame("cam", 1, b"", 0, 0, 1),
    Reading("pressure", 1.0, 0),
    Stamps(0, 1, 2, 3, 4),
    Evidence(Verdict.UNKNOWN, None, Quality.STALE),
]


def test_qualities_rank_from_good_to_bad() -> None:
    """The order in which they are listed is the order of distrust."""
    assert [quality.rank for quality in Quality] == [0, 1, 2, 3]


def test_the_worst_of_some_is_the_least_trusted_whatever_their_order() -> None:
    """Two sources make one fault no better than the worse of them; nothing said nothing bad."""
    for qualities in itertools.permutations(Quality, 3):
        assert worst(*qualities).rank == max(quality.rank for quality in qualities)
    assert worst() is Quality.GOOD


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: type(noun).__name__)
def test_nothing_changes_on_its_way(noun: object) -> None:
    """Stages hand on; whoever wants another value makes another noun."""
    assert dataclasses.is_dataclass(noun)
    name = dataclasses.fields(noun)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(noun, name, None)

"""Tests of ground truth against flags: what counts as flagged, as missed and as false."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from edge.frame import Verdict
from examples.demo.match import Episode, Sample, episodes, match
from examples.line.line import Injection

FAULT, OK, UNKNOWN = Verdict.FAULT, Verdict.OK, Verdict.UNKNOWN
CRACK = Injection("crack", 20, 30, 2.0, 3.0)
RUST = Injection("rust", 60, 70, 6.0, 7.0)
TRUTH = {"crack": frozenset({"crack"}), "rust": frozenset({"rust"})}


def said(*verdicts: tuple[float, Verdict], score: float | None = None) -> list[Sample]:
    """Samples at their times."""
    return [Sample(t_s, verdict, score) for t_s, verdict in verdicts]


def test_an_episode_is_an_unbroken_stay_at_fault() -> None:
    """Ok ends an episode, and the next fault begins another one; its peak is its highest score."""
    samples = [
        Sample(0.0, OK, 0.1),
        Sample(1.0, FAULT, 0.6),
        Sample(2.0, FAULT, 0.9),
        Sample(3.0, OK, 0.2),
        Sample(4.0, FAULT, None),
    ]
    assert episodes("crack", samples) == [Episode("crack", 1.0, 2.0, 0.9), Episode("crack", 4.0, 4.0, None)]


def test_a_blip_of_ok_does_not_make_two_episodes_of_one() -> None:
    """Stays less than the gap apart are one."""
    flicker = said((1.0, FAULT), (1.2, OK), (1.4, FAULT), (2.0, OK), (2.2, FAULT))
    assert [(episode.start_s, episode.end_s) for episode in episodes("crack", flicker)] == [(1.0, 1.4), (2.2, 2.2)]


def test_unknown_neither_begins_nor_ends_an_episode() -> None:
    """A blink of the camera in the middle of a fault does not make two of it."""
    assert episodes("crack", said((0.0, UNKNOWN), (1.0, FAULT), (2.0, UNKNOWN), (3.0, FAULT))) == [
        Episode("crack", 1.0, 3.0, None)
    ]


@pytest.mark.parametrize(
    ("flag_s", "delay_s"),
    [(1.9, None), (2.0, 0.0), (2.4, 0.4), (3.0, 1.0), (3.5, 1.5), (3.6, None)],
)
def test_flagged_means_at_fault_between_the_first_frame_and_the_grace_after_the_last(
    flag_s: float, delay_s: float | None
) -> None:
    """One sample inside the interval suffices; before it and after the grace none does."""
    (outcome,) = match([CRACK], {"crack": said((flag_s, FAULT))}, {"crack": TRUTH["crack"]}, grace_s=0.5).outcomes
    assert outcome.flagged == (delay_s is not None)
    assert outcome.delay_s == pytest.approx(delay_s) if delay_s is not None else outcome.delay_s is None


def test_a_fault_that_nobody_flagged_is_missed() -> None:
    """Silence, ok and unknown are all misses."""
    samples: list[Sequence[Sample]] = [[], said((2.5, OK)), said((2.5, UNKNOWN))]
    for each in samples:
        found = match([CRACK], {"crack": each}, {"crack": TRUTH["crack"]}, grace_s=0.5)
        assert (found.flagged, len(found.outcomes), found.false) == (0, 1, ())


def test_a_flag_without_its_fault_is_false_and_a_wrong_name_when_another_fault_is_there() -> None:
    """The same flag is false on a good part, and false with a wrong name on a part with another fault."""
    flags = {"crack": said((0.5, FAULT), (1.2, OK), (6.5, FAULT))}
    found = match([CRACK, RUST], flags, TRUTH, grace_s=0.5)
    assert [(episode.start_s, other) for episode, other in found.false] == [(0.5, False), (6.5, True)]
    assert found.flagged == 0


def test_an_episode_that_touches_its_interval_is_not_false_however_long_it_is() -> None:
    """A flag that came early and stayed counts for the fault, not against the channel."""
    flags = {"crack": said((1.0, FAULT), (2.0, FAULT), (9.0, FAULT))}
    found = match([CRACK], flags, {"crack": TRUTH["crack"]}, grace_s=0.5)
    assert (found.flagged, found.false) == (1, ())


def test_one_channel_may_be_true_for_several_faults() -> None:
    """A vibration channel answers for every fault that shakes the machine."""
    truth = {"vibration": frozenset({"crack", "rust"})}
    found = match([CRACK, RUST], {"vibration": said((2.5, FAULT), (4.0, OK), (6.5, FAULT))}, truth, grace_s=0.5)
    assert (found.flagged, len(found.outcomes), found.false) == (2, 2, ())


def test_faults_that_were_never_shown_are_not_missed() -> None:
    """When the run is broken off, only what had begun counts."""
    found = match([CRACK, RUST], {}, TRUTH, grace_s=0.5, until_s=5.0)
    assert [outcome.injection for outcome in found.outcomes] == [CRACK]


def test_a_match_can_be_narrowed_to_channels() -> None:
    """The table's rows are the whole match, channel by channel."""
    flags = {"crack": said((0.5, FAULT)), "rust": said((6.5, FAULT))}
    found = match([CRACK, RUST], flags, TRUTH, grace_s=0.0)
    assert (found.of(["rust"]).flagged, len(found.of(["rust"]).false)) == (1, 0)
    assert (found.of(["crack"]).flagged, len(found.of(["crack"]).false)) == (0, 1)

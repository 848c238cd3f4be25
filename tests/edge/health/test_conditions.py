"""The daemon's own conditions are evidence like any other: a fault, no fault, or not known, with a quality."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from edge.frame import Evidence, Quality, Verdict
from edge.health.conditions import DUPLICATE_NS, adrift, denied, duplicate_client, lateness, silence, unsafe

FAULT = Evidence(Verdict.FAULT, 1.0, Quality.GOOD)
OK = Evidence(Verdict.OK, 0.0, Quality.GOOD)
NOT_YET = Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN)
NO_DATA = Evidence(Verdict.UNKNOWN, None, Quality.STALE)


@pytest.mark.parametrize(
    ("age", "uptime", "found"), [(5, 99, OK), (10, 99, OK), (11, 99, FAULT), (None, 10, NOT_YET), (None, 11, FAULT)]
)
def test_a_source_is_silent_when_the_last_thing_is_older_than_allowed(
    age: int | None, uptime: int, found: Evidence
) -> None:
    """One that never said anything is given the same time from the start, and is not called fine meanwhile."""
    assert silence(age, uptime, stale_after_ns=10) == found


@pytest.mark.parametrize(
    ("arrived", "in_budget", "uptime", "found"),
    [
        (None, None, 99, NO_DATA),
        (11, 5, 99, NO_DATA),
        (5, 5, 99, OK),
        (5, 11, 99, FAULT),
        (5, None, 10, NOT_YET),
        (5, None, 11, FAULT),
    ],
)
def test_lateness_needs_frames(arrived: int | None, in_budget: int | None, uptime: int, found: Evidence) -> None:
    """Without frames none can be late: that is the silence's business, and nothing is known here."""
    assert lateness(arrived, in_budget, uptime, stale_after_ns=10) == found


@pytest.mark.parametrize(
    ("storage", "set_aside", "found"), [("ok", 0, OK), ("ok", 1, FAULT), ("full", 0, FAULT), ("failing", 2, FAULT)]
)
def test_a_journal_is_safe_on_a_sound_disk_that_lost_nothing(storage: str, set_aside: int, found: Evidence) -> None:
    """A journal that was put aside at the start stays a fault of this run."""
    assert unsafe(storage, set_aside) == found


@pytest.mark.parametrize(("age", "found"), [(None, OK), (0, FAULT), (DUPLICATE_NS, FAULT), (DUPLICATE_NS + 1, OK)])
def test_a_second_client_of_our_name_is_a_fault_until_it_has_been_gone_for_long(
    age: int | None, found: Evidence
) -> None:
    """A twin takes the connection again and again; one that left is forgotten after five minutes."""
    assert duplicate_client(age) == found


@pytest.mark.parametrize(("synchronised", "found"), [(True, OK), (False, FAULT), (None, FAULT)])
def test_a_clock_that_nobody_vouches_for_is_adrift(synchronised: bool | None, found: Evidence) -> None:  # noqa: FBT001
    """Not known is not synchronised."""
    assert adrift(synchronised) == found


@pytest.mark.parametrize(("refused", "found"), [(None, NOT_YET), ([], OK), (["publish edge/v1/a/flag/b"], FAULT)])
def test_a_refusal_is_a_fault_and_no_answer_is_not_known(refused: Sequence[str] | None, found: Evidence) -> None:
    """Before the broker said anything, nothing is known."""
    assert denied(refused) == found

"""What the broker refuses is remembered until it takes it, and said in words that name the rule to mend."""

from __future__ import annotations

import logging

import pytest

from edge.broker.refusal import ANSWERED_NS, FORGET_NS, MAX_TOPICS, Denied, Refusals, RefusedTopics, in_words
from edge.health.conditions import denied

S = 1_000_000_000


def test_a_refused_topic_stands_until_it_is_taken() -> None:
    """Another topic that is taken says nothing of it."""
    topics = RefusedTopics()
    topics.refused("p/alarm/a", 0)
    topics.refused("p/event", 0)
    topics.accepted("p/alarm/b")
    assert topics.now(S) == ("p/alarm/a", "p/event")
    topics.accepted("p/alarm/a")
    assert topics.now(S) == ("p/event",)


def test_a_topic_on_which_nothing_is_said_is_forgotten_while_connected_only() -> None:
    """A snapshot that nobody asks for again; but while the link is down, silence means nothing."""
    topics = RefusedTopics()
    topics.refused("p/snapshot/cam", 0)
    assert topics.now(FORGET_NS) == ("p/snapshot/cam",)
    assert topics.all() == ("p/snapshot/cam",)
    topics.connected(10 * FORGET_NS)
    assert topics.now(11 * FORGET_NS) == ("p/snapshot/cam",)
    assert topics.now(11 * FORGET_NS + 1) == ()


def test_it_remembers_a_bounded_number() -> None:
    """The oldest give way."""
    topics = RefusedTopics()
    for number in range(MAX_TOPICS + 5):
        topics.refused(f"p/flag/{number}", number)
    assert len(topics.now(0)) == MAX_TOPICS
    assert "p/flag/4" not in topics.all()


def test_the_words_name_the_rule_and_not_each_topic() -> None:
    """Kinds of topics below our prefix; a response topic elsewhere is its requester's business."""
    mine = Denied(topics=("p/n/alarm/a", "p/n/alarm/b", "p/n/event", "answers/elsewhere", "p/n2/event"))
    ears = Denied("client n-in (Not authorized)", subscriptions=("p/n/cmd/+ (Not authorized)",))
    assert in_words("p/n", [mine, ears]) == (
        "client n-in (Not authorized)", "alarm/+", "event", "subscription to p/n/cmd/+ (Not authorized)",
    )  # fmt: skip


def test_a_message_that_is_too_long_is_named_with_the_limit_or_with_what_happened() -> None:
    """A broker that names no limit ended the connection instead."""
    told, untold = Denied(oversize=(("p/n/meta", 30_000, 20_000),)), Denied(oversize=(("p/n/alarm/a", 2_000, 0),))
    assert in_words("p/n", [told]) == ("meta of 30000 bytes (it takes 20000)",)
    assert in_words("p/n", [untold])[0].startswith("alarm/+ of 2000 bytes (it ended the connection each time")


def test_nothing_is_known_before_something_was_answered(caplog: pytest.LogCaptureFixture) -> None:
    """An alarm that stood before a restart is not cleared by a broker that was not asked yet; each change is logged once."""
    now = Denied()
    refusals = Refusals("p", [lambda _now_ns: now])
    assert refusals.words(0) is None
    refusals.link_up(S)
    assert refusals.words(S + ANSWERED_NS - 1) is None
    now = Denied(topics=("p/event",))
    with caplog.at_level(logging.INFO):
        assert refusals.words(2 * S) == refusals.words(3 * S) == ("event",)
        now = Denied()
        assert refusals.words(4 * S) is None
        assert refusals.words(S + ANSWERED_NS) == ()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "event: check its access rules" in caplog.text
    refusals.link_down()
    assert refusals.words(10 * S) == ()


@pytest.mark.parametrize(("refused", "verdict"), [(None, "unknown"), ((), "ok"), (("event",), "fault")])
def test_the_evidence_follows(refused: tuple[str, ...] | None, verdict: str) -> None:
    """Not known is not fine."""
    assert denied(refused).verdict.value == verdict

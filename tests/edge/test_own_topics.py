"""Messages on the node's own topics: commands go on, and retained ones show whether another client published there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.broker.refusal import Denied
from edge.health.epoch_witness import WITNESS
from edge.intake.inbox import Inbox
from edge.own_topics import OwnTopics, own_subscriptions
from edge.system.clock import Clock
from edge.wire.envelope import Incoming
from edge.wire.messages import State

PREFIX = "edge/v1/n"


def state(session: str) -> bytes:
    """The state that a client under our client id publishes."""
    return State(online=True, ts="2027-01-15T08:00:00.000Z", session=session, ne107="G", version="1").encode()


class Node:
    """A node's own topics, with everything that they call written down."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.calls: list[Any] = []
        clock = Clock(lambda: 7, lambda: 1_800_000_000_000_000_000, lambda: True)
        self.topics = OwnTopics(
            PREFIX,
            "this-run",
            5,
            clock,
            inbox=self.inbox,
            wake=lambda: None,
            rejected=lambda reason: self.calls.append(("rejected", reason)),
            put_command=lambda incoming: self.calls.append(("command", incoming.topic)),
            give_way=lambda: self.calls.append("give way"),
        )

    def arrive(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """One message below the prefix."""
        self.topics.arrived(Incoming(f"{PREFIX}/{topic}", payload, retained, 0, 0))


@pytest.fixture
def node() -> Node:
    """One."""
    return Node()


def test_a_command_goes_on_and_an_unknown_topic_does_not(node: Node) -> None:
    """A session that the broker kept may still hold subscriptions of an earlier site file."""
    node.arrive("cmd/ack", b"{}")
    node.arrive("in/sensor/oil", b"1")
    assert node.calls == [("command", f"{PREFIX}/cmd/ack")]


def test_a_second_client_under_our_name_is_given_way(node: Node) -> None:
    """It publishes on our state topic; the moment is remembered for the state."""
    node.arrive("state", state("this-run"))
    node.arrive("state", state("another-run"))
    assert node.calls == ["give way"]
    assert node.topics.duplicate_ns == 7


def test_a_state_that_cannot_be_read_is_counted(node: Node) -> None:
    """And it is no second client."""
    node.arrive("state", b"rubbish")
    assert node.calls == [("rejected", "bad_state")]
    assert node.topics.duplicate_ns is None


@pytest.mark.parametrize(("topic", "payload"), [("alarm/red", b""), ("meta", b"{}"), ("state", b"")])
def test_what_another_client_deleted_or_overwrote_is_published_again(node: Node, topic: str, payload: bytes) -> None:
    """And the state says what happened."""
    node.arrive(topic, payload)
    assert node.inbox.take_reconnected()
    assert node.topics.denied(7) != Denied()


def test_an_earlier_run_with_a_higher_epoch_raises_ours(node: Node) -> None:
    """The broker kept an alarm of it; a lower one changes nothing."""
    kept = {"epoch": 9, "id": WITNESS}
    node.arrive(f"alarm/{WITNESS}", json.dumps(kept | {"epoch": 2}).encode(), retained=True)
    assert node.inbox.take_epoch() is None
    node.arrive(f"alarm/{WITNESS}", json.dumps(kept).encode(), retained=True)
    assert node.inbox.take_epoch() == 10
    node.topics.link_down()
    assert not node.inbox.take_reconnected()


def test_everything_that_may_come_is_subscribed() -> None:
    """Commands and retained topics; what another may not read is optional."""
    found = {item.topic.removeprefix(f"{PREFIX}/"): item for item in own_subscriptions(PREFIX)}
    assert {"cmd/+", "state", "alarm/+", "meta"} <= found.keys()
    assert found["cmd/+"].no_retained
    assert found["alarm/+"].optional

"""Routes messages on the node's own topics: commands go to the inference thread; retained ones show whether another client published there.

Called by the thread of the publishing connection. Three things show on the retained topics: a second client under our client id, another client that
deleted or overwrote them, and the epoch of an earlier run, which this run's must exceed.
"""

from __future__ import annotations

from collections.abc import Callable

from edge.broker.overwritten import OverwrittenTopics
from edge.broker.refusal import Denied
from edge.health.duplicate_client import DuplicateClientDetector, state_of
from edge.health.epoch_witness import WITNESS, EpochWitness
from edge.intake.inbox import Inbox
from edge.system.clock import Clock
from edge.wire.envelope import Incoming, Subscription
from edge.wire.message import timestamp
from edge.wire.topics import ALARM, STATE


def own_subscriptions(prefix: str) -> list[Subscription]:
    """Commands, our own state, and those of our retained topics that others may have changed."""
    return [
        Subscription(f"{prefix}/cmd/+", 1, no_retained=True),
        Subscription(STATE.at(prefix), 1),
        *(
            Subscription(f"{prefix}/{path}", 1, no_retained=True, no_local=True, optional=True)
            for path in ("alarm/+", "meta")
        ),
        Subscription(ALARM.at(prefix, WITNESS), 1, optional=True),
    ]


class OwnTopics:
    """Routes each message by its topic.

    Args:
        prefix: ``{root}/{node}``.
        session: id of this run.
        epoch: of this run.
        clock: the two clocks.
        inbox: takes the request to publish everything again, or in a higher epoch.
        wake: has the inference thread look at the inbox.
        rejected: counts a message that cannot be read, by reason.
        put_command: takes a command.
        give_way: leaves the connections to a second client for a while.
    """

    def __init__(
        self,
        prefix: str,
        session: str,
        epoch: int,
        clock: Clock,
        *,
        inbox: Inbox,
        wake: Callable[[], None],
        rejected: Callable[[str], None],
        put_command: Callable[[Incoming], None],
        give_way: Callable[[], None],
    ) -> None:
        self._prefix = prefix
        self._now = clock.monotonic_ns
        self._inbox = inbox
        self._wake = wake
        self._rejected = rejected
        self._put_command = put_command
        self._give_way = give_way
        self._duplicates = DuplicateClientDetector(session, timestamp(clock.wall_ns()))
        self._overwritten = OverwrittenTopics(prefix)
        self._witness = EpochWitness(epoch)
        #: When a second client under our client id last published, monotonic ns; None: never.
        self.duplicate_ns: int | None = None

    def arrived(self, incoming: Incoming) -> None:
        """Take one message; a session that the broker kept may hold subscriptions of an earlier site file, which are ignored."""
        topic, prefix = incoming.topic, self._prefix
        if topic == STATE.at(prefix):
            self._take_state(incoming)
        elif topic == ALARM.at(prefix, WITNESS) and self._is_own_past(incoming):
            return
        elif topic.startswith((f"{prefix}/alarm/", f"{prefix}/meta")):
            self._take_overwritten(incoming)
        elif topic.startswith(f"{prefix}/cmd/"):
            self._put_command(incoming)

    def denied(self, now_ns: int) -> Denied:
        """What other clients changed on our topics, as reasons for the state."""
        return self._overwritten.denied(now_ns)

    def link_down(self) -> None:
        """The connection is lost: what the broker retains comes again with the next one."""
        self._witness.link_down()

    def _take_state(self, incoming: Incoming) -> None:
        """Our own state comes back; another one on our topic may be that of a second client."""
        state = state_of(incoming.payload)
        if not incoming.payload and not incoming.retained:
            self._take_overwritten(incoming)
        elif state is None:
            self._rejected("bad_state")
        if state is not None and self._duplicates.shown_by(state, retained=incoming.retained):
            self.duplicate_ns = self._now()
            self._give_way()

    def _take_overwritten(self, incoming: Incoming) -> None:
        """Another client deleted or overwrote a retained message of this node: publish it again."""
        if self._overwritten.note(incoming.topic, incoming.payload, self._now()):
            self._inbox.reconnect()
            self._wake()

    def _is_own_past(self, incoming: Incoming) -> bool:
        """Whether an alarm is one that we published ourselves: just now, or in an earlier run, whose epoch this run's must exceed."""
        if not incoming.retained:
            return self._witness.is_own(incoming.payload)
        epoch = self._witness.higher(incoming.payload)
        if epoch is not None:
            self._inbox.renumber(epoch)
            self._wake()
        return True

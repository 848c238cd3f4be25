"""The edge node's own connection: one thread that publishes what the daemon hands over, on one MQTT link after another.

Not `edge.broker.connection.Connection`: here each CONNECT packet needs a will of its own, one more bdSeq, perhaps another server, and packets must be made
only when they can be sent, because their numbers may not have gaps. Nothing here is on the path of a frame.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.broker.bounded_client import LinkBrokenError
from edge.broker.credentials import client_id as bound_client_id
from edge.broker.limits import Allowed, BrokerLimits
from edge.broker.link import Link, LinkEvents
from edge.broker.reasons import WRONG_VERSION
from edge.broker.refusal import Denied
from edge.broker.retry import FIRST_PAUSE_S, pause_s
from edge.errors import ConfigError
from edge.publish.entry import AlarmRecord
from edge.site.sections import BrokerSettings
from edge.sparkplug.birth_number import BirthNumber
from edge.sparkplug.metrics import RESULT, Catalogue
from edge.sparkplug.node import REBIRTH, Change, EdgeNode
from edge.system.clock import Clock
from edge.system.internal_errors import InternalErrors
from edge.units import NS_PER_MS, NS_PER_S
from edge.wire.command import Request
from edge.wire.envelope import Incoming, Outgoing
from edge.wire.message import Message
from edge.wire.requests import Reply

POLL_MS = 50  # changes of so long go out together; the fast path is the JSON flag
GOODBYE_NS = 500 * NS_PER_MS
RESUBSCRIBE_NS = 60 * NS_PER_S  # for a subscription that was refused
LIFELESS_NS = 60 * NS_PER_S
HEAD_BYTES = 500  # at most, of a packet before its payload: topic, lengths, flags
MAX_QUEUED = 20_000  # what the daemon published and this thread has not yet taken
MAX_OPEN = 1_000  # commands whose reply is awaited

Queued = Message | AlarmRecord | Catalogue
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Server:
    """One server and what is known of the MQTT version that it supports."""

    settings: BrokerSettings
    version: str | None  # None: to be found out
    allowed: Allowed | None = None  # its limits; None: not known yet

    @classmethod
    def of(cls, settings: BrokerSettings) -> _Server:
        return cls(settings, None if settings.protocol == "auto" else settings.protocol)


class SparkplugConnection:
    """Keeps the edge node on one of its servers, and never blocks or raises into the daemon.

    Args:
        node: the state machine; from `start` on it belongs to this thread.
        catalogue: what messages and commands mean.
        servers: tried in turn; one at a time.
        client_id: unique on each server; see `edge.broker.credentials.client_id` for what is added to it.
        state_dir: where bdSeq is kept; None: it begins again with each start.
        command_topic: first part of our own command topics; a host's commands go the way of all commands.
        put_command: leaves a command for the inference thread.
        run_id: makes request ids that never repeat.
        clock: the two clocks.
        errors: where exceptions go that are faults of this program.
    """

    def __init__(
        self,
        node: EdgeNode,
        catalogue: Catalogue,
        *,
        servers: Sequence[BrokerSettings],
        client_id: str,
        state_dir: Path | None,
        command_topic: str,
        put_command: Callable[[Incoming], None],
        run_id: str,
        clock: Clock,
        errors: InternalErrors | None = None,
    ) -> None:
        self._node = node
        self._catalogue = catalogue
        self._servers = [_Server.of(settings) for settings in servers]
        self._turn = 0
        self._client_id = client_id
        self._bd_seq = BirthNumber(None if state_dir is None else state_dir / "sparkplug.bdseq")
        self._command_topic = command_topic
        self._put_command = put_command
        self._run_id = run_id
        self._clock = clock
        self._errors = errors or InternalErrors(clock.monotonic_ns)
        self._queue: deque[Queued] = deque(maxlen=MAX_QUEUED)
        self._open: OrderedDict[str, tuple[str | None, Request]] = OrderedDict()
        self._orders = 0
        self._limits: BrokerLimits | None = None
        self._thread = threading.Thread(target=self._run, name="sparkplug", daemon=True)
        self._stopping = threading.Event()
        self._wake_fd = -1
        self._turned_ns = clock.monotonic_ns()
        self._refused: str | None = None
        self._rejected_subscriptions: tuple[str, ...] = ()  # subscriptions that are refused
        self._resubscribe_ns = 0
        self.counts: Counter[str] = Counter()

    def put(self, item: Queued) -> None:
        """Take a message of the daemon, or the record of one, or what its messages mean from now on; any thread, never blocks, the oldest are discarded."""
        self._queue.append(item)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Publish what was taken, then the NDEATH, and disconnect."""
        if not self._thread.is_alive():
            return
        self._stopping.set()
        os.eventfd_write(self._wake_fd, 1)
        self._thread.join(timeout_s)

    def ended(self) -> bool:
        """Whether the thread ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def alive(self, now_ns: int) -> bool:
        """Whether the thread lives and turns; a server that is down does not matter."""
        return self._thread.is_alive() and now_ns - self._turned_ns < LIFELESS_NS

    def denied(self, now_ns: int) -> Denied:
        """What the server refuses us now. A refused birth or value is not known: they are QoS 0, which no server answers."""
        del now_ns
        return Denied(subscriptions=self._rejected_subscriptions)

    # --- the thread -------------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                failures = self._live(failures)
            except Exception as error:  # noqa: BLE001 - a fault here must not stop the edge node permanently
                self._count_error("session", error)
                failures += 1
                self._stopping.wait(FIRST_PAUSE_S)
        self._bd_seq.put_back()

    def _live(self, failures: int) -> int:
        """One session and the pause after it; takes and returns how many in a row failed."""
        server = self._servers[self._turn % len(self._servers)]
        try:
            reason = self._one_session(server)
            failures = 0
        except (ConfigError, LinkBrokenError, OSError, ValueError) as error:
            reason = f"{error}"
            failures += 1
        except Exception as error:  # noqa: BLE001 - as above
            self._count_error("session", error)
            reason = "unexpected failure"
            failures += 1
        self._limits = None
        self._turn += 1
        self._node.lost(self._now_ms())
        if reason != self._refused and not self._stopping.is_set():
            _log.warning("sparkplug: %s:%d: %s; retrying", server.settings.host, server.settings.port, reason)
        self._refused = reason
        self._pause(pause_s(server.settings, failures))
        return failures

    def _count_error(self, name: str, error: Exception) -> None:
        self.counts["errors"] += 1
        self._errors.caught(f"sparkplug {name}", error)

    def _pause(self, length_s: float) -> None:
        until_ns = self._clock.monotonic_ns() + round(length_s * NS_PER_S)
        while self._clock.monotonic_ns() < until_ns and not self._stopping.wait(POLL_MS / 1000):
            self._take_queued()

    def _one_session(self, server: _Server) -> str:
        """One CONNECT and what follows; returns why it ended."""
        version = server.version or self._ask_version(server)
        bd_seq = self._bd_seq.prepare()
        link = self._link(server, version, bd_seq)
        try:
            link.connect()
            self._bd_seq.sent()
            while link.open:
                link.turn(POLL_MS)
                self._take_queued()
                if (
                    self._rejected_subscriptions
                    and self._limits is not None
                    and self._turned_ns >= self._resubscribe_ns
                ):
                    self._resubscribe_ns = self._turned_ns + RESUBSCRIBE_NS
                    link.retry_rejected()
                if self._limits is not None and (self._stopping.is_set() or self._node.leaving):
                    return self._leave(link, self._limits)
                if self._stopping.is_set():
                    return "stopped"
                self._send(link)
            return link.outcome.end or "the connection was lost"
        finally:
            server.allowed = link.outcome.allowed
            link.close()

    def _send(self, link: Link) -> None:
        if self._limits is None or not link.writable:
            return
        for packet in self._node.poll(self._now_ms()):
            self._put(link, packet, self._limits)

    def _put(self, link: Link, packet: Outgoing, limits: BrokerLimits) -> None:
        size = len(packet.payload) + HEAD_BYTES
        if size > limits.packet_bytes:
            # Left out, its number would be missing and hosts would request rebirths without end.
            self.counts["too_large"] += 1
            raise LinkBrokenError(f"{packet.topic} has {size} bytes, the server takes {limits.packet_bytes}")
        self.counts["published"] += 1
        link.send(packet, limits)

    def _leave(self, link: Link, limits: BrokerLimits) -> str:
        """Publish the rest, the NDEATH, and a DISCONNECT that has the will published too (MQTT 5)."""
        host_away = self._node.leaving
        self._send(link)
        self._put(link, self._node.farewell(self._now_ms()), limits)
        link.disconnect(with_will=True)
        until_ns = self._clock.monotonic_ns() + GOODBYE_NS
        with contextlib.suppress(LinkBrokenError, OSError, ValueError):
            while link.open and self._clock.monotonic_ns() < until_ns:
                link.turn(POLL_MS)
        return "the primary host is offline" if host_away else "stopped"

    def _link(self, server: _Server, version: str, bd_seq: int) -> Link:
        accepted: list[BrokerLimits] = []
        return Link(
            server.settings,
            version=version,
            probe=False,
            client_id=bound_client_id(self._client_id, server.settings),
            session_expiry_s=0,
            subscriptions=self._node.subscriptions(),
            will=self._node.will(bd_seq),
            wake_fd=self._wake_fd,
            events=LinkEvents(
                connected=accepted.append,
                subscribed=lambda refused: self._subscribed(accepted[-1], refused, bd_seq),
                resubscribed=self._note_refused,
                message=self._received,
                acknowledged=lambda _number, _refusal: None,
                failed=self._count_error,
            ),
            monotonic_ns=self._clock.monotonic_ns,
            wall_ns=self._clock.wall_ns,
            allowed=server.allowed,
        )

    def _ask_version(self, server: _Server) -> str:
        """Find out, under another name and without a will, whether the server supports MQTT 5; see `Link`."""
        link = Link(
            server.settings,
            version="5",
            probe=True,
            client_id=bound_client_id(f"{self._client_id}-probe", server.settings),
            session_expiry_s=0,
            subscriptions=(),
            will=None,
            wake_fd=self._wake_fd,
            events=LinkEvents(
                connected=lambda _limits: None,
                subscribed=lambda _refused: None,
                message=lambda _build: None,
                acknowledged=lambda _number, _refusal: None,
            ),
            monotonic_ns=self._clock.monotonic_ns,
            wall_ns=self._clock.wall_ns,
        )
        try:
            link.connect()
            while link.open and not self._stopping.is_set():
                link.turn(POLL_MS)
                self._take_queued()
        finally:
            server.allowed = link.outcome.allowed
            link.close()
        outcome = link.outcome
        if outcome.proved_5:
            server.version = "5"
        elif outcome.answered and WRONG_VERSION in (outcome.end or ""):
            server.version = "3.1.1"
        elif outcome.answered:
            raise LinkBrokenError(outcome.end or "the server refused us")
        return server.version or "3.1.1"  # it only closed the connection: 3.1.1 once, and ask again the next time

    def _subscribed(self, limits: BrokerLimits, refused: Sequence[str], bd_seq: int) -> None:
        self._note_refused(refused)
        self._limits, self._refused = limits, None
        server = self._turn % len(self._servers)
        self._node.connected(bd_seq, self._now_ms(), server, limits.packet_bytes - HEAD_BYTES)
        where = self._servers[server].settings
        _log.info("sparkplug: connected to %s:%d, bdSeq %d", where.host, where.port, bd_seq)

    def _note_refused(self, refused: Sequence[str]) -> None:
        self._rejected_subscriptions = tuple(refused)
        self._resubscribe_ns = self._clock.monotonic_ns() + RESUBSCRIBE_NS
        if refused:
            _log.error("sparkplug: the server refused %s: check its access rules", ", ".join(refused))

    def _received(self, build: Callable[[], Incoming]) -> None:
        try:
            incoming = build()
        except ValueError:  # the topic is not UTF-8
            self.counts["bad_topic"] += 1
            return
        found = self._node.received(incoming.topic, incoming.payload, retained=incoming.retained)
        if found is None:
            return
        device, order = found
        now_ms = self._now_ms()
        self._orders += 1
        try:
            requests = self._catalogue.requests(device, order, f"sparkplug-{self._run_id}-{self._orders}", now_ms)
        except ValueError as error:  # a value that no command may have
            self.counts["bad_command"] += 1
            self._node.note(Change(device, RESULT, f"refused: {error}"[:200], now_ms))
            return
        for request in requests:
            self._open[request.command.request_id] = (device, request)
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
            topic = f"{self._command_topic}/{request.verb.value}"
            stamps = (incoming.received_ns, incoming.received_wall_ns)
            self._put_command(Incoming(topic, request.command.encode(), False, *stamps))  # noqa: FBT003 - not retained
        if not requests and any(metric.name != REBIRTH for metric in order.metrics):
            names = ", ".join(metric.name for metric in order.metrics)[:200]
            self._node.note(Change(device, RESULT, f"nothing to do for {names}", now_ms))

    def _take_queued(self) -> None:
        self._turned_ns = self._clock.monotonic_ns()
        for _ in range(len(self._queue)):
            item = self._queue.popleft()
            try:
                self._take(item)
            except Exception as error:  # noqa: BLE001 - one message that cannot be encoded must not end the session
                self._count_error("message", error)
            time.sleep(0)  # the inference thread does not wait for the interpreter until all of them are taken

    def _take(self, item: Queued) -> None:
        if isinstance(item, Catalogue):
            self._catalogue = item
            self._node.redefine(item.node, item.devices)
            return
        message = item if isinstance(item, Message) else item.message()
        if isinstance(message, Reply):
            device, request = self._open.pop(message.request_id or "", (None, None))
            changes = self._catalogue.answered(device, request, message, self._now_ms()) if request is not None else []
        else:
            changes = self._catalogue.changes(message)
        for change in changes:
            self._node.note(change)

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // NS_PER_MS

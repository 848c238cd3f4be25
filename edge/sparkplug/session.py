"""The edge node's own connection: one thread that hears what the daemon says, and turns one MQTT link after another.

Not `edge.mqtt.Connection`: here each CONNECT packet needs a will of its own, one more bdSeq, perhaps another server, and packets must be made
only when they can be sent, because their numbers may not have gaps. Nothing here is on the path of a frame.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.clock import Clock
from edge.envelope import Incoming, Outgoing
from edge.errors import ConfigError
from edge.link import WRONG_VERSION, Limits, Link, LinkBrokenError, LinkEvents
from edge.messages import Message, Reply
from edge.refusal import Denied
from edge.sections import BrokerSettings
from edge.sparkplug.metrics import RESULT, Catalogue, Wish
from edge.sparkplug.node import REBIRTH, Change, EdgeNode

POLL_MS = 50  # changes of so long go out together; the fast path is the JSON flag
FIRST_PAUSE_S = 0.5
GOODBYE_NS = 500_000_000
ASK_AGAIN_NS = 60_000_000_000  # for a subscription that was refused
LIFELESS_NS = 60_000_000_000
HEAD_BYTES = 500  # at most, of a packet before its payload: topic, lengths, flags
MAX_HEARD = 20_000  # what the daemon said and this thread has not yet taken
MAX_OPEN = 1_000  # commands whose reply is awaited

Said = Message | Catalogue | Callable[[], Message]
_log = logging.getLogger(__name__)


class BirthNumber:
    """bdSeq: one more for each CONNECT packet, 0 after 255, over restarts too when there is a file.

    A number that was prepared and then not sent, because the server could not be reached, is used the next time. After a kill just then
    nobody knows whether it was sent, so it is passed over: better a number missing than one used twice.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._last = self._read()
        self._prepared: int | None = None

    def prepare(self) -> int:
        """The number for the next CONNECT packet, on the disk before the packet is sent."""
        if self._prepared is None:
            self._prepared = 0 if self._last is None else (self._last + 1) % 256
            self._write(self._prepared)
        return self._prepared

    def sent(self) -> None:
        """The packet with the prepared number has left."""
        self._last, self._prepared = self._prepared, None

    def put_back(self) -> None:
        """Nothing more will be sent: a number that was only prepared is the next start's first."""
        if self._prepared is not None and self._file is not None:
            if self._last is not None:
                self._write(self._last)
            else:
                with contextlib.suppress(OSError):
                    self._file.unlink()
        self._prepared = None

    def _read(self) -> int | None:
        if self._file is None:
            return None
        try:
            number = int(self._file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return number % 256

    def _write(self, number: int) -> None:
        if self._file is None:
            return
        fresh = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with fresh.open("w", encoding="ascii") as file:
                file.write(f"{number}\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._file)
        except OSError as error:
            _log.warning("sparkplug: bdSeq is not on the disk: %s; after a restart it may repeat", error)


@dataclass(slots=True)
class _Server:
    """One server and what is known of the MQTT version that it speaks."""

    settings: BrokerSettings
    version: str | None  # None: to be found out

    @classmethod
    def of(cls, settings: BrokerSettings) -> _Server:
        return cls(settings, None if settings.protocol == "auto" else settings.protocol)


class Session:
    """Keeps the edge node on one of its servers, and never blocks or raises into the daemon.

    Args:
        node: the state machine; from `start` on it belongs to this thread.
        catalogue: what messages and commands mean.
        servers: tried in turn; one at a time.
        client_id: unique on each server.
        state_dir: where bdSeq is kept; None: it begins anew with each start.
        command_topic: first part of our own command topics; a host's commands go the way of all commands.
        put_command: leaves a command for the inference thread.
        run_id: makes request ids that never repeat.
        clock: the two clocks.
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
        self._heard: deque[Said] = deque(maxlen=MAX_HEARD)
        self._open: OrderedDict[str, tuple[str | None, Wish]] = OrderedDict()
        self._orders = 0
        self._limits: Limits | None = None
        self._thread = threading.Thread(target=self._run, name="sparkplug", daemon=True)
        self._stopping = threading.Event()
        self._wake_fd = -1
        self._turned_ns = clock.monotonic_ns()
        self._refused: str | None = None
        self._deaf: tuple[str, ...] = ()  # subscriptions that are refused
        self._ask_again_ns = 0
        self.counts: Counter[str] = Counter()

    def hear(self, said: Said) -> None:
        """Take a message of the daemon, or what builds it, or what its messages mean from now on; any thread, never blocks, the oldest give way."""
        self._heard.append(said)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Say what was heard, then the NDEATH, and disconnect."""
        if not self._thread.is_alive():
            return
        self._stopping.set()
        os.eventfd_write(self._wake_fd, 1)
        self._thread.join(timeout_s)

    def alive(self, now_ns: int) -> bool:
        """Whether the thread lives and turns; a server that is down does not matter."""
        return self._thread.is_alive() and now_ns - self._turned_ns < LIFELESS_NS

    def denied(self, now_ns: int) -> Denied:
        """What the server refuses us now. A refused birth or value is not known: they are QoS 0, which no server answers."""
        del now_ns
        return Denied(subscriptions=self._deaf)

    # --- the thread -------------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            server = self._servers[self._turn % len(self._servers)]
            try:
                reason = self._one_session(server)
                failures = 0
            except (ConfigError, LinkBrokenError, OSError, ValueError) as error:
                reason = f"{error}"
                failures += 1
            except Exception:  # noqa: BLE001 - a fault here must not make the edge node deaf for ever
                self.counts["errors"] += 1
                _log.exception("sparkplug: unexpected failure, connecting afresh")
                reason = "unexpected failure"
                failures += 1
            self._node.lost(self._now_ms())
            self._limits = None
            if reason != self._refused and not self._stopping.is_set():
                _log.warning("sparkplug: %s:%d: %s; retrying", server.settings.host, server.settings.port, reason)
            self._refused = reason
            self._turn += 1
            self._pause(min(server.settings.reconnect_max_s, FIRST_PAUSE_S * 2.0 ** min(failures, 16)))
        self._bd_seq.put_back()

    def _pause(self, longest_s: float) -> None:
        until_ns = self._clock.monotonic_ns() + round(longest_s * random.uniform(0.5, 1.0) * 1e9)
        while self._clock.monotonic_ns() < until_ns and not self._stopping.wait(POLL_MS / 1000):
            self._take_heard()

    def _one_session(self, server: _Server) -> str:
        """One CONNECT and what follows; returns why it ended."""
        version = server.version or self._ask_version(server)
        bd_seq = self._bd_seq.prepare()
        link = self._link(server.settings, version, bd_seq)
        try:
            link.connect()
            self._bd_seq.sent()
            while link.open:
                link.turn(POLL_MS)
                self._take_heard()
                if self._deaf and self._limits is not None and self._turned_ns >= self._ask_again_ns:
                    self._ask_again_ns = self._turned_ns + ASK_AGAIN_NS
                    link.ask_again()
                if self._limits is not None and (self._stopping.is_set() or self._node.leaving):
                    return self._leave(link, self._limits)
                if self._stopping.is_set():
                    return "stopped"
                self._send(link)
            return link.end or "the connection was lost"
        finally:
            link.close()

    def _send(self, link: Link) -> None:
        if self._limits is None or not link.writable:
            return
        for packet in self._node.poll(self._now_ms()):
            self._put(link, packet, self._limits)

    def _put(self, link: Link, packet: Outgoing, limits: Limits) -> None:
        size = len(packet.payload) + HEAD_BYTES
        if size > limits.packet_bytes:
            # Left out, its number would be missing and hosts would ask for rebirths for ever.
            self.counts["too_large"] += 1
            raise LinkBrokenError(f"{packet.topic} has {size} bytes, the server takes {limits.packet_bytes}")
        self.counts["published"] += 1
        link.send(packet, limits)

    def _leave(self, link: Link, limits: Limits) -> str:
        """Say the rest, the NDEATH, and a DISCONNECT that has the will published too (MQTT 5)."""
        host_away = self._node.leaving
        self._send(link)
        self._put(link, self._node.farewell(self._now_ms()), limits)
        link.say_goodbye(with_will=True)
        until_ns = self._clock.monotonic_ns() + GOODBYE_NS
        with contextlib.suppress(LinkBrokenError, OSError, ValueError):
            while link.open and self._clock.monotonic_ns() < until_ns:
                link.turn(POLL_MS)
        return "the primary host is offline" if host_away else "stopped"

    def _link(self, settings: BrokerSettings, version: str, bd_seq: int) -> Link:
        accepted: list[Limits] = []
        return Link(
            settings,
            version=version,
            probe=False,
            client_id=self._client_id,
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
            ),
            monotonic_ns=self._clock.monotonic_ns,
            wall_ns=self._clock.wall_ns,
        )

    def _ask_version(self, server: _Server) -> str:
        """Find out, under another name and without a will, whether the server speaks MQTT 5; see `Link`."""
        link = Link(
            server.settings,
            version="5",
            probe=True,
            client_id=f"{self._client_id}-probe",
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
                self._take_heard()
        finally:
            link.close()
        if link.proved_5:
            server.version = "5"
        elif link.answered and WRONG_VERSION in (link.end or ""):
            server.version = "3.1.1"
        elif link.answered:
            raise LinkBrokenError(link.end or "the server refused us")
        return server.version or "3.1.1"  # it only closed the connection: 3.1.1 once, and ask again the next time

    def _subscribed(self, limits: Limits, refused: Sequence[str], bd_seq: int) -> None:
        self._note_refused(refused)
        self._limits, self._refused = limits, None
        server = self._turn % len(self._servers)
        self._node.connected(bd_seq, self._now_ms(), server, limits.packet_bytes - HEAD_BYTES)
        where = self._servers[server].settings
        _log.info("sparkplug: connected to %s:%d, bdSeq %d", where.host, where.port, bd_seq)

    def _note_refused(self, refused: Sequence[str]) -> None:
        self._deaf = tuple(refused)
        self._ask_again_ns = self._clock.monotonic_ns() + ASK_AGAIN_NS
        if refused:
            _log.error("sparkplug: the server refused %s: check its access rules", ", ".join(refused))

    def _received(self, build: Callable[[], Incoming]) -> None:
        try:
            incoming = build()
            found = self._node.received(incoming.topic, incoming.payload, retained=incoming.retained)
        except ValueError:  # the topic is not UTF-8
            self.counts["bad_topic"] += 1
            return
        if found is None:
            return
        device, order = found
        now_ms = self._now_ms()
        self._orders += 1
        wishes = self._catalogue.wishes(device, order, f"sparkplug-{self._run_id}-{self._orders}", now_ms)
        for wish in wishes:
            self._open[wish.command.request_id] = (device, wish)
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
            topic = f"{self._command_topic}/{wish.verb.value}"
            stamps = (incoming.received_ns, incoming.received_wall_ns)
            self._put_command(Incoming(topic, wish.command.encode(), False, *stamps))  # noqa: FBT003 - not retained
        if not wishes and any(metric.name != REBIRTH for metric in order.metrics):
            names = ", ".join(metric.name for metric in order.metrics)[:200]
            self._node.note(Change(device, RESULT, f"nothing to do for {names}", now_ms))

    def _take_heard(self) -> None:
        self._turned_ns = self._clock.monotonic_ns()
        for _ in range(len(self._heard)):
            said = self._heard.popleft()
            if isinstance(said, Catalogue):
                self._catalogue = said
                self._node.redefine(said.node, said.devices)
                continue
            message = said if isinstance(said, Message) else said()
            if isinstance(message, Reply):
                device, wish = self._open.pop(message.request_id or "", (None, None))
                changes = self._catalogue.answered(device, wish, message, self._now_ms()) if wish is not None else []
            else:
                changes = self._catalogue.changes(message)
            for change in changes:
                self._node.note(change)
            time.sleep(0)  # the inference thread does not wait for the interpreter until all of them are taken

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000

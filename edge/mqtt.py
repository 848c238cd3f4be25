"""One connection to one broker, kept up for ever: backoff, version fallback, bounded queue, counters.

Frames and flags belong on two connections: with one, Nagle's algorithm in the broker and the kernel's delayed acknowledgement cost 40 ms.
"""

from __future__ import annotations

import logging
import os
import random
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import MappingProxyType

from edge.credentials import try_credentials
from edge.envelope import ConnectionStats, Incoming, Outgoing, Subscription
from edge.errors import ConfigError
from edge.link import TAKEN_OVER, WRONG_VERSION, GiantMessageError, Limits, Link, LinkBrokenError, LinkEvents
from edge.refusal import OF_US, Denied, RefusedTopics
from edge.sections import BrokerSettings

__all__ = ["Connection", "ConnectionStats", "Incoming", "Outgoing", "Subscription"]

MAX_BACKLOG = 1000  # messages accepted by publish() and not yet sent; more are dropped and counted
FIRST_PAUSE_S = 0.5  # between attempts to connect; doubles up to reconnect_max_s
GIVE_WAY_S = 300.0
TWIN_PAUSE_S = 15.0  # after somebody else connected under our name: at once we would steal it back, and so for ever
STABLE_S = 10.0  # a connection that lived so long was no failure: the next pause is short again
LIFELESS_S = 60.0  # longer than a name server that does not answer, a TCP connect and a TLS handshake together
ASK_AGAIN_S = 60.0  # for a subscription that was refused
GOODBYE_S = 0.5  # for the DISCONNECT packet itself to leave
_VERSIONS = {"auto": ("5", "3.1.1"), "5": ("5",), "3.1.1": ("3.1.1",)}

_log = logging.getLogger(__name__)


class Connection:
    """Keeps one MQTT connection up, and never blocks or raises into its user.

    Callbacks run on the network thread: they must only hand over. What they raise is logged, counted and survived.

    Args:
        settings: where and how; files that it names are read again at each attempt, so renewed certificates take effect.
        client_id: unique on the broker; a twin would steal the connection back and forth.
        subscriptions: asked for at each connect.
        on_message: gets every message.
        session_expiry_s: how long the broker is to keep our session while we are away, s; 0: every connection starts clean.
        on_forgotten: called before `on_up` when the broker does not know our session: it lost its memory, or we are new to it.
        on_up: the connection is up and its subscriptions are answered.
        on_down: it was up and is lost; gets the reason.
        on_acknowledged: gets the id that `publish` gave and the monotonic ns of the broker's PUBACK (QoS 1 only).
        will: what the broker publishes for us when we vanish.
        monotonic_ns: clock of all stamps and pauses.
        wall_ns: wall clock of the receipt stamp.

    Raises:
        ConfigError: a certificate, key or password file cannot be used.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str,
        subscriptions: Sequence[Subscription] = (),
        on_message: Callable[[Incoming], None] | None = None,
        session_expiry_s: int = 0,
        on_forgotten: Callable[[], None] | None = None,
        on_up: Callable[[], None] | None = None,
        on_down: Callable[[str], None] | None = None,
        on_acknowledged: Callable[[int, int], None] | None = None,
        will: Outgoing | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        try_credentials(settings)
        self._settings = settings
        self._client_id = client_id
        self._subscriptions = tuple(subscriptions)
        self._user_message = on_message
        self._session_expiry_s = session_expiry_s
        self._user_forgotten = on_forgotten
        self._user_up = on_up
        self._user_down = on_down
        self._user_acknowledged = on_acknowledged
        self._will = will
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns

        self._lock = threading.Lock()  # guards what publish(), stop() and stats() share with the network thread
        self._queue: deque[tuple[int, Outgoing]] = deque()
        self._in_flight: dict[
            int, tuple[int, str]
        ] = {}  # paho's message number -> the id that publish() gave, and the topic
        self._refused_topics = RefusedTopics()
        self._denied_us: str | None = None
        self._deaf: tuple[str, ...] = ()  # subscriptions that are refused
        self._limits: Limits | None = None  # None while not connected
        self._serial = 0
        self._wake_fd = -1
        self._dropped: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._last_message_ns: int | None = None
        self._taken_over_ns: int | None = None
        self._give_way_until_ns = 0
        self._refused: str | None = "not started"

        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._stop_by_ns = 0
        self._ticked_ns = monotonic_ns()

        self._versions = _VERSIONS[settings.protocol]  # from here on the network thread's own
        self._version = self._versions[0]
        self._proved_5 = settings.protocol == "5"  # auto asks first, see Link
        self._asked = self._subscriptions  # by the link that lives
        self._heard: tuple[Subscription, ...] | None = None  # what that link hears; None: not answered yet
        self._ask_again_ns = 0
        self._leaving = False
        self._raised: set[tuple[str, type[Exception]]] = set()

    def start(self) -> None:
        """Begin to connect, and keep trying; returns at once, whether or not the broker is there."""
        if self._thread is not None:
            raise RuntimeError("a Connection starts once")
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._refused = "connecting"
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{self._client_id}", daemon=True)
        self._thread.start()

    def stop(self, last: Sequence[Outgoing] = (), timeout_s: float = 2.0) -> None:
        """Send what is queued and then `last`, wait for the acknowledgements up to `timeout_s`, disconnect cleanly."""
        if self._thread is None:
            return
        with self._lock:
            for message in last:
                self._accept(message, backlog=MAX_BACKLOG + len(last))
            self._stop_by_ns = self._monotonic_ns() + round(timeout_s * 1e9)
            self._stopping.set()
            self._wake()
        self._thread.join(timeout_s + 2 * GOODBYE_S)
        with self._lock:
            if self._wake_fd >= 0 and not self._thread.is_alive():
                os.close(self._wake_fd)
                self._wake_fd = -1

    def publish(self, message: Outgoing) -> int | None:
        """Hand over one message; never blocks, any thread.

        Returns:
            an id that never repeats, or None: it was dropped and counted in `stats().dropped` as ``offline``, ``too_large`` (for this
            broker) or ``backlog`` (the broker is slower than we are).
        """
        with self._lock:
            serial = self._accept(message, backlog=MAX_BACKLOG)
            self._wake()
            return serial

    def resubscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Hear other topics from now on; those that stay are not interrupted. Any thread."""
        with self._lock:
            self._subscriptions = tuple(subscriptions)
            self._wake()

    def give_way(self) -> None:
        """Somebody else uses our name: connect only after long pauses for some minutes, and do not steal it back at once. Any thread."""
        self._give_way_until_ns = self._monotonic_ns() + round(GIVE_WAY_S * 1e9)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection is up."""
        return self._limits is not None

    def alive(self, now_ns: int) -> bool:
        """Whether the network thread lives and turns; for a watchdog. A broker that is down does not matter."""
        return self._thread is not None and self._thread.is_alive() and now_ns - self._ticked_ns < LIFELESS_S * 1e9

    def stats(self) -> ConnectionStats:
        """A snapshot of all counters."""
        with self._lock:
            up = self._limits is not None
            return ConnectionStats(
                connected=up,
                protocol=self._version if up else None,
                refused=self._refused,
                connects=self._counts["connects"],
                disconnects=self._counts["disconnects"],
                published=self._counts["published"],
                acknowledged=self._counts["acknowledged"],
                pending=len(self._queue) + len(self._in_flight),
                dropped=MappingProxyType({reason: count for reason, count in self._dropped.items() if count}),
                received=self._counts["received"],
                received_bytes=self._counts["received_bytes"],
                last_message_ns=self._last_message_ns,
                callback_errors=self._counts["callback_errors"],
                taken_over_ns=self._taken_over_ns,
            )

    def denied(self, now_ns: int) -> Denied:
        """What the broker refuses us now; what it refused before the connection was lost stands until it is said again."""
        with self._lock:
            topics = self._refused_topics
            told = topics.now(now_ns) if self._limits is not None else topics.all()
            return Denied(self._denied_us, told, self._deaf)

    def _accept(self, message: Outgoing, *, backlog: int) -> int | None:
        """Queue a message or count why not; the lock is held."""
        if self._limits is None:
            refusal = "offline"
        elif _packet_bytes(message) > self._limits.packet_bytes:
            refusal = "too_large"
        elif len(self._queue) >= backlog:
            refusal = "backlog"
        else:
            self._serial += 1
            self._queue.append((self._serial, message))
            return self._serial
        self._dropped[refusal] += 1
        return None

    def _wake(self) -> None:
        if self._wake_fd >= 0:
            os.eventfd_write(self._wake_fd, 1)

    # From here on: the network thread.

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began_ns = self._monotonic_ns()
            link, reason = self._one_link()
            if link is not None and link.proved_5:
                self._proved_5 = True
                continue
            if link is not None and link.refusal is not None and link.refusal.startswith(OF_US):
                self._denied_us = f"client {self._client_id} ({link.refusal})"
            self._went_down(reason)
            lived_s = (self._monotonic_ns() - began_ns) / 1e9
            failures = 0 if lived_s >= STABLE_S else failures + 1
            if TAKEN_OVER in reason:
                self._taken_over_ns = self._monotonic_ns()
                self.give_way()
            if not self._try_other_version(link):
                self._pause(failures, TWIN_PAUSE_S if self._monotonic_ns() < self._give_way_until_ns else 0.0)

    def _pause(self, failures: int, least_s: float) -> None:
        """Wait before the next attempt: longer each time, and never in step with other devices."""
        pause_s = max(least_s, min(self._settings.reconnect_max_s, FIRST_PAUSE_S * 2.0 ** min(failures, 16)))
        until_ns = self._monotonic_ns() + round(pause_s * random.uniform(0.5, 1.0) * 1e9)
        while (left_ns := until_ns - self._monotonic_ns()) > 0 and not self._stopping.is_set():
            self._ticked_ns = self._monotonic_ns()
            self._stopping.wait(min(left_ns / 1e9, 1.0))

    def _try_other_version(self, link: Link | None) -> bool:
        """After a link ended: whether to retry at once with MQTT 3.1.1.

        A clear refusal settles it for this process. A broker that merely closed the connection gets one attempt with 3.1.1 and then 5 again,
        so that a broker in trouble does not cost us MQTT 5.
        """
        if self._version == "3.1.1":
            self._version = self._versions[0]
            return False
        if "3.1.1" not in self._versions or self._proved_5 or link is None or link.end is None:
            return False  # not allowed, not needed, or the broker was never reached
        if link.answered and WRONG_VERSION not in link.end:
            return False  # refused for another reason
        if link.answered:
            self._versions = ("3.1.1",)
        self._version = "3.1.1"
        return True

    def _one_link(self) -> tuple[Link | None, str]:
        """Connect, serve until the link ends, clean up; returns it and why it ended."""
        link: Link | None = None
        self._ticked_ns = self._monotonic_ns()
        try:
            link = self._fresh_link()
            link.connect()
            while link.open:
                self._ticked_ns = self._monotonic_ns()
                link.turn()
                self._follow(link)
                self._send_queued(link)
                if self._stopping.is_set():
                    self._wind_up(link)
            reason = "stopped" if self._leaving else link.end or "the connection was lost"
        except ConfigError as error:
            reason = str(error)
        except LinkBrokenError as error:
            reason = str(error)
            self._dropped["incoming_too_large"] += isinstance(error, GiantMessageError)
        except (OSError, ValueError) as error:  # TCP and TLS failures; an impossible host name is a ValueError
            reason = _connect_problem(error)
        except Exception as error:  # noqa: BLE001 - a fault in paho or here must not make the daemon deaf
            self._counts["callback_errors"] += 1
            _log.exception("mqtt %s: unexpected failure, connecting afresh", self._client_id)
            reason = f"unexpected {type(error).__name__}"
        if link is not None:
            link.close()
        return link, reason

    def _follow(self, link: Link) -> None:
        """Ask for other topics, once the first ones are answered, and now and then again for those that were refused."""
        if self._heard is not None and self._heard is not self._subscriptions:
            self._heard = self._subscriptions
            link.resubscribe(self._heard)
        if self._deaf and self._heard is not None and self._monotonic_ns() >= self._ask_again_ns:
            self._ask_again_ns = self._monotonic_ns() + round(ASK_AGAIN_S * 1e9)
            link.ask_again()

    def _fresh_link(self) -> Link:
        self._heard, self._asked = None, self._subscriptions
        return Link(
            self._settings,
            version=self._version,
            probe=self._version == "5" and not self._proved_5,
            client_id=self._client_id,
            session_expiry_s=self._session_expiry_s,
            subscriptions=self._asked,
            will=self._will,
            wake_fd=self._wake_fd,
            events=LinkEvents(
                connected=self._went_up,
                subscribed=self._subscribed,
                message=self._received,
                acknowledged=self._acknowledged,
                resubscribed=self._note_refused,
            ),
            monotonic_ns=self._monotonic_ns,
            wall_ns=self._wall_ns,
        )

    def _send_queued(self, link: Link) -> None:
        while self._queue and link.writable:
            with self._lock:
                limits = self._limits
                if limits is None or len(self._in_flight) >= limits.in_flight:
                    return
                serial, message = self._queue.popleft()
            number = link.send(message, limits)
            with self._lock:
                self._counts["published"] += 1
                if number is not None:
                    self._in_flight[number] = (serial, message.topic)

    def _wind_up(self, link: Link) -> None:
        now_ns = self._monotonic_ns()
        late = now_ns >= self._stop_by_ns
        if not self._leaving and link.open and (late or not (self._queue or self._in_flight or not link.writable)):
            self._leaving = True
            link.say_goodbye()
        elif now_ns >= self._stop_by_ns + GOODBYE_S * 1e9:
            raise LinkBrokenError("the broker does not take our goodbye")

    def _went_up(self, limits: Limits) -> None:
        with self._lock:
            self._counts["connects"] += 1
            self._limits, self._refused, self._denied_us = limits, None, None
            self._refused_topics.connected(self._monotonic_ns())
        where = f"{self._settings.host}:{self._settings.port}"
        _log.info("mqtt %s: connected to %s, MQTT %s", self._client_id, where, self._version)

    def _note_refused(self, refused: Sequence[str]) -> None:
        with self._lock:
            changed, self._deaf = tuple(refused) != self._deaf, tuple(refused)
            self._refused = "the broker refused the subscription to " + ", ".join(refused) if refused else None
        self._ask_again_ns = self._monotonic_ns() + round(ASK_AGAIN_S * 1e9)
        if refused and changed:
            _log.error("mqtt %s: %s: check the broker's access rules", self._client_id, self._refused)

    def _subscribed(self, refused: Sequence[str]) -> None:
        self._heard = self._asked
        self._note_refused(refused)
        limits = self._limits
        if self._user_forgotten is not None and limits is not None and not limits.remembered:
            self._call("on_forgotten", self._user_forgotten)
        if self._user_up is not None:
            self._call("on_up", self._user_up)

    def _received(self, build: Callable[[], Incoming]) -> None:
        def deliver() -> None:
            incoming = build()
            with self._lock:
                self._counts["received"] += 1
                self._counts["received_bytes"] += len(incoming.payload)
                self._last_message_ns = incoming.received_ns
            if self._user_message is not None:
                self._user_message(incoming)

        self._call("on_message", deliver)

    def _acknowledged(self, number: int, refusal: str | None) -> None:
        acknowledged_ns = self._monotonic_ns()
        with self._lock:
            sent = self._in_flight.pop(number, None)
            if sent is None:  # QoS 0: written, nothing to wait for
                return
            serial, topic = sent
            if refusal is None:
                self._counts["acknowledged"] += 1
                self._refused_topics.accepted(topic)
            else:
                self._dropped["refused"] += 1
                self._refused_topics.refused(topic, acknowledged_ns)
            first_refusal = refusal is not None and self._dropped["refused"] == 1
        if first_refusal:
            told = f"the broker refused a message on {topic}: {refusal}"
            _log.error("mqtt %s: %s: check its access rules", self._client_id, told)
        user = self._user_acknowledged
        if refusal is None and user is not None:
            self._call("on_acknowledged", lambda: user(serial, acknowledged_ns))

    def _went_down(self, reason: str) -> None:
        with self._lock:
            was_up = self._limits is not None
            self._limits = None
            lost = len(self._queue) + len(self._in_flight)
            self._queue.clear()
            self._in_flight.clear()
            if lost:
                self._dropped["lost"] += lost
            self._counts["disconnects"] += was_up
            changed = reason != self._refused
            self._refused = reason
        if self._leaving:
            _log.info("mqtt %s: disconnected", self._client_id)
        elif was_up or changed:
            note = f"; {lost} messages unconfirmed" if lost else ""
            _log.warning("mqtt %s: %s%s; retrying", self._client_id, reason, note)
        user = self._user_down
        if was_up and user is not None:
            self._call("on_down", lambda: user(reason))

    def _call(self, name: str, callback: Callable[[], None]) -> None:
        """Run a user's callback; each kind of failure is logged once and always counted."""
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - whatever it is, the network thread must live
            with self._lock:
                self._counts["callback_errors"] += 1
            if (name, type(error)) not in self._raised:
                self._raised.add((name, type(error)))
                _log.exception("mqtt %s: %s failed; counted from now on", self._client_id, name)


def _packet_bytes(message: Outgoing) -> int:
    """Upper bound of the PUBLISH packet's size: header 5, topic, message number 2, properties, payload."""
    properties = 4 + 5 + 3 + len((message.content_type or "").encode()) + 3 + len(message.correlation or b"")
    properties += sum(5 + len(name.encode()) + len(value.encode()) for name, value in message.user_properties)
    return 5 + 2 + len(message.topic.encode()) + 2 + properties + len(message.payload)


def _connect_problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is not trusted: {error.verify_message}: check broker.host and broker.tls.ca_file"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}: check that the port speaks TLS and wants our certificate"
    return f"cannot reach the broker: {error}"

"""Keeps one connection to one broker up: connects again after each loss, sends what is queued, hands over what arrives.

Frames and flags belong on two connections: with one, Nagle's algorithm in the broker and the kernel's delayed acknowledgement cost 40 ms.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from edge.broker.bounded_client import GiantMessageError, LinkBrokenError
from edge.broker.connection_state import ConnectionState
from edge.broker.credentials import try_credentials
from edge.broker.limits import BrokerLimits
from edge.broker.link import Link, LinkEvents
from edge.broker.negotiation import Negotiation
from edge.broker.reasons import OF_US, TAKEN_OVER, connect_problem, unexplained
from edge.broker.refusal import Denied
from edge.broker.retry import FIRST_PAUSE_S, pause_s
from edge.broker.send_queue import MAX_BACKLOG
from edge.errors import ConfigError
from edge.site.sections import BrokerSettings
from edge.system.internal_errors import InternalErrors
from edge.units import NS_PER_S
from edge.wire.envelope import ConnectionStats, Incoming, Outgoing, Subscription

GIVE_WAY_S = 300.0
# after another client connected under our id: at once we would take it over again, and so on without end
GIVE_WAY_PAUSE_S = 15.0
STABLE_S = 10.0  # a connection that lived so long was no failure: the next pause is short again
LIFELESS_S = 60.0  # longer than a name server that does not answer, a TCP connect and a TLS handshake together
RETRY_REJECTED_S = 60.0  # for a subscription that was refused
GOODBYE_S = 0.5  # for the DISCONNECT packet itself to leave

_log = logging.getLogger(__name__)


class Connection:
    """Keeps one MQTT connection up by a thread of its own, and never blocks or raises into its user.

    Callbacks run on the network thread: they must only hand over. What they raise is logged, counted and survived.

    Args:
        settings: where and how; files that it names are read again at each attempt, so renewed certificates take effect.
        client_id: unique on the broker; a second client of this id would take the connection back and forth.
        subscriptions: asked for at each connect.
        on_message: gets every message.
        session_expiry_s: how long the broker is to keep our session while we are away, s; 0: every connection starts clean.
        on_session_lost: called before `on_up` when the broker does not know our session: it lost its sessions, or we are new to it.
        on_up: the connection is up and its subscriptions are answered.
        on_down: it was up and is lost; gets the reason.
        on_acknowledged: gets the id that `publish` gave and the monotonic ns of the broker's PUBACK (QoS 1 only).
        will: what the broker publishes for us when the connection is lost.
        monotonic_ns: clock of all stamps and pauses.
        wall_ns: wall clock of the receipt stamp.
        errors: where exceptions go that are faults of this program.

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
        on_session_lost: Callable[[], None] | None = None,
        on_up: Callable[[], None] | None = None,
        on_down: Callable[[str], None] | None = None,
        on_acknowledged: Callable[[int, int], None] | None = None,
        will: Outgoing | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        errors: InternalErrors | None = None,
    ) -> None:
        try_credentials(settings)
        self._settings = settings
        self._client_id = client_id
        self._subscriptions = tuple(subscriptions)
        self._user_message = on_message
        self._session_expiry_s = session_expiry_s
        self._user_forgotten = on_session_lost
        self._user_up = on_up
        self._user_down = on_down
        self._user_acknowledged = on_acknowledged
        self._will = will
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._errors = errors or InternalErrors(monotonic_ns)

        self._state = ConnectionState()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._stop_by_ns = 0  # read once `_stopping` is set
        self._give_way_until_ns = 0
        self._lock = threading.Lock()  # guards the descriptor, which is closed when the thread has ended
        self._wake_fd = -1

        self._negotiation = Negotiation(settings.protocol)  # from here on the network thread's own
        self._ticked_ns = monotonic_ns()
        self._asked = self._subscriptions  # by the current link
        # those that this link receives; None: not answered yet
        self._active_subscriptions: tuple[Subscription, ...] | None = None
        self._retry_rejected_ns = 0
        self._leaving = False

    def start(self) -> None:
        """Begin to connect, and keep trying; returns at once, whether or not the broker is there."""
        if self._thread is not None:
            raise RuntimeError("a Connection starts once")
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._state.connecting()
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{self._client_id}", daemon=True)
        self._thread.start()

    def stop(self, last: Sequence[Outgoing] = (), timeout_s: float = 2.0) -> None:
        """Send what is queued and then `last`, wait for the acknowledgements up to `timeout_s`, disconnect cleanly."""
        if self._thread is None:
            return
        for message in last:
            self._state.accept(message, self._monotonic_ns(), room=MAX_BACKLOG + len(last))
        self._stop_by_ns = self._monotonic_ns() + round(timeout_s * NS_PER_S)
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
        serial = self._state.accept(message, self._monotonic_ns())
        self._wake()
        return serial

    def resubscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Receive other topics from now on; those that stay are not interrupted. Any thread."""
        self._subscriptions = tuple(subscriptions)
        self._wake()

    def give_way(self) -> None:
        """Another client uses this id: connect only after long pauses for some minutes, and do not take the connection over at once. Any thread."""
        self._give_way_until_ns = self._monotonic_ns() + round(GIVE_WAY_S * NS_PER_S)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection is up."""
        return self._state.connected

    def alive(self, now_ns: int) -> bool:
        """Whether the network thread lives and turns; for a watchdog. A broker that is down does not matter."""
        return self._thread is not None and self._thread.is_alive() and now_ns - self._ticked_ns < LIFELESS_S * NS_PER_S

    def ended(self) -> bool:
        """Whether the network thread ended."""
        return self._thread is not None and not self._thread.is_alive()

    def stats(self) -> ConnectionStats:
        """A snapshot of all counters."""
        return self._state.stats(self._negotiation.version)

    def denied(self, now_ns: int) -> Denied:
        """What the broker refuses us now; what it refused before the connection was lost counts until it is resent."""
        return self._state.denied(now_ns, self._negotiation.allowed)

    def _wake(self) -> None:
        with self._lock:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    # From here on: the network thread.

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                failures = self._live(failures)
            except Exception as error:  # noqa: BLE001 - a fault here must not end the connection permanently
                self._count_error("connection", error)
                self._stopping.wait(FIRST_PAUSE_S)

    def _live(self, failures: int) -> int:
        """One link and the pause after it; takes and returns how many in a row failed."""
        began_ns = self._monotonic_ns()
        link, reason = self._one_link()
        outcome = None if link is None else link.outcome
        at_once = self._negotiation.ended(outcome)
        if outcome is not None and outcome.proved_5:  # only a probe: no connection was lost
            return failures
        if outcome is not None and outcome.refusal is not None and outcome.refusal.startswith(OF_US):
            self._state.client_rejected(f"client {self._client_id} ({outcome.refusal})")
        self._went_down(reason)
        lived_s = (self._monotonic_ns() - began_ns) / NS_PER_S
        failures = 0 if lived_s >= STABLE_S else failures + 1
        if TAKEN_OVER in reason:
            self._state.taken_over(self._monotonic_ns())
            self.give_way()
        if not at_once:
            self._pause(failures)
        return failures

    def _pause(self, failures: int) -> None:
        give_way = self._monotonic_ns() < self._give_way_until_ns
        length_s = pause_s(self._settings, failures, least_s=GIVE_WAY_PAUSE_S if give_way else 0.0)
        until_ns = self._monotonic_ns() + round(length_s * NS_PER_S)
        while (left_ns := until_ns - self._monotonic_ns()) > 0 and not self._stopping.is_set():
            self._ticked_ns = self._monotonic_ns()
            self._stopping.wait(min(left_ns / NS_PER_S, 1.0))

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
            reason = "stopped" if self._leaving else link.outcome.end or "the connection was lost"
        except ConfigError as error:
            reason = str(error)
        except LinkBrokenError as error:
            reason = str(error)
            if isinstance(error, GiantMessageError):
                self._state.rejected("incoming_too_large", read=False)
        except (OSError, ValueError) as error:  # TCP and TLS failures; an impossible host name is a ValueError
            reason = connect_problem(error)
        except Exception as error:  # noqa: BLE001 - a fault in paho or here must not end the connection permanently
            self._count_error("connection", error)
            reason = f"unexpected {type(error).__name__}"
        if link is not None:
            with contextlib.suppress(OSError):
                link.close()
        return link, reason

    def _follow(self, link: Link) -> None:
        """Subscribe to other topics, once the first ones are answered, and again after a pause to those that were rejected."""
        if self._active_subscriptions is not None and self._active_subscriptions is not self._subscriptions:
            self._active_subscriptions = self._subscriptions
            link.resubscribe(self._active_subscriptions)
        answered = self._active_subscriptions is not None
        if answered and self._monotonic_ns() >= self._retry_rejected_ns and self._state.rejected_subscriptions():
            self._retry_rejected_ns = self._monotonic_ns() + round(RETRY_REJECTED_S * NS_PER_S)
            link.retry_rejected()

    def _fresh_link(self) -> Link:
        self._active_subscriptions, self._asked = None, self._subscriptions
        return Link(
            self._settings,
            version=self._negotiation.version,
            probe=self._negotiation.probe,
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
                refused=self._refuse,
                resubscribed=self._note_refused,
                failed=self._count_error,
            ),
            monotonic_ns=self._monotonic_ns,
            wall_ns=self._wall_ns,
            allowed=self._negotiation.allowed,
        )

    def _send_queued(self, link: Link) -> None:
        while link.writable and (following := self._state.following()) is not None:
            serial, message, limits = following
            self._state.written(serial, message, self._monotonic_ns())
            number = link.send(message, limits)
            self._state.sent(serial, message.topic, number)
            if number is None and message.qos > limits.qos:
                self._written(serial)

    def _written(self, serial: int) -> None:
        """A broker without QoS 1 confirms nothing: what is written counts as received, else everything would wait without end."""
        user, now_ns = self._user_acknowledged, self._monotonic_ns()
        if user is not None:
            self._call("on_acknowledged", lambda: user(serial, now_ns))

    def _wind_up(self, link: Link) -> None:
        now_ns = self._monotonic_ns()
        sent = self._state.pending() == 0 and link.writable
        if not self._leaving and link.open and (sent or now_ns >= self._stop_by_ns):
            self._leaving = True
            link.disconnect()
        elif now_ns >= self._stop_by_ns + GOODBYE_S * NS_PER_S:
            raise LinkBrokenError("the broker does not take our goodbye")

    def _went_up(self, limits: BrokerLimits) -> None:
        self._negotiation.accepted(limits)
        self._state.went_up(limits, self._monotonic_ns())
        where = f"{self._settings.host}:{self._settings.port}"
        _log.info("mqtt %s: connected to %s, MQTT %s", self._client_id, where, self._negotiation.version)

    def _note_refused(self, refused: Sequence[str]) -> None:
        problem = self._state.subscriptions_answered(tuple(refused))
        self._retry_rejected_ns = self._monotonic_ns() + round(RETRY_REJECTED_S * NS_PER_S)
        if problem is not None:
            _log.error("mqtt %s: %s: check the broker's access rules", self._client_id, problem)

    def _subscribed(self, refused: Sequence[str]) -> None:
        self._active_subscriptions = self._asked
        self._note_refused(refused)
        limits = self._state.limits()
        if self._user_forgotten is not None and limits is not None and not limits.remembered:
            self._call("on_session_lost", self._user_forgotten)
        if self._user_up is not None:
            self._call("on_up", self._user_up)

    def _received(self, build: Callable[[], Incoming]) -> None:
        try:
            incoming = build()
        except ValueError:  # the topic is not UTF-8: no fault of this program
            self._state.rejected("incoming_bad_topic")
            return

        def deliver() -> None:
            self._state.received(incoming)
            if self._user_message is not None:
                self._user_message(incoming)

        self._call("on_message", deliver)

    def _refuse(self, reason: str) -> None:
        if self._state.rejected("incoming_properties"):
            _log.warning("mqtt %s: %s; such messages are refused and counted", self._client_id, reason)

    def _acknowledged(self, number: int, refusal: str | None) -> None:
        acknowledged_ns = self._monotonic_ns()
        answered = self._state.answered(number, acknowledged_ns, accepted=refusal is None)
        if answered is None:
            return
        if answered.first:
            problem = f"the broker refused a message on {answered.topic}: {refusal}"
            _log.error("mqtt %s: %s: check its access rules", self._client_id, problem)
        user, serial = self._user_acknowledged, answered.serial
        if refusal is None and user is not None:
            self._call("on_acknowledged", lambda: user(serial, acknowledged_ns))

    def _went_down(self, reason: str) -> None:
        held_back = self._state.ended_unexplained(self._monotonic_ns()) if unexplained(reason) else None
        if held_back is not None:
            problem = f"the broker ends the connection after messages of {held_back} bytes"
            _log.error("mqtt %s: %s; they are held back for an hour: see its limits", self._client_id, problem)
        lost = self._state.went_down(reason)
        if self._leaving:
            _log.info("mqtt %s: disconnected", self._client_id)
        elif lost.was_up or lost.changed:
            note = f"; {lost.messages} messages unconfirmed" if lost.messages else ""
            _log.warning("mqtt %s: %s%s; retrying", self._client_id, reason, note)
        user = self._user_down
        if lost.was_up and user is not None:
            self._call("on_down", lambda: user(reason))

    def _call(self, name: str, callback: Callable[[], None]) -> None:
        """Run a user's callback; each kind of failure is logged once and always counted."""
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - whatever it is, the network thread must live
            self._count_error(name, error)

    def _count_error(self, name: str, error: Exception) -> None:
        self._state.callback_failed()
        self._errors.caught(f"mqtt {self._client_id} {name}", error)

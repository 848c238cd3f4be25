"""One TCP connection to a broker, from connect to close; with `bounded_client` the only door to paho.

Each life gets a fresh paho client, driven by the caller's thread through paho's external-loop interface. So nothing queued in an earlier
life is sent late, paho's unbounded offline queue is never used, and no second thread ever touches paho.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ParamSpec

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.broker.bounded_client import MAX_PROPERTY_BYTES, LinkBrokenError, PahoClient
from edge.broker.credentials import password, tls_context
from edge.broker.limits import LONGEST_PACKET_BYTES, Allowed, BrokerLimits
from edge.broker.negotiation import Outcome
from edge.broker.reasons import why_ended
from edge.broker.subscriptions import Subscriptions
from edge.site.sections import BrokerSettings
from edge.wire.envelope import Incoming, Outgoing, Subscription

MAX_IN_FLIGHT = 100  # QoS 1 messages sent and not yet acknowledged; a broker may ask for fewer
IN_FLIGHT_311 = 20  # MQTT 3.1.1 brokers do not report it; Mosquitto's own default
TICK_MS = 500  # keep-alive is looked at least so often
DISCONNECT_WITH_WILL = 0x04
_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}

Arguments = ParamSpec("Arguments")


@dataclass(frozen=True, slots=True)
class LinkEvents:
    """The callbacks of a link; called on the thread that turns it.

    What one of them raises goes to ``failed`` with the callback's name; the link goes on after a message or an acknowledgement, and ends
    where it would be half made.

    ``acknowledged`` gets paho's message number and the refusal's text or None; ``subscribed`` the filters that are refused once the first ones
    are answered, and ``resubscribed`` those that are after a later change; ``refused`` why a message is not passed on.
    """

    connected: Callable[[BrokerLimits], None]
    subscribed: Callable[[Sequence[str]], None]
    message: Callable[[Callable[[], Incoming]], None]
    acknowledged: Callable[[int, str | None], None]
    refused: Callable[[str], None] = lambda _reason: None
    resubscribed: Callable[[Sequence[str]], None] = lambda _refused: None
    failed: Callable[[str, Exception], None] = lambda _callback, _error: None


class Link:
    """One attempt to connect, and the connection if it succeeds.

    Args:
        settings: where and how.
        version: ``5`` or ``3.1.1``.
        probe: only find out whether the broker supports version 5, and disconnect. Such a CONNECT carries no properties: MQTT 3.1.1
            brokers that take them for part of the client id (amqtt) wait for more bytes instead of refusing.
        client_id: our name on the broker.
        session_expiry_s: how long the broker is to keep our session after we are gone (MQTT 3.1.1 knows no limit); 0: not at all.
        subscriptions: asked for as soon as the broker accepts us.
        will: what the broker publishes when we vanish.
        wake_fd: an eventfd; writing to it ends the wait inside `turn`.
        events: its callbacks.
        monotonic_ns: clock of the receipt stamp.
        wall_ns: wall clock of the receipt stamp.
        allowed: the most that the broker is known to take, from an earlier link; None: nothing is known, so all of it.

    `outcome` is what the link has shown of its broker so far.

    Raises:
        ConfigError: a certificate, key or password file cannot be used.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        version: str,
        probe: bool,
        client_id: str,
        session_expiry_s: int,
        subscriptions: Sequence[Subscription],
        will: Outgoing | None,
        wake_fd: int,
        events: LinkEvents,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        allowed: Allowed | None = None,
    ) -> None:
        self._settings = settings
        self._five = version == "5"
        self._probe = probe
        self._session_expiry_s = session_expiry_s
        self._subscriptions = Subscriptions(subscriptions, five=self._five)
        self._wake_fd = wake_fd
        self._events = events
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._limits: BrokerLimits | None = None
        self._sock: Any = None  # paho does not export its socket type
        self._poller = select.poll()
        self.outcome = Outcome(allowed=allowed or Allowed())
        self._half_made: str | None = None  # a callback failed without which the link is none
        self._client = self._fresh_client(version, client_id, will)

    def connect(self) -> None:
        """TCP, TLS, and the CONNECT packet; the broker's answer comes in a later `turn`.

        Raises:
            OSError: the broker is not there, or TLS failed.
            ValueError: the host name is impossible.
        """
        settings, client = self._settings, self._client
        if self._five:
            properties = None if self._probe else _empty(PacketTypes.CONNECT)
            if properties is not None:
                properties.MaximumPacketSize = settings.max_packet_bytes
                properties.SessionExpiryInterval = self._session_expiry_s
            client.connect(
                settings.host,
                settings.port,
                settings.keepalive_s,
                clean_start=self._probe or self._session_expiry_s == 0,
                properties=properties,
            )
        else:
            client.connect(settings.host, settings.port, settings.keepalive_s)
        self._sock = client.socket()
        if self._sock is None:
            raise LinkBrokenError("the connection was closed at once")
        self._poller.register(self._wake_fd, select.POLLIN)
        self._poller.register(self._sock, select.POLLIN)

    @property
    def open(self) -> bool:
        """Whether the TCP connection is there."""
        return self._client.socket() is not None

    @property
    def writable(self) -> bool:
        """Whether the kernel has taken everything so far; while it has not, queue elsewhere."""
        return self.open and not self._client.want_write()

    def turn(self, wait_ms: int = TICK_MS) -> None:
        """Wait for something to do, at most `wait_ms`, and do it.

        Raises:
            GiantMessageError: something came that we refuse to hold.
            LinkBrokenError: what was to be done on the broker's answer failed.
        """
        client, sock = self._client, self._sock
        self._poller.modify(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        decrypted = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0  # read already, so poll cannot see it
        number = sock.fileno()
        events = dict(self._poller.poll(0 if decrypted else wait_ms))
        if self._wake_fd in events:
            os.eventfd_read(self._wake_fd)
        happened = events.get(number, 0)
        if decrypted or happened & ~select.POLLOUT:
            client.loop_read()
        if happened & select.POLLOUT:
            client.loop_write()
        client.loop_misc()
        if self._half_made is not None:
            raise LinkBrokenError(self._half_made)

    def send(self, message: Outgoing, limits: BrokerLimits) -> int | None:
        """Send one message; returns the number that `acknowledged` will give, None for QoS 0."""
        qos = min(message.qos, limits.qos)
        properties = self._properties(message, PacketTypes.PUBLISH)
        info = self._client.publish(message.topic, message.payload, qos, message.retain and limits.retain, properties)
        return info.mid if qos > 0 else None

    def disconnect(self, *, with_will: bool = False) -> None:
        """Send DISCONNECT, so that the broker discards the will; or, on MQTT 5, so that it publishes it at once."""
        if with_will and self._five:
            self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=DISCONNECT_WITH_WILL))
        else:
            self._client.disconnect()

    def close(self) -> None:
        """Drop what is left of the TCP connection."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _fresh_client(self, version: str, client_id: str, will: Outgoing | None) -> PahoClient:
        settings = self._settings
        client = PahoClient(
            CallbackAPIVersion.VERSION2,
            # A probe under our own name would end the session that we want to find.
            client_id=f"{client_id}-probe" if self._probe and self._session_expiry_s > 0 else client_id,
            protocol=_VERSIONS[version],
            clean_session=None if self._five else self._session_expiry_s == 0,
            reconnect_on_failure=False,
        )
        client.largest_bytes = settings.max_packet_bytes
        client.suppress_exceptions = True  # else an exception in a callback would end our thread's turn
        client.max_inflight_messages_set(0)  # the caller paces; paho's own queue stays empty
        client.on_socket_open = _no_delay
        client.on_connect = self._guarded("on_connect", self._on_connect, needed=True)
        client.on_subscribe = self._guarded("on_subscribe", self._on_subscribe, needed=True)
        client.on_message = self._guarded("on_message", self._on_message)
        client.on_publish = self._guarded("on_publish", self._on_publish)
        client.on_disconnect = self._on_disconnect
        if settings.tls is not None:
            client.tls_set_context(tls_context(settings.tls))
        if settings.username is not None:
            client.username_pw_set(settings.username, password(settings))
        if will is not None and not self._probe:
            will = self.outcome.allowed.shaped(will)
            properties = self._properties(will, PacketTypes.WILLMESSAGE)
            client.will_set(will.topic, will.payload, will.qos, will.retain, properties)
        return client

    def _guarded(
        self, name: str, callback: Callable[Arguments, None], *, needed: bool = False
    ) -> Callable[Arguments, None]:
        """A callback whose exceptions are reported: paho itself would drop them silently."""

        def guarded(*arguments: Arguments.args, **named: Arguments.kwargs) -> None:
            try:
                callback(*arguments, **named)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must be counted and not end the thread
                self._events.failed(name, error)
                if needed:
                    self._half_made = f"{name} failed: {type(error).__name__}"

        return guarded

    def _properties(self, message: Outgoing, packet: int) -> Properties | None:
        wanted = (message.expiry_s, message.content_type, message.correlation, message.user_properties or None)
        if not self._five or wanted == (None, None, None, None):
            return None
        properties = _empty(packet)
        if message.expiry_s is not None:
            properties.MessageExpiryInterval = message.expiry_s
        if message.content_type is not None:
            properties.ContentType = message.content_type
        if message.correlation is not None:
            properties.CorrelationData = message.correlation
        if message.user_properties:
            properties.UserProperty = list(message.user_properties)
        return properties

    def _on_connect(
        self, client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        del userdata
        if reason.is_failure:
            allowed = self.outcome.allowed.after_refusal(str(reason))
            self.outcome = Outcome(True, str(reason), f"the broker refused us: {reason}", allowed=allowed)  # noqa: FBT003 - answered
            return
        allowed = self.outcome.allowed
        if self._five:  # MQTT 3.1.1 has no field for it
            retain, qos = getattr(properties, "RetainAvailable", 1), getattr(properties, "MaximumQoS", 1)
            allowed = Allowed(min(1, qos), bool(retain))
        self.outcome = Outcome(answered=True, proved_5=self._probe, allowed=allowed)
        if self._probe:
            client.disconnect()
            return
        default_in_flight = MAX_IN_FLIGHT if self._five else IN_FLIGHT_311
        limits = BrokerLimits(
            packet_bytes=getattr(properties, "MaximumPacketSize", LONGEST_PACKET_BYTES),
            in_flight=min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", default_in_flight)),
            qos=allowed.qos,
            retain=allowed.retain,
            remembered=flags.session_present,
        )
        self._events.connected(limits)
        if self._subscriptions.wanted:
            self._subscribe(self._subscriptions.wanted)
        else:
            self._subscriptions.answered = True
            self._events.subscribed(())

    def _subscribe(self, wanted: Sequence[Subscription]) -> None:
        if self._five:
            options = [
                (
                    item.topic,
                    SubscribeOptions(qos=item.qos, noLocal=item.no_local, retainHandling=2 if item.no_retained else 0),
                )
                for item in wanted
            ]
            _, number = self._client.subscribe(options)
        else:
            _, number = self._client.subscribe([(item.topic, item.qos) for item in wanted])
        if number is not None:
            self._subscriptions.asked(number, wanted)

    def resubscribe(self, wanted: Sequence[Subscription]) -> None:
        """Subscribe to these topics instead; those that stay are not interrupted."""
        gone, fresh = self._subscriptions.change(wanted)
        if gone:
            self._client.unsubscribe(gone)
        if fresh:
            self._subscribe(fresh)
        else:
            self._events.resubscribed(self._subscriptions.rejected_texts())

    def retry_rejected(self) -> None:
        """Subscribe again to what was rejected: the access rules may have been corrected."""
        rejected = self._subscriptions.rejected()
        if rejected:
            self._subscribe(rejected)

    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        del client, userdata, properties
        report = self._events.resubscribed if self._subscriptions.answered else self._events.subscribed
        self._subscriptions.suback(mid, [str(reason) if reason.is_failure else None for reason in reasons])
        report(self._subscriptions.rejected_texts())

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del userdata
        received_ns, received_wall_ns = self._monotonic_ns(), self._wall_ns()
        _quick_ack(client)
        properties, payload = message.properties, self._client.payload
        if payload is None:
            self._events.refused(f"the MQTT properties of a message are longer than {MAX_PROPERTY_BYTES} bytes")
            return

        def build() -> Incoming:
            return Incoming(
                topic=message.topic,  # raises when the topic is not UTF-8
                payload=payload,
                retained=message.retain,
                received_ns=received_ns,
                received_wall_ns=received_wall_ns,
                content_type=getattr(properties, "ContentType", None),
                user_properties=tuple(getattr(properties, "UserProperty", ())),
                response_topic=getattr(properties, "ResponseTopic", None),
                correlation=getattr(properties, "CorrelationData", None),
            )

        self._events.message(build)

    def _on_publish(
        self, client: Client, userdata: object, mid: int, reason: ReasonCode, properties: Properties
    ) -> None:
        del userdata, properties
        _quick_ack(client)
        self._events.acknowledged(mid, str(reason) if reason.is_failure else None)

    def _on_disconnect(
        self,
        client: Client,
        userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        del client, userdata, properties
        if self.outcome.end is None:
            end = why_ended(
                str(reason),
                by_broker=flags.is_disconnect_packet_from_server,
                answered=self.outcome.answered,
                tls=self._settings.tls is not None,
            )
            self.outcome = replace(self.outcome, end=end)


def _empty(packet: int) -> Properties:
    properties: Properties = Properties(packet)  # type: ignore[no-untyped-call] # paho leaves this constructor without types
    return properties


def _no_delay(client: Client, userdata: object, sock: Any) -> None:  # noqa: ANN401 - paho does not export its socket type
    del client, userdata
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _quick_ack(client: Client) -> None:
    """Acknowledge at TCP level at once; the kernel resets this option, so it is set with each message."""
    sock: Any = client.socket()
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

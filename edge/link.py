"""One life of a TCP connection to a broker; the only module that knows paho.

Each life gets a fresh paho client, driven by the caller's thread through paho's external-loop interface. So nothing queued in an earlier
life is sent late, paho's unbounded offline queue is never used, and no second thread ever touches paho.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.credentials import password, tls_context
from edge.envelope import Incoming, Outgoing, Subscription
from edge.sections import BrokerSettings

MAX_IN_FLIGHT = 100  # QoS 1 messages sent and not yet acknowledged; a broker may ask for fewer
IN_FLIGHT_311 = 20  # MQTT 3.1.1 brokers cannot say; Mosquitto's own default
TICK_MS = 500  # keep-alive is looked at least so often
TAKEN_OVER = "Session taken over"
WRONG_VERSION = "Unsupported protocol version"
DISCONNECT_WITH_WILL = 0x04
_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the broker said in CONNACK that it bears."""

    packet_bytes: int
    in_flight: int
    qos: int
    retain: bool
    remembered: bool  # it still has our session; false when none was asked for


@dataclass(frozen=True, slots=True)
class LinkEvents:
    """Who is told what; called on the thread that turns the link, and none of them may raise.

    ``acknowledged`` gets paho's message number and the refusal's text or None; ``subscribed`` the filters that are refused once the first ones
    are answered, and ``resubscribed`` those that are after a later change.
    """

    connected: Callable[[Limits], None]
    subscribed: Callable[[Sequence[str]], None]
    message: Callable[[Callable[[], Incoming]], None]
    acknowledged: Callable[[int, str | None], None]
    resubscribed: Callable[[Sequence[str]], None] = lambda _refused: None


class LinkBrokenError(Exception):
    """We end the link ourselves, without the DISCONNECT that would silence the will; the text says why."""


class GiantMessageError(LinkBrokenError):
    """A message longer than we hold began to arrive."""


class _Client(Client):
    """paho's client, but one that reads no message longer than we hold: an MQTT 3.1.1 broker cannot be told our limit."""

    largest_bytes: int

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho has no public way: it reads a message whole, by up to a hundred reads in one call, before anybody is asked. It asks for all of the
        # body that is still missing, so the first read of a giant's body tells its length, while our memory holds nothing of it.
        if bufsize > self.largest_bytes:
            raise GiantMessageError(f"a message of {bufsize} bytes came, more than broker.max_packet_bytes")
        received: bytes = super()._sock_recv(bufsize)
        return received


class Link:
    """One attempt to connect, and the connection if it succeeds.

    Args:
        settings: where and how.
        version: ``5`` or ``3.1.1``.
        probe: only find out whether the broker speaks version 5, and leave again. Such a CONNECT carries no properties: MQTT 3.1.1
            brokers that take them for part of the client id (amqtt) wait for more bytes instead of refusing.
        client_id: our name on the broker.
        session_expiry_s: how long the broker is to keep our session after we are gone (MQTT 3.1.1 knows no limit); 0: not at all.
        subscriptions: asked for as soon as the broker accepts us.
        will: what the broker publishes when we vanish.
        wake_fd: an eventfd; writing to it ends the wait inside `turn`.
        events: who is told.
        monotonic_ns: clock of the receipt stamp.
        wall_ns: wall clock of the receipt stamp.

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
    ) -> None:
        self._settings = settings
        self._five = version == "5"
        self._probe = probe
        self._session_expiry_s = session_expiry_s
        self._subscriptions = subscriptions
        self._asked: dict[int, Sequence[Subscription]] = {}  # by paho's number of the SUBSCRIBE packet
        self._refused: dict[Subscription, str] = {}  # with the reason
        self._subscribed = False  # the first ones are answered
        self._wake_fd = wake_fd
        self._events = events
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._limits: Limits | None = None
        self._sock: Any = None  # paho does not export its socket type
        self._poller = select.poll()
        self.end: str | None = None  # why the broker or the network ended it, once it did
        self.answered = False  # the broker sent a CONNACK
        self.refusal: str | None = None  # why that refused us
        self.proved_5 = False  # the probe was answered well
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

    def send(self, message: Outgoing, limits: Limits) -> int | None:
        """Send one message; returns the number that `acknowledged` will give, None for QoS 0."""
        qos = min(message.qos, limits.qos)
        properties = self._properties(message, PacketTypes.PUBLISH)
        info = self._client.publish(message.topic, message.payload, qos, message.retain and limits.retain, properties)
        return info.mid if qos > 0 else None

    def say_goodbye(self, *, with_will: bool = False) -> None:
        """Send DISCONNECT, so that the broker forgets the will; or, on MQTT 5, so that it publishes it at once."""
        if with_will and self._five:
            self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=DISCONNECT_WITH_WILL))
        else:
            self._client.disconnect()

    def close(self) -> None:
        """Drop what is left of the TCP connection."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _fresh_client(self, version: str, client_id: str, will: Outgoing | None) -> Client:
        settings = self._settings
        client = _Client(
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
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        if settings.tls is not None:
            client.tls_set_context(tls_context(settings.tls))
        if settings.username is not None:
            client.username_pw_set(settings.username, password(settings))
        if will is not None and not self._probe:
            properties = self._properties(will, PacketTypes.WILLMESSAGE)
            client.will_set(will.topic, will.payload, will.qos, will.retain, properties)
        return client

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
        self.answered = True
        if reason.is_failure:
            self.end = f"the broker refused us: {reason}"
            self.refusal = str(reason)
            return
        if self._probe:
            self.proved_5 = True
            client.disconnect()
            return
        default_in_flight = MAX_IN_FLIGHT if self._five else IN_FLIGHT_311
        limits = Limits(
            packet_bytes=getattr(properties, "MaximumPacketSize", 268_435_455),
            in_flight=min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", default_in_flight)),
            qos=min(1, getattr(properties, "MaximumQoS", 1)),
            retain=bool(getattr(properties, "RetainAvailable", 1)),
            remembered=flags.session_present,
        )
        self._events.connected(limits)
        if self._subscriptions:
            self._subscribe(self._subscriptions)
        else:
            self._subscribed = True
            self._events.subscribed(())

    def _subscribe(self, wanted: Sequence[Subscription]) -> None:
        if self._five:
            options = [
                (item.topic, SubscribeOptions(qos=item.qos, retainHandling=2 if item.no_retained else 0))
                for item in wanted
            ]
            _, number = self._client.subscribe(options)
        else:
            _, number = self._client.subscribe([(item.topic, item.qos) for item in wanted])
        if number is not None:
            self._asked[number] = wanted

    def resubscribe(self, wanted: Sequence[Subscription]) -> None:
        """Ask for these topics instead; those that stay are not interrupted."""
        gone = [item.topic for item in self._subscriptions if item not in wanted]
        fresh = [item for item in wanted if item not in self._subscriptions]
        self._subscriptions = wanted
        self._refused = {item: reason for item, reason in self._refused.items() if item in wanted}
        if gone:
            self._client.unsubscribe(gone)
        if fresh:
            self._subscribe(fresh)
        else:
            self._events.resubscribed(self._refused_texts())

    def ask_again(self) -> None:
        """Ask once more for what was refused: the access rules may have been mended."""
        if self._refused:
            self._subscribe(tuple(self._refused))

    def _refused_texts(self) -> tuple[str, ...]:
        return tuple(f"{item.topic} ({reason})" for item, reason in self._refused.items())

    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        del client, userdata, properties
        for item, reason in zip(self._asked.pop(mid, ()), reasons, strict=False):
            self._refused.pop(item, None)
            if reason.is_failure and item in self._subscriptions:
                self._refused[item] = str(reason)
        told = self._events.resubscribed if self._subscribed else self._events.subscribed
        self._subscribed = True
        told(self._refused_texts())

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del userdata
        received_ns, received_wall_ns = self._monotonic_ns(), self._wall_ns()
        _quick_ack(client)
        properties = message.properties

        def build() -> Incoming:
            return Incoming(
                topic=message.topic,  # raises when the topic is not UTF-8
                payload=bytes(message.payload),
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
        if self.end is None:
            self.end = self._how_it_ended(flags, reason)

    def _how_it_ended(self, flags: DisconnectFlags, reason: ReasonCode) -> str:
        if flags.is_disconnect_packet_from_server:
            return f"the broker ended the connection: {reason}"
        if not self.answered:
            hint = ": is our certificate one that it accepts?" if self._settings.tls is not None else ""
            return f"the broker closed the connection without an answer{hint}"
        return f"connection lost: {reason}"


def _empty(packet: int) -> Properties:
    properties: Properties = Properties(packet)  # type: ignore[no-untyped-call] # paho leaves this constructor without types
    return properties


def _no_delay(client: Client, userdata: object, sock: Any) -> None:  # noqa: ANN401 - paho does not export its socket type
    del client, userdata
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _quick_ack(client: Client) -> None:
    """Acknowledge at TCP level at once; the kernel forgets this wish, so it is renewed with each message."""
    sock: Any = client.socket()
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

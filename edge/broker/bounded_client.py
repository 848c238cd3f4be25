"""paho's client, but one whose work and memory for a message are bounded, whatever the broker sends."""

from __future__ import annotations

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

MAX_PROPERTY_BYTES = 4_096  # of one message that comes in; reading a user property costs paho some 10 us


class LinkBrokenError(Exception):
    """We end the link ourselves, without the DISCONNECT that would cancel the will; the text is the reason."""


class GiantMessageError(LinkBrokenError):
    """A message longer than we hold began to arrive."""


class PahoClient(Client):
    """paho's client, but one whose work for a message is bounded.

    It reads no message longer than we hold: an MQTT 3.1.1 broker does not learn our limit. And paho never sees a payload: for each part of each
    property it copies all that follows, so a hundred user properties before a picture would cost a second.
    """

    largest_bytes: int
    payload: bytes | None = b""  # of the message that is being handed over; None: the properties are more than we read

    def _handle_publish(self) -> MQTTErrorCode:
        head, body = self._in_packet["command"], self._in_packet["packet"]
        qos = (head & 0x06) >> 1
        if qos > 1:
            raise LinkBrokenError("the broker sent a message at QoS 2, which was not requested")
        start, end = _properties_of(body, five=self.protocol == MQTTProtocolVersion.MQTTv5, numbered=qos > 0)
        if end - start > MAX_PROPERTY_BYTES:
            self.payload = None
            self._in_packet["packet"] = body[:start] + b"\x00"
        else:
            self.payload = bytes(memoryview(body)[end:])
            self._in_packet["packet"] = body[:end]
        done = super()._handle_publish()
        self.payload = b""
        return done

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho has no public way: it reads a message whole, by up to a hundred reads in one call, before a callback runs. It asks for all of the
        # body that is still missing, so the first read of a giant's body shows its length, while our memory holds nothing of it.
        if bufsize > self.largest_bytes:
            raise GiantMessageError(f"a message of {bufsize} bytes came, more than broker.max_packet_bytes")
        received: bytes = super()._sock_recv(bufsize)
        return received


def _properties_of(body: bytes | bytearray, *, five: bool, numbered: bool) -> tuple[int, int]:
    """Where the properties of a PUBLISH packet begin and end, their length included; past the packet's end where it is malformed."""
    start = 2 + int.from_bytes(body[:2]) + 2 * numbered
    if not five:
        return start, start
    length = 0
    for place, byte in enumerate(body[start : start + 4]):
        length |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return start, start + place + 1 + length
    return start, len(body)

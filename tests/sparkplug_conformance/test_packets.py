"""The suite's own readers of MQTT packets, against packets written by hand from the MQTT specifications."""

from __future__ import annotations

from tests.sparkplug_conformance.packets import Splitter, level_of, read_packet

CONNECT_5 = bytes.fromhex(
    "1026" + "00044d515454" + "05" + "0e" + "0005"  # MQTT 5; clean start, will with QoS 1; keep-alive 5 s
    "05" + "1100000000"  # session expiry 0 s
    "000470313737"  # client id p177
    "05" + "1800000003"  # will delay 3 s
    "0003642f65"  # topic d/e
    "0003010203"
)
CONNECT_311 = bytes.fromhex("1010" + "00044d515454" + "04" + "02" + "000a" + "000470313737")


def _one(data: bytes, level: int) -> tuple[str, dict[str, object]]:
    ((first, body),) = Splitter().feed(data)
    return read_packet(first, body, level)


def test_a_connect_with_a_will() -> None:
    """Flags, properties, client id, and the will with its own properties."""
    ((first, body),) = Splitter().feed(CONNECT_5)
    assert level_of(body) == 5
    kind, fields = read_packet(first, body, 5)
    assert kind == "CONNECT"
    assert fields == {
        "protocol": "MQTT",
        "level": 5,
        "clean": True,
        "keepalive_s": 5,
        "client_id": "p177",
        "properties": {"session_expiry_s": 0},
        "will": {
            "topic": "d/e",
            "payload": "010203",
            "qos": 1,
            "retain": False,
            "properties": {"will_delay_s": 3},
        },
    }


def test_a_connect_of_3_1_1() -> None:
    """No properties, no will."""
    kind, fields = _one(CONNECT_311, 4)
    assert (kind, fields["level"], fields["client_id"], fields["will"]) == ("CONNECT", 4, "p177", None)


def test_a_publish_of_either_version() -> None:
    """QoS, retain flag and packet id; MQTT 5 has properties before the payload; odd bytes in a topic betray themselves."""
    _, fields = _one(bytes.fromhex("3306" + "0001" + "61" + "0007" + "ff"), 4)
    assert (fields["topic"], fields["qos"], fields["retain"], fields["packet_id"]) == ("a", 1, True, 7)
    assert fields["payload"] == "ff"
    _, fields = _one(bytes.fromhex("300b" + "0001" + "ff" + "05" + "0200000009" + "6869"), 5)
    assert (fields["topic"], fields["properties"]) == ("\udcff", {"message_expiry_s": 9})
    assert fields["payload"] == "6869"


def test_subscriptions_and_their_answers() -> None:
    """Filters with QoS and retain handling; an answer for each."""
    _, fields = _one(bytes.fromhex("8208" + "0001" + "00" + "0002612b" + "21"), 5)
    assert fields["filters"] == [{"topic": "a+", "qos": 1, "retain_handling": 2}]
    _, fields = _one(bytes.fromhex("9004" + "0001" + "0180"), 4)
    assert fields["codes"] == [1, 128]


def test_endings() -> None:
    """A DISCONNECT has a reason on MQTT 5, none on 3.1.1."""
    assert _one(bytes.fromhex("e00104"), 5) == ("DISCONNECT", {"code": 4, "properties": {}})
    assert _one(bytes.fromhex("e000"), 4) == ("DISCONNECT", {"code": 0, "properties": {}})


def test_a_stream_in_pieces() -> None:
    """Packets come out whole, however the bytes arrive, also those with a long length."""
    long = bytes([0x30, 0x80, 0x02]) + bytes(256)
    splitter = Splitter()
    found = [packet for byte in CONNECT_5 + long + b"\xc0\x00" for packet in splitter.feed(bytes([byte]))]
    assert [(first, len(body)) for first, body in found] == [(0x10, 38), (0x30, 256), (0xC0, 0)]

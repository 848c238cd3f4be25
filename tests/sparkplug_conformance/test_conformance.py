"""Sparkplug B 3.0, assertion by assertion, on a recording of the real daemon and real Mosquittos; docs/sparkplug.md says what is played."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from edge.sparkplug.codec import signed
from tests.sparkplug_conformance.ids import IDS
from tests.sparkplug_conformance.recording import BIRTHS, DATA, Message, Recording
from tests.sparkplug_conformance.rules import RULES
from tests.sparkplug_conformance.schema import Payload, canonical, read, value_of
from tests.sparkplug_conformance.suite import ALL_IDS, NOT_HELD, REMARKS

GROUPS = {"core": 93, "device": 50, "primary host": 12, "property": 7}


def test_every_assertion_has_its_check() -> None:
    """162 ids, each with one check, and no check without an id."""
    assert {group: len(names) for group, names in IDS.items()} == GROUPS
    assert set(RULES) == set(ALL_IDS)
    assert len(set(ALL_IDS)) == len(ALL_IDS)
    assert {*NOT_HELD, *REMARKS} <= set(ALL_IDS)


@pytest.mark.alone
@pytest.mark.broker
def test_every_node_lived(recording: Recording) -> None:
    """The first that asks for the recording, so that the scenes have the machine to themselves: each node was born and published data."""
    for node in ("press6", "press7", "press8", "press9"):
        assert any(session.node.node == node and session.said(*DATA) for session in recording.born), node


@pytest.mark.broker
@pytest.mark.parametrize("name", ALL_IDS)
def test_it_holds(recording: Recording, name: str) -> None:
    """The daemon keeps the assertion; of those that it is known not to keep, the check must say so."""
    if name in NOT_HELD:
        with pytest.raises(AssertionError):
            RULES[name].check(recording)
    else:
        RULES[name].check(recording)


@pytest.mark.broker
@pytest.mark.parametrize("name", [name for name in ALL_IDS if name not in NOT_HELD])
def test_its_check_can_fail(recording: Recording, name: str) -> None:
    """With the recording spoilt in one place the check does not pass."""
    spoilt = RULES[name].spoil(recording)
    other = set(recording.packets) ^ set(spoilt.packets)  # a packet is only itself: what it was, and what it became
    assert len(other) <= 2
    assert other or recording.packets != spoilt.packets
    with pytest.raises(AssertionError):
        RULES[name].check(spoilt)


@pytest.mark.broker
def test_google_s_runtime_writes_every_payload_as_we_did(recording: Recording) -> None:
    """Births, data, deaths and wills: nothing is unknown to it, and no byte is different."""
    everything = recording.messages + recording.wills
    assert len(everything) > 300
    assert all(canonical(message.raw) for message in everything)


def _typed(recording: Recording) -> list[tuple[Message, bytes]]:
    """Every birth and data message, the latter with the data types that a host remembers from the births."""
    found = []
    for session in recording.born:
        types: dict[tuple[str | None, str], int] = {}
        for message in session.said(*BIRTHS, *DATA):
            payload = Payload.FromString(message.raw)
            for item in payload.metrics:
                if message.kind in BIRTHS:
                    types[message.device, item.name] = item.datatype
                item.datatype = types[message.device, item.name]
            found.append((message, payload.SerializeToString()))
    return found


def _same(ours: Any, theirs: Any, bits: int) -> bool:
    if isinstance(ours, bool | str) or ours is None:
        return bool(theirs == ours)
    if isinstance(ours, float):
        return math.isclose(theirs, ours, rel_tol=1e-6)
    return signed(int(theirs), bits) == signed(ours, bits)


@pytest.mark.broker
def test_the_decoder_of_hosts_reads_the_recording(
    recording: Recording, npm_decoder: Callable[[Sequence[bytes]], list[Any]]
) -> None:
    """sparkplug-payload reads the births as they are, and the data with their births' data types, as we meant them."""
    typed = _typed(recording)
    for (message, raw), decoded in zip(typed, npm_decoder([raw for _, raw in typed]), strict=True):
        payload = read(raw)
        assert int(decoded["seq"]) == payload.seq
        assert int(decoded["timestamp"]) == payload.timestamp
        for ours, theirs in zip(payload.metrics, decoded["metrics"], strict=True):
            assert (theirs["name"], int(theirs["timestamp"])) == (ours.name, ours.timestamp)
            assert bool(theirs.get("isHistorical")) is ours.is_historical
            bits = 32 if ours.WhichOneof("value") == "int_value" else 64
            assert _same(value_of(ours), theirs["value"], bits), f"{message.topic} {ours}: {theirs}"


@pytest.mark.broker
def test_the_decoder_of_hosts_knows_no_value_without_a_data_type(
    recording: Recording, npm_decoder: Callable[[Sequence[bytes]], list[Any]]
) -> None:
    """Why there is a setting for it: data as the specification wants them are null to this decoder."""
    data = next(message for message in recording.said("DDATA") if value_of(message.payload.metrics[0]) is not None)
    (decoded,) = npm_decoder([data.raw])
    assert decoded["metrics"][0]["value"] is None

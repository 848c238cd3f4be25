"""The codec against bytes that were written by hand, a schema that the tests declare on their own, and the npm decoder that hosts use."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import RejectedInput
from edge.sparkplug.codec import DataType, Metric, Payload, Property, decode, encode, signed
from tests.sparkplug_conformance.schema import Payload as Judge
from tests.sparkplug_conformance.schema import canonical, read, value_of

EXAMPLES: dict[DataType, list[Any]] = {
    DataType.INT32: [0, 1, -1, 2**31 - 1, -(2**31)],
    DataType.INT64: [0, 255, -1, 2**63 - 1, -(2**63)],
    DataType.FLOAT: [0.0, -1.5, 0.25],
    DataType.DOUBLE: [0.0, math.pi, -1e300],
    DataType.BOOLEAN: [True, False],
    DataType.STRING: ["", "UNACK_ALM", "Größe µm 漢字"],
    DataType.DATETIME: [0, 1_795_000_000_123],
}
FIELD = {"int_value": 32, "long_value": 64}

values = st.sampled_from(list(EXAMPLES)).flatmap(
    lambda datatype: st.tuples(st.just(datatype), st.one_of(st.none(), st.sampled_from(EXAMPLES[datatype])))
)
metrics = st.builds(
    lambda name, typed, stamp, historical, with_datatype, properties: Metric(
        name, typed[0], typed[1], stamp, historical, with_datatype, properties
    ),
    st.text(min_size=1, max_size=30),
    values,
    st.one_of(st.none(), st.integers(0, 2**63 - 1)),
    st.booleans(),
    st.booleans(),
    st.dictionaries(st.text(max_size=10), values.map(lambda typed: Property(*typed)), max_size=3),
)
payloads = st.builds(
    Payload,
    st.one_of(st.none(), st.integers(0, 2**63 - 1)),
    st.lists(metrics, max_size=5).map(tuple),
    st.one_of(st.none(), st.integers(0, 255)),
)


# Written by the encoder that this project had before it used protobuf, byte by byte from the specification.
GOLDEN = {
    "12120a05626453657118fbbcd9f29e3420045807": Payload(
        None, (Metric("bdSeq", DataType.INT64, 7, 1_795_000_000_123),), None
    ),
    "08fbbcd9f29e34121d0a12466c6167732f637261636b2f41637469766518e4bcd9f29e34700112330a11466c6167732f637261636b2f53636f7265"
    "18e5bcd9f29e3428014a100a075175616c6974791205080318f40365000000bf18c801": Payload(
        1_795_000_000_123,
        (
            Metric(
                "Flags/crack/Active", DataType.BOOLEAN, value=True, timestamp_ms=1_795_000_000_100, with_datatype=False
            ),
            Metric(
                "Flags/crack/Score",
                DataType.FLOAT,
                -0.5,
                1_795_000_000_101,
                historical=True,
                with_datatype=False,
                properties={"Quality": Property(DataType.INT32, 500)},
            ),
        ),
        200,
    ),
    "0800120d0a01691801200350ffffffff0f12120a016c1801200458feffffffffffffffff0112100a01641801200a699a9999999999b93f12090a0173"
    "200c7a02c2b5120e0a01741801200d58fbbcd9f29e34123a0a016e1801200c38014a2f0a07656e67556e69740a036c6f770a046e6f6e651206080c"
    "42026d73120b080a3100000000000000001204080b10011800": Payload(
        0,
        (
            Metric("i", DataType.INT32, -1, 1),
            Metric("l", DataType.INT64, -2, 1),
            Metric("d", DataType.DOUBLE, 0.1, 1),
            Metric("s", DataType.STRING, "µ", None),
            Metric("t", DataType.DATETIME, 1_795_000_000_123, 1),
            Metric(
                "n",
                DataType.STRING,
                None,
                1,
                properties={
                    "engUnit": Property(DataType.STRING, "ms"),
                    "low": Property(DataType.DOUBLE, 0.0),
                    "none": Property(DataType.BOOLEAN, None),
                },
            ),
        ),
        0,
    ),
}


@pytest.mark.parametrize("written", GOLDEN, ids=["death", "data", "every type"])
def test_the_bytes_are_those_that_were_written_by_hand(written: str) -> None:
    """A death, data by exception and each data type with its properties: hosts that read an earlier version read this one."""
    assert encode(GOLDEN[written]).hex() == written


def test_a_daemon_without_sparkplug_does_not_load_protobuf() -> None:
    """It would cost 25 ms of processor time at the start and 1.6 MB; with the edge node it is loaded before frames are judged."""
    program = "import sys, edge.daemon; sys.exit(any(name.startswith('google.') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], check=True)


@settings(deadline=None)
@given(payloads)
def test_the_bytes_are_those_of_the_specification(payload: Payload) -> None:
    """Read by a second declaration of the messages, nothing is unknown, written again nothing changes, and every field says what we meant."""
    raw = encode(payload)
    assert canonical(raw)
    judged = read(raw)
    assert judged.HasField("seq") is (payload.seq is not None)
    assert len(judged.metrics) == len(payload.metrics)
    for ours, theirs in zip(payload.metrics, judged.metrics, strict=True):
        assert (theirs.name, theirs.is_historical, theirs.is_null) == (ours.name, ours.historical, ours.value is None)
        assert theirs.HasField("datatype") is ours.with_datatype
        bits = FIELD.get(theirs.WhichOneof("value") or "")
        found = value_of(theirs)
        assert (signed(found, bits) if bits else found) == ours.value
        assert list(theirs.properties.keys) == list(ours.properties)


@pytest.mark.slow
@settings(deadline=None)
@given(payloads)
def test_what_we_write_we_read(payload: Payload) -> None:
    """Names, times and values survive; integers come back as the wire has them, unsigned."""
    order = decode(encode(payload))
    assert order.timestamp_ms == payload.timestamp_ms
    for ours, theirs in zip(payload.metrics, order.metrics, strict=True):
        assert (theirs.name, theirs.timestamp_ms) == (ours.name, ours.timestamp_ms)
        if isinstance(ours.value, int) and not isinstance(ours.value, bool):
            assert isinstance(theirs.value, int)
            assert signed(theirs.value, 32 if ours.datatype is DataType.INT32 else 64) == ours.value
        else:
            assert theirs.value == ours.value


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_is_refused_or_read_but_never_crashes(data: bytes) -> None:
    """Whatever a host sends, the answer is an order or one kind of error."""
    with contextlib.suppress(RejectedInput):
        decode(data)


@pytest.mark.parametrize("metric", ["0a026eff", "0a016e" + "6001" + "7a026eff"], ids=["a name", "a value"])
def test_a_text_that_is_not_utf_8_refuses_the_command(metric: str) -> None:
    """The runtime hands such a text out as bytes, which no reader of a command expects."""
    written = bytes.fromhex(metric)
    with pytest.raises(RejectedInput, match="not UTF-8") as refused:
        decode(b"\x12" + bytes([len(written)]) + written)
    assert refused.value.reason == "bad_sparkplug"


def test_a_command_with_fields_that_we_do_not_know_is_understood() -> None:
    """A host writes what the specification has; what a command does not need is skipped."""
    payload = Judge(timestamp=5, seq=1, uuid="x", body=b"more")
    payload.metrics.add(name="Alarms/red/Ack", timestamp=4, datatype=12, string_value="01X")
    payload.metrics.add(name="Alarms/red/Shelve Minutes", int_value=2**32 - 1)
    order = decode(payload.SerializeToString())
    assert [(metric.name, metric.value) for metric in order.metrics] == [
        ("Alarms/red/Ack", "01X"),
        ("Alarms/red/Shelve Minutes", 2**32 - 1),
    ]


def test_too_many_metrics_are_refused() -> None:
    """A command is small."""
    many = tuple(Metric("m", DataType.INT32, 1, None) for _ in range(1001))
    with pytest.raises(RejectedInput, match="oversize"):
        decode(encode(Payload(1, many, 0)))


def test_the_decoder_of_hosts_reads_our_bytes(npm_decoder: Callable[[Sequence[bytes]], list[Any]]) -> None:
    """sparkplug-payload decodes every type, property, null and flag as we meant them."""
    sent = tuple(
        Metric(f"{datatype.name} {number}", datatype, value, 1_795_000_000_000 + number, historical=number == 1)
        for datatype, examples in EXAMPLES.items()
        for number, value in enumerate(examples)
    )
    stale = Metric("stale", DataType.FLOAT, None, 7, properties={"Quality": Property(DataType.INT32, 500)})
    raw = encode(Payload(1_795_000_000_000, (*sent, stale), 0))
    (payload,) = npm_decoder([raw])
    assert int(payload["seq"]) == 0
    assert int(payload["timestamp"]) == 1_795_000_000_000
    assert [metric["name"] for metric in payload["metrics"]] == [metric.name for metric in (*sent, stale)]
    for ours, theirs in zip(sent, payload["metrics"][:-1], strict=True):
        assert bool(theirs.get("isHistorical")) is ours.historical
        if isinstance(ours.value, bool | str):
            assert theirs["value"] == ours.value
        elif ours.datatype in {DataType.FLOAT, DataType.DOUBLE}:
            assert math.isclose(theirs["value"], ours.value, rel_tol=1e-6)  # type: ignore[arg-type] # a float here
        else:
            bits = 32 if ours.datatype is DataType.INT32 else 64
            assert signed(int(theirs["value"]), bits) == ours.value
    assert payload["metrics"][-1]["value"] is None
    assert payload["metrics"][-1]["properties"]["Quality"]["value"] == 500


@pytest.mark.parametrize(
    "data",
    [b"\x12\x00" * 1_001, b"\x28\x00" * 10_001, b"\x12\x7e" + b"\x28\x00" * 63, bytes(40_000)],
    ids=["metrics", "fields", "fields of a metric", "bytes"],
)
def test_a_command_larger_than_any_host_sends_is_refused_before_it_is_read(data: bytes) -> None:
    """Eight megabytes of empty metrics cost 15 s to read; a command has a handful."""
    with pytest.raises(RejectedInput) as caught:
        decode(data * 200 if data.startswith(b"\x12\x7e") else data)
    assert caught.value.reason == "oversize_sparkplug"

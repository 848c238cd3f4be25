"""Tests of the simulated plant: its sensor messages are read by the daemon's own source."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.intake.source import Source
from edge.site.settings import Site
from edge.wire.envelope import Incoming
from examples.demo.plant import sensor_messages
from examples.demo.site import site_document
from examples.demo.story import CAMERA, CHANNELS


def test_every_sensor_reaches_the_daemon_in_the_shapes_of_the_trade() -> None:
    """A bare number, SenML and a JSON object shared by two sensors: four readings from three messages, none refused."""
    site = Site(**site_document(Path("/bundle"), CHANNELS, host="127.0.0.1", port=1883))
    source = Source(site, {CAMERA: 40.0})
    readings = {"vibration_mm_s": 1.5, "pressure_bar": 5.9, "temperature_c": 46.25, "motor_current_a": 4.5}
    found: dict[str, float] = {}
    shapes: set[bytes] = set()
    for message in sensor_messages(site, readings, 1_700_000_000.0):
        shapes.add(message.payload[:1])
        accepted = source.accept(
            Incoming(
                message.topic,
                message.payload,
                retained=False,
                received_ns=0,
                received_wall_ns=1_700_000_000_000_000_000,
            )
        )
        assert accepted.rejections == ()
        found |= {reading.sensor: reading.value for reading in accepted.readings}
    assert found == pytest.approx(readings)
    assert shapes == {b"1", b"[", b"{"}

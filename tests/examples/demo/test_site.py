"""Tests of the demo's site file: what the tables say is what the daemon reads."""

from __future__ import annotations

import tomllib
from pathlib import Path

from edge.site.settings import load_site
from examples.demo.site import site_document, toml_text
from examples.demo.story import CHANNELS, RULES, SENSORS, channels_for


def test_the_written_file_is_the_document() -> None:
    """TOML that is read back gives the same values, nested tables and quotes included."""
    document = site_document(Path('/a "quoted" folder/bundle'), CHANNELS, host="127.0.0.1", port=1883)
    assert tomllib.loads(toml_text(document)) == document


def test_the_daemon_accepts_the_file(tmp_path: Path) -> None:
    """Every fault, rule, sensor and alarm of the tables stands in the site."""
    file = tmp_path / "site.toml"
    file.write_text(toml_text(site_document(tmp_path, CHANNELS, host="127.0.0.1", port=1883)), encoding="utf-8")
    site = load_site(file)
    assert [fault.id for fault in site.faults] == [channel.id for channel in CHANNELS]
    assert {fault.id for fault in site.faults if fault.alarm} == {channel.id for channel in CHANNELS if channel.alarm}
    assert [rule.id for rule in site.rules] == [rule.id for rule in RULES]
    assert [sensor.id for sensor in site.sensors] == [sensor.id for sensor in SENSORS]


def test_a_broker_elsewhere_needs_no_tls_in_the_demo(tmp_path: Path) -> None:
    """The demo is a test bench: the site says so itself, and only then."""
    for host, insecure in (("127.0.0.1", False), ("192.0.2.7", True)):
        file = tmp_path / "site.toml"
        file.write_text(toml_text(site_document(tmp_path, CHANNELS, host=host, port=1883)), encoding="utf-8")
        assert load_site(file).runtime.insecure_dev is insecure


def test_channels_follow_the_bundle() -> None:
    """A bundle that knows one fault gives that channel; what sensors alone can say stays."""
    assert [channel.id for channel in channels_for(["rust", "banana"])] == ["rust", "vibration", "pressure"]

"""systemd hears that the daemon is ready and alive, on the socket that it named; without one nothing is said."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from edge.system.systemd import notify, watchdog_interval_s


def test_a_message_reaches_the_named_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One datagram, as systemd wants it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert notify("READY=1")
        assert supervisor.recv(64) == b"READY=1"


def test_an_abstract_socket_is_reached_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that begins with @ is no file."""
    name = f"plantflag-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(f"\0{name}")
        supervisor.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("WATCHDOG=1")
        assert supervisor.recv(64) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", [None, "gone"])
def test_without_a_supervisor_nothing_is_said_and_nothing_fails(
    address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started by hand, or the supervisor went away: the daemon lives on."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / address))
    assert not notify("READY=1")


@pytest.mark.parametrize(("text", "interval_s"), [("30000000", 15.0), (None, None), ("soon", None)])
def test_a_sign_of_life_comes_twice_in_the_interval_that_systemd_wants(
    text: str | None, interval_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it, or never where systemd wants none."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if text is not None:
        monkeypatch.setenv("WATCHDOG_USEC", text)
    assert watchdog_interval_s() == interval_s

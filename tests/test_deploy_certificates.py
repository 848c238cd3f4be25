"""The script that makes a plant's certificates: with them the shipped broker starts, and a client of a stranger's authority stays out."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from edge.broker.connection import Connection
from edge.site.sections import BrokerSettings, TlsSettings
from tests.stand.brokers import MOSQUITTO, Mosquitto, wait_for
from tests.stand.shipped import SHIPPED, options

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed: apt-get install openssl"
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The script, as a person runs it."""
    return subprocess.run(
        ["sh", str(SHIPPED / "certificates.sh"), *arguments], capture_output=True, text=True, check=False
    )


def test_keys_are_for_their_owner_only_and_later_names_come_beside(tmp_path: Path) -> None:
    """A name that is there keeps its key: a second run must not lock a device out."""
    keys = tmp_path / "keys"
    assert run(str(keys), "broker.plant", "press7").returncode == 0
    before = (keys / "press7.key").read_bytes()
    assert "press7.pem is there already" in run(str(keys), "broker.plant", "press7", "cam1").stdout
    assert (keys / "press7.key").read_bytes() == before
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()}
    assert modes["press7.key"] == modes["ca.key"] == 0o600
    assert modes["press7.pem"] == modes["ca.pem"] == 0o644
    made = [str(keys / f"{name}.pem") for name in ("broker", "press7", "cam1")]
    subprocess.run(["openssl", "verify", "-CAfile", str(keys / "ca.pem"), *made], check=True, capture_output=True)
    shown = subprocess.run(
        ["openssl", "x509", "-in", made[0], "-noout", "-text"], check=True, capture_output=True, text=True
    ).stdout
    assert "DNS:broker.plant" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("keys", "host"), "usage"),
        (("keys", "host", "a/b"), "no name"),
        (("keys", "host", ""), "no name"),
        (("keys", "host", "-subj"), "no name"),
        (("keys", "host", "ca"), "another name"),
    ],
)
def test_what_is_no_name_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """It would end up in a file name and in a certificate."""
    done = run(str(tmp_path / arguments[0]), *arguments[1:])
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "keys").exists()


def test_without_the_authoritys_key_nothing_is_signed(tmp_path: Path) -> None:
    """On a device there is none, and that is said."""
    (tmp_path / "ca.pem").write_text("somebody's", encoding="ascii")
    done = run(str(tmp_path), "host", "press7")
    assert done.returncode == 1
    assert "where the authority's key is" in done.stderr


@pytest.mark.broker
@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: apt-get install mosquitto")
def test_the_shipped_broker_takes_them(tmp_path: Path) -> None:
    """By address too; a name of another authority does not come in."""
    ours, strangers = tmp_path / "ours", tmp_path / "strangers"
    for folder in (ours, strangers):
        assert run(str(folder), "127.0.0.1", "press7").returncode == 0
    text = options("edge.conf").replace("/etc/mosquitto/certs", str(ours)).replace("/var/lib/mosquitto", str(tmp_path))
    broker = Mosquitto(tmp_path, text.replace("/etc/mosquitto/edge.acl", str(SHIPPED / "edge.acl"))).start()
    try:
        up: list[str] = []
        for name, keys in (("stranger", strangers), ("ours", ours)):
            files = TlsSettings(ca_file=ours / "ca.pem", cert_file=keys / "press7.pem", key_file=keys / "press7.key")
            connection = Connection(
                BrokerSettings(host="127.0.0.1", port=broker.port, tls=files),
                client_id=name,
                subscriptions=[],
                on_message=lambda _message: None,
                on_up=lambda name=name: up.append(name),  # type: ignore[misc] # a lambda with defaults
            )
            connection.start()
            if name == "ours":
                wait_for(lambda: up, what="our client connects")
            connection.stop(timeout_s=0.1)
        assert up == ["ours"]
    finally:
        broker.kill()

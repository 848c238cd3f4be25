"""Options stand above a site file, none is ignored, and a password never crosses the network in the clear."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from edge.__main__ import EXIT_CONFIG, main
from edge.console.address import overridden, refuse_open_password
from edge.errors import ConfigError
from edge.site.sections import BrokerSettings, TlsSettings

NONE = dict.fromkeys(("broker", "root", "username", "password_file", "ca_file", "cert_file", "key_file"))
SITE = BrokerSettings(
    host="broker.plant",
    port=8883,
    username="press7",
    tls=TlsSettings(
        ca_file=Path("ca.pem"), cert_file=Path("press7.pem"), key_file=Path("press7.key"), minimum_version="1.3"
    ),
)


def options(**given: object) -> argparse.Namespace:
    """A command line."""
    return argparse.Namespace(**(NONE | given))


def test_without_options_the_site_file_counts() -> None:
    """All of it."""
    assert overridden(SITE, options()) == SITE


def test_another_certificate_stands_above_the_site_files() -> None:
    """The authority and the least TLS version stay."""
    changed = overridden(SITE, options(cert_file=Path("scada.pem"), key_file=Path("scada.key"), username="op")).tls
    assert changed is not None
    assert (changed.cert_file, changed.key_file) == (Path("scada.pem"), Path("scada.key"))
    assert (changed.ca_file, changed.minimum_version) == (Path("ca.pem"), "1.3")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("other", "other", 8883),
        ("other:1884", "other", 1884),
        ("[::1]:1884", "::1", 1884),
        ("[::1]", "::1", 8883),
        ("fe80::1", "fe80::1", 8883),
    ],
)
def test_a_broker_is_a_host_with_or_without_a_port(text: str, host: str, port: int) -> None:
    """Also an IPv6 address."""
    changed = overridden(SITE, options(broker=text))
    assert (changed.host, changed.port) == (host, port)


@pytest.mark.parametrize(
    ("settings", "given", "says"),
    [
        (SITE, {"broker": ":1883"}, "write HOST"),
        (SITE, {"broker": "a:b"}, "write HOST"),
        (SITE, {"broker": "[::1"}, "write .ADDRESS."),
        (SITE, {"broker": "a:99999"}, "--port"),
        (SITE, {"cert_file": Path("x.pem")}, "give both"),
        (BrokerSettings(), {"cert_file": Path("x.pem"), "key_file": Path("x.key")}, "give --ca-file"),
        (SITE, {"root": "a/#"}, "--root"),
    ],
)
def test_what_cannot_be_is_refused(settings: BrokerSettings, given: dict[str, object], says: str) -> None:
    """By the option's name."""
    with pytest.raises(ConfigError, match=says):
        overridden(settings, options(**given))


def test_a_password_goes_through_tls_or_stays_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless the site file says that it is a test bench."""
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o600)
    where = ["--broker", "192.0.2.1", "--node", "n", "--username", "u", "--password-file", str(secret)]
    assert main(["alarms", *where]) == EXIT_CONFIG
    assert "in the clear" in capsys.readouterr().err
    away = BrokerSettings(host="192.0.2.1", username="u", password_file=secret)
    refuse_open_password(away, insecure=True)
    refuse_open_password(away.model_copy(update={"host": "127.0.0.1"}), insecure=False)
    refuse_open_password(away.model_copy(update={"tls": SITE.tls}), insecure=False)

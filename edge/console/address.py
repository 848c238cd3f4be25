"""Which node a command is about, and over which broker: a site file, options, or options over a site file."""

from __future__ import annotations

import argparse

from pydantic import ValidationError

from edge.console.client import Client
from edge.errors import ConfigError
from edge.site.sections import BrokerSettings
from edge.site.settings import LOCAL_HOSTS, load_site

DEFAULT_BROKER = "127.0.0.1:1883"
DEFAULT_ROOT = "edge/v1"
_TLS_FILES = ("ca_file", "cert_file", "key_file")


def connect(options: argparse.Namespace) -> Client:
    """The connection that the options ask for; each option overrides the site file.

    Raises:
        ConfigError: they name no node, fit together badly, or would send a password in the clear.
    """
    broker, node, insecure = BrokerSettings(), None, False
    if options.config is not None:
        site = load_site(options.config)
        broker, node, insecure = site.broker, site.node.id, site.runtime.insecure_dev
    node = options.node or node
    if node is None:
        raise ConfigError("name the daemon: --config site.toml, or --node (and --broker, --root)")
    broker = overridden(broker, options)
    refuse_open_password(broker, insecure=insecure)
    return Client(broker, f"{broker.root}/{node}")


def overridden(broker: BrokerSettings, options: argparse.Namespace) -> BrokerSettings:
    """A broker's settings with the options laid over them.

    Raises:
        ConfigError: an option is malformed, or needs another one beside it.
    """
    changed = broker.model_dump()
    if options.broker is not None:
        changed |= _address(options.broker)
    for name in ("root", "username", "password_file"):
        if (value := getattr(options, name)) is not None:
            changed[name] = value
    files = {name: getattr(options, name) for name in _TLS_FILES if getattr(options, name) is not None}
    if files:
        if broker.tls is None and options.ca_file is None:
            raise ConfigError(
                "--cert-file and --key-file need TLS: give --ca-file, the authority of the broker's certificate"
            )
        changed["tls"] = (changed["tls"] or {}) | files
        if len(files.keys() & {"cert_file", "key_file"}) == 1:
            raise ConfigError("--cert-file and --key-file belong together: give both")
    try:
        return BrokerSettings.model_validate(changed)
    except ValidationError as error:
        first = error.errors()[0]
        where = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise ConfigError(f"--{where}: {first['msg'].removeprefix('Value error, ')}") from error


def refuse_open_password(broker: BrokerSettings, *, insecure: bool) -> None:
    """A password goes to this machine, through TLS, or not at all.

    Raises:
        ConfigError: it would cross the network in the clear.
    """
    if broker.password_file is not None and broker.tls is None and broker.host not in LOCAL_HOSTS and not insecure:
        raise ConfigError(
            f"the password would cross the network to {broker.host} in the clear: give --ca-file, so that TLS is used"
        )


def _address(text: str) -> dict[str, object]:
    """Host and port of ``HOST``, ``HOST:PORT`` or ``[ADDRESS]:PORT``; without a port that of the settings stays."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ConfigError(f"--broker {text}: write [ADDRESS] or [ADDRESS]:PORT")
        port = rest[1:] if rest else None
    elif text.count(":") > 1:  # an IPv6 address without a port
        host, port = text, None
    else:
        host, colon, last = text.partition(":")
        port = last if colon else None
    if not host or (port is not None and not (port.isascii() and port.isdigit())):
        raise ConfigError(f"--broker {text}: write HOST or HOST:PORT")
    return {"host": host} if port is None else {"host": host, "port": int(port)}

"""The address of a source with its user and password filled in, and what may be shown of it."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from edge.broker.credentials import secret_text
from edge.camera.shot import SourceFailed
from edge.site.source import PASSWORD, USER, SourceSettings
from edge.wire.camera import CameraTrouble

CONNECT_S = 1.0  # for the TCP connection alone: a camera on the plant's network answers in milliseconds
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def password(source: SourceSettings) -> str:
    """The camera's password as its file says it now; empty where it has none.

    Raises:
        ConfigError: the file is missing, empty, or open to other users.
    """
    return "" if source.password_file is None else secret_text(source.password_file, "cameras.source.password_file")


def filled(source: SourceSettings, secret: str) -> str:
    """The address with `{user}` and `{password}` filled in; the rest of the credentials is not in it."""
    return source.url.replace(USER, quote(source.username or "", safe="")).replace(PASSWORD, quote(secret, safe=""))


def with_credentials(source: SourceSettings, secret: str) -> str:
    """The address for a library that takes the credentials inside it only; not to be logged, and not to be shown."""
    url = filled(source, secret)
    if source.username is None or USER in source.url:
        return url
    parts = urlsplit(url)
    who = quote(source.username, safe="") + (f":{quote(secret, safe='')}" if secret else "")
    return urlunsplit(parts._replace(netloc=f"{who}@{parts.netloc}"))


def local_path(source: SourceSettings) -> Path:
    """The file, folder or device of a `file:`, `folder:` or `v4l2:` address."""
    return Path(unquote(urlsplit(source.url).path))


def shown(url: str) -> str:
    """An address as it may stand in a log: without its query, where cameras are given passwords."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def refuse_unreachable(source: SourceSettings, timeout_s: float = CONNECT_S) -> None:
    """Find out soon whether a host answers at all, and if not, why.

    Raises:
        SourceFailed: ``unreachable``, with what the network says.
    """
    parts = urlsplit(source.url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError as error:  # a name that is unknown is one too
        what = "no answer" if isinstance(error, TimeoutError) else error.strerror or type(error).__name__
        raise SourceFailed(CameraTrouble.UNREACHABLE, f"{host} port {port}: {what}") from None

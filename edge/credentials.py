"""What proves us to the broker and the broker to us: the TLS context and the password, read from guarded files."""

from __future__ import annotations

import ssl
from pathlib import Path

from edge.errors import ConfigError
from edge.sections import BrokerSettings, TlsSettings

_OTHERS = 0o007  # read, write, execute for everybody; a group may read (systemd credentials and secret mounts are 0440)
_TLS_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def try_credentials(settings: BrokerSettings, section: str = "broker") -> None:
    """Open everything that a connection will need, so that what is wrong with it is said at the start.

    Args:
        settings: the broker.
        section: where it stands in the site file, for the message.

    Raises:
        ConfigError: a password, certificate or key file cannot be used.
    """
    password(settings, section)
    if settings.tls is not None:
        tls_context(settings.tls, section)


def password(settings: BrokerSettings, section: str = "broker") -> str | None:
    """The broker password, without its trailing line end; None when none is configured.

    Raises:
        ConfigError: the file is missing, empty, open to other users, or there is no user name to go with it.
    """
    path = settings.password_file
    if path is None:
        return None
    if settings.username is None:
        raise ConfigError(f"{section}.password_file is set but {section}.username is not: give both")
    _refuse_open_secret(path, f"{section}.password_file")
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{section}.password_file {path} cannot be read as text: {error}") from error
    if not text:
        raise ConfigError(f"{section}.password_file {path} is empty: write the password into it")
    return text


def tls_context(tls: TlsSettings, section: str = "broker") -> ssl.SSLContext:
    """A client context that checks the broker's certificate and host name; mutual when we have a certificate.

    Raises:
        ConfigError: a file is missing, is not PEM, is open to other users, or key and certificate do not match.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # host name and certificate are checked by default
    context.sslsocket_class = _ClosingSocket
    context.minimum_version = _TLS_VERSIONS[tls.minimum_version]
    try:
        context.load_verify_locations(cafile=tls.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"{section}.tls.ca_file {tls.ca_file} is not a readable PEM certificate: {error}") from error
    if tls.cert_file is not None and tls.key_file is not None:
        _refuse_open_secret(tls.key_file, f"{section}.tls.key_file")
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_passphrase)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{section}.tls.cert_file {tls.cert_file} and key_file {tls.key_file} are not a readable PEM pair: {error}"
            ) from error
    return context


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho would leave it to the garbage collector, at each attempt."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the base class's signature
        """Shake hands or close."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _no_passphrase() -> str:
    """OpenSSL would ask on the terminal and hang a service."""
    raise ValueError("the key is encrypted; a daemon cannot type a passphrase: store it unencrypted with mode 600")


def _refuse_open_secret(path: Path, key: str) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{key} {path} cannot be read: {error.strerror}") from error
    if mode & _OTHERS:
        raise ConfigError(f"{key} {path} can be read by every user of this machine: run `chmod 600 {path}`")

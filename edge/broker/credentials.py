"""Credentials of the broker connection: the TLS context and the password, read from guarded files."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from edge.errors import ConfigError
from edge.site.sections import BrokerSettings, TlsSettings

_OTHERS = 0o007  # read, write, execute for everybody; a group may read (systemd credentials and secret mounts are 0440)
_GROUP_WRITES = 0o020
_CODE_BYTES = 8
_TLS_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def try_credentials(settings: BrokerSettings, section: str = "broker") -> None:
    """Open everything that a connection will need, so that faults in it are reported at the start.

    Args:
        settings: the broker.
        section: its table in the site file, for the message.

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
    return secret_text(path, f"{section}.password_file")


def secret_text(path: Path, key: str) -> str:
    """What a guarded file holds, without its trailing line end; `key` is where the settings name it, for the message.

    Raises:
        ConfigError: the file is missing, empty, no text, or open to other users.
    """
    _refuse_open_secret(path, key)
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key} {path} cannot be read as text: {error}") from error
    if not text:
        raise ConfigError(f"{key} {path} is empty: write the password into it")
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


def client_id(name: str, settings: BrokerSettings) -> str:
    """The MQTT client id of a connection: its name and a code that only the holder of our key can make.

    A broker gives a session to any client that sends its client id, whatever its certificate. So a name alone, which can be guessed, would let any
    certificate take the connection. The code is the same as long as the key is, and reveals nothing of it.

    Raises:
        ConfigError: the key cannot be read.
    """
    key_file = None if settings.tls is None else settings.tls.key_file
    if key_file is None or not settings.secret_client_id:
        return name
    try:
        key = hashlib.sha512(key_file.read_bytes()).digest()
    except OSError as error:
        raise ConfigError(f"broker.tls.key_file {key_file} cannot be read: {error.strerror}") from error
    code = hashlib.blake2b(name.encode(), key=key, digest_size=_CODE_BYTES).hexdigest()
    return f"{name}-{code}"


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
    if mode & _GROUP_WRITES:
        raise ConfigError(f"{key} {path} can be replaced by others of its group: run `chmod 640 {path}`")

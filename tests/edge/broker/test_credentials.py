"""Secrets on disk: what is open to others, missing or broken is refused before anything connects, and says what to do."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import pytest

from edge.broker.credentials import client_id, password, tls_context
from edge.errors import ConfigError
from edge.site.sections import BrokerSettings, TlsSettings


def secret(tmp_path: Path, content: bytes = b"s3cret\n", mode: int = 0o600) -> Path:
    """A password file."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_no_file_means_no_password() -> None:
    """A broker may need none."""
    assert password(BrokerSettings()) is None


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440])
def test_a_password_loses_its_line_end_and_nothing_else(tmp_path: Path, mode: int) -> None:
    """Editors add a line end; spaces belong to the password. A group may read it, as systemd credentials are made."""
    path = secret(tmp_path, b" s3 cret \r\n", mode)
    assert password(BrokerSettings(username="press7", password_file=path)) == " s3 cret "


@pytest.mark.parametrize(
    ("content", "mode", "username", "says"),
    [
        (b"s3cret", 0o644, "press7", "chmod 600"),
        (b"s3cret", 0o602, "press7", "chmod 600"),
        (b"\n", 0o600, "press7", "is empty"),
        (b"\xff\xfe", 0o600, "press7", "as text"),
        (b"s3cret", 0o600, None, "broker.username"),
    ],
)
def test_a_password_file_that_cannot_be_used_says_why(
    tmp_path: Path, content: bytes, mode: int, username: str | None, says: str
) -> None:
    """Open to others, empty, not text, or without a user name: a ConfigError that names the cure, never the secret."""
    path = secret(tmp_path, content, mode)
    with pytest.raises(ConfigError, match=says) as caught:
        password(BrokerSettings(username=username, password_file=path))
    assert "s3cret" not in str(caught.value)


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    """The text names the file."""
    with pytest.raises(ConfigError, match="nowhere"):
        password(BrokerSettings(username="press7", password_file=tmp_path / "nowhere"))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_context_checks_the_broker(pki: Path, version: str) -> None:
    """Certificate and host name are verified, and the minimum version is kept."""
    files = {"ca_file": pki / "ca.pem", "cert_file": pki / "press7.pem", "key_file": pki / "press7.key"}
    context = tls_context(TlsSettings.model_validate({**files, "minimum_version": version}))
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"ca_file": "nowhere"}, "ca_file .*nowhere"),
        ({"ca_file": "san"}, "ca_file .*san"),
        ({"cert_file": "nowhere"}, "cert_file .*nowhere"),
        ({"key_file": "nowhere"}, "key_file .*nowhere"),
        ({"key_file": "cam1.key"}, "not a readable PEM pair"),
    ],
    ids=["no authority", "authority is not PEM", "no certificate", "no key", "key of another certificate"],
)
def test_broken_tls_files_are_named(pki: Path, files: dict[str, str], says: str) -> None:
    """Whatever is wrong with a file, the text names it and its key in site.toml."""
    names = {"ca_file": "ca.pem", "cert_file": "press7.pem", "key_file": "press7.key"} | files
    with pytest.raises(ConfigError, match=says):
        tls_context(TlsSettings.model_validate({key: pki / name for key, name in names.items()}))


def test_an_encrypted_key_does_not_wait_for_a_terminal(pki: Path, tmp_path: Path) -> None:
    """A service cannot type a passphrase: refused at once, with the cure."""
    from tests.stand.brokers import openssl

    key = tmp_path / "locked.key"
    openssl(tmp_path, "pkcs8", "-topk8", "-in", str(pki / "press7.key"), "-out", str(key), "-passout", "pass:x")
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="unencrypted"):
        tls_context(TlsSettings(ca_file=pki / "ca.pem", cert_file=pki / "press7.pem", key_file=key))


def test_a_client_id_ends_with_a_code_that_only_our_key_makes(pki: Path) -> None:
    """The same at each start, another for each connection and each key, and without a key the name alone."""

    def settings(name: str, *, secret: bool = True) -> BrokerSettings:
        tls = TlsSettings(ca_file=pki / "ca.pem", cert_file=pki / f"{name}.pem", key_file=pki / f"{name}.key")
        return BrokerSettings(tls=tls, secret_client_id=secret)

    made = [client_id("press7", settings("press7")), client_id("press7", settings("cam1"))]
    made.append(client_id("press7-in", settings("press7")))
    assert len(set(made)) == 3
    assert all(re.fullmatch(r"press7(-in)?-[0-9a-f]{16}", one) for one in made)
    assert client_id("press7", settings("press7")) == made[0]
    assert client_id("press7", settings("press7", secret=False)) == "press7"
    assert client_id("press7", BrokerSettings()) == "press7"


@pytest.mark.parametrize(("mode", "word"), [(0o644, "every user"), (0o660, "others of its group"), (0o620, "others of its group")])  # fmt: skip
def test_a_password_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int, word: str) -> None:
    """Read by all, or replaced by the group."""
    with pytest.raises(ConfigError, match=word):
        password(BrokerSettings(username="u", password_file=secret(tmp_path, mode=mode)))

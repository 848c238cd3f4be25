"""Who may sign in and what for: a file of names, roles and salted scrypt hashes, replaced whole at each change."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge.broker.credentials import secret_text
from edge.errors import ConfigError, RejectedInput
from edge.parsing.structure import Bounds, json_within
from edge.system.flush import flush
from edge.wire.verbs import Verb

SCHEMA = "edge.users/1"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
LEAST_CHARACTERS = 10  # of a password
MOST_CHARACTERS = 256
BOUNDS = Bounds(size_bytes=500_000, values=10_000)
# 16 MB and some 0.3 s of one core for each trial (OWASP's row for 16 MB): a page on a small board must bear it.
COST, BLOCK, LANES = 2**14, 8, 5
_MEMORY_BYTES = 64 * 2**20
_SALT_BYTES = 16


class Role(StrEnum):
    """What a user may do."""

    READ_ONLY = "read-only"
    OPERATOR = "operator"
    ENGINEER = "engineer"


_OPERATOR = frozenset({Verb.ACK, Verb.RESET, Verb.SHELVE, Verb.UNSHELVE, Verb.EXPLAIN, Verb.SNAPSHOT, Verb.REPLAY})
_ENGINEER = frozenset({Verb.SUPPRESS, Verb.UNSUPPRESS, Verb.OUT_OF_SERVICE, Verb.IN_SERVICE, Verb.REBIRTH, Verb.RELOAD})
VERBS_OF: Mapping[Role, frozenset[Verb]] = {
    Role.READ_ONLY: frozenset(),
    Role.OPERATOR: _OPERATOR,
    Role.ENGINEER: _OPERATOR | _ENGINEER,
}


@dataclass(frozen=True, slots=True)
class User:
    """One user; `secret` is the salt and the hash of the password, as text."""

    name: str
    role: Role
    secret: str


def hashed(password: str) -> str:
    """Salt and hash of a password."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt${COST}${BLOCK}${LANES}${_text(salt)}${_text(_scrypt(password, salt))}"


def matches(password: str, secret: str) -> bool:
    """Whether it is the password of a hash; takes as long for a wrong one."""
    _, cost, block, lanes, salt, expected = secret.split("$")
    if (int(cost), int(block), int(lanes)) != (COST, BLOCK, LANES):
        return False
    return hmac.compare_digest(_scrypt(password, base64.b64decode(salt)), base64.b64decode(expected))


# Nobody's password: an unknown name costs the time of a known one.
NOBODY = f"scrypt${COST}${BLOCK}${LANES}${'A' * 22}==${'A' * 43}="


class Users:
    """The users of a file, read again when it changed.

    Args:
        path: the file; it must not be readable by others.

    Raises:
        ConfigError: it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._users: dict[str, User] = {}
        self._read()

    def get(self, name: str) -> User | None:
        """A user as the file has him now; nobody while it cannot be used."""
        try:
            self._read()
        except ConfigError:
            self._users, self._stamp = {}, None
        return self._users.get(name)

    def _read(self) -> None:
        try:
            stat = self._path.stat()
        except OSError as error:
            raise ConfigError(
                f"users_file {self._path} cannot be read: {error.strerror}; `edge-page user add` makes it"
            ) from error
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_mode)
        if stamp != self._stamp:
            self._users = read_users(self._path)
            self._stamp = stamp


def read_users(path: Path) -> dict[str, User]:
    """Every user of a file, by name.

    Raises:
        ConfigError: the file is missing, open to others, or holds no users.
    """
    text = secret_text(path, "users_file")
    try:
        document = json_within(text.encode(), BOUNDS)
        users = [User(name, Role(one["role"]), str(one["secret"])) for name, one in document["users"].items()]
        form = document["schema"]
    except (RejectedInput, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"users_file {path} is not of the form {SCHEMA}: {error}") from error
    if form != SCHEMA:
        raise ConfigError(f"users_file {path} is of the form {form}, not {SCHEMA}: another version wrote it")
    if bad := [user.name for user in users if user.secret.count("$") != 5 or NAME.fullmatch(user.name) is None]:
        raise ConfigError(f"users_file {path} has a damaged entry: {', '.join(bad)}")
    return {user.name: user for user in users}


def write_users(path: Path, users: Mapping[str, User]) -> None:
    """Replace the file, whole or not at all; readable by its owner only, and by its group if it was before.

    Raises:
        ConfigError: it cannot be written.
    """
    document = {name: {"role": user.role.value, "secret": user.secret} for name, user in sorted(users.items())}
    try:
        mode = path.stat().st_mode & 0o640 if path.exists() else 0o600
        with tempfile.NamedTemporaryFile(
            "w", dir=path.absolute().parent, prefix=f".{path.name}.", encoding="utf-8", delete=False
        ) as file:
            json.dump({"schema": SCHEMA, "users": document}, file, indent=1)
            file.write("\n")
        new = Path(file.name)
        new.chmod(mode)
        if path.exists() and os.geteuid() == 0:
            os.chown(new, path.stat().st_uid, path.stat().st_gid)
        flush(new)
        new.replace(path)
        flush(path.absolute().parent)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def refuse_password(password: str, name: str) -> None:
    """Refuse what is no password.

    Raises:
        ConfigError: it is too short, too long, or the name.
    """
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise ConfigError(f"a password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters")
    if password.lower() == name.lower():
        raise ConfigError("the name is no password")


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=COST, r=BLOCK, p=LANES, maxmem=_MEMORY_BYTES, dklen=32
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

"""Who may sign in: the file is written whole, holds no password, and a change holds at once; by the command itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.page.__main__ import main
from edge.page.users import NOBODY, VERBS_OF, Role, Users, hashed, matches, read_users
from edge.wire.verbs import Verb

PASSWORD = "correct horse battery"  # noqa: S105 - of a test


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A page.toml with a password file beside it."""
    path = tmp_path / "page.toml"
    path.write_text('users_file = "users.json"\n', encoding="utf-8")
    (tmp_path / "word").write_text(PASSWORD + "\n", encoding="utf-8")
    (tmp_path / "word").chmod(0o600)
    return path


def add(config: Path, name: str, role: str = "operator") -> int:
    """`edge-page user add`."""
    word = str(config.parent / "word")
    return main(["user", "add", "--config", str(config), name, "--role", role, "--password-file", word])


def test_a_user_is_added_changed_and_removed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command; the file is for its owner alone and holds no password."""
    path = config.parent / "users.json"
    assert add(config, "meier") == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in path.read_text(encoding="utf-8")
    users = Users(path)
    first = users.get("meier")
    assert first is not None
    assert matches(PASSWORD, first.secret)
    assert not matches(PASSWORD + "x", first.secret)
    assert add(config, "meier", "engineer") == 0
    changed = users.get("meier")
    assert changed is not None
    assert changed.role is Role.ENGINEER, "read again without a restart"
    assert changed.secret != first.secret, "another salt"
    assert main(["user", "list", "--config", str(config)]) == 0
    assert "meier\tengineer" in capsys.readouterr().out
    assert main(["check", "--config", str(config)]) == 0
    assert main(["user", "remove", "--config", str(config), "meier"]) == 0
    assert users.get("meier") is None
    assert main(["user", "remove", "--config", str(config), "meier"]) == 2


@pytest.mark.parametrize("name", ["", "a b", "../x", "ä", "-x", "a" * 65])
def test_a_name_that_is_none_is_refused(config: Path, name: str) -> None:
    """It goes into the journal and into logs."""
    assert main(["user", "add", "--config", str(config), "--role", "operator", "--", name]) == 2


@pytest.mark.parametrize("password", ["short", "x" * 257, "Longenough1"])
def test_a_password_that_is_none_is_refused(config: Path, password: str) -> None:
    """Too short, too long, or the name."""
    (config.parent / "word").write_text(password, encoding="utf-8")
    assert add(config, "longenough1") == 2


def test_a_file_that_others_can_read_is_refused(config: Path) -> None:
    """And one that is damaged; nobody signs in meanwhile."""
    add(config, "meier")
    path = config.parent / "users.json"
    users = Users(path)
    path.chmod(0o644)
    assert users.get("meier") is None
    with pytest.raises(ConfigError, match="chmod 600"):
        read_users(path)
    path.chmod(0o600)
    assert users.get("meier") is not None
    path.write_text(json.dumps({"schema": "edge.users/1", "users": {"meier": {"role": "king", "secret": ""}}}))
    os.utime(path, ns=(1, 1))
    assert users.get("meier") is None
    with pytest.raises(ConfigError, match=r"not of the form"):
        read_users(path)


def test_nobody_has_a_password() -> None:
    """An unknown name is tried against it, at the cost of a known one."""
    assert not matches("", NOBODY)
    assert NOBODY.split("$")[:4] == hashed("x").split("$")[:4]


def test_a_role_may_what_the_roles_below_it_may() -> None:
    """Who only looks may nothing; an engineer alone exchanges bundles."""
    assert VERBS_OF[Role.READ_ONLY] < VERBS_OF[Role.OPERATOR] < VERBS_OF[Role.ENGINEER]
    assert Verb.RELOAD in VERBS_OF[Role.ENGINEER] - VERBS_OF[Role.OPERATOR]

"""`check` opens what `run` will open, so what it passes starts; `bench` says whether its figures are those of the board."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rig import site_document, toml
from edge.__main__ import EXIT_CONFIG, EXIT_OK, main
from edge.bundle import open_bundle
from edge.daemon import Daemon
from edge.errors import ConfigError
from edge.settings import Site, load_site
from tests.edge.builders import colour_bundle
from tests.plant import roomy_bundle


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """`check` and `bench` measure at the daemon's priority on the thread that calls them; the tests after these are ordinary again."""
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, policy, param)


SPARKPLUG = {"enabled": True, "group_id": "G"}


def secret(folder: Path, name: str, mode: int, content: str = "x") -> str:
    """A file for a secret."""
    (folder / name).write_text(content, encoding="utf-8")
    (folder / name).chmod(mode)
    return str(folder / name)


def broken(folder: Path, case: str) -> tuple[dict[str, Any], str]:
    """Tables of a site in which one secret cannot be used, and what is said of it."""
    open_to_all = {"username": "u", "password_file": secret(folder, "open", 0o644)}
    nobody = {"password_file": secret(folder, "kept", 0o600)}
    garbage = {"tls": {"ca_file": secret(folder, "ca.pem", 0o644, "garbage")}}
    missing = {"username": "u", "password_file": str(folder / "nowhere")}
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "password open to others": ({"broker": open_to_all}, "broker.password_file .*`chmod 600 "),
        "password without a user": ({"broker": nobody}, "broker.username is not: give both"),
        "authority that is none": ({"broker": garbage}, "broker.tls.ca_file .* not a readable PEM"),
        "Sparkplug server without its password": (
            {"sparkplug": SPARKPLUG | {"servers": [{"port": 1}, missing]}},
            r"sparkplug.servers\[1\].password_file .*nowhere",
        ),
    }
    return cases[case]


CASES = [
    "password open to others",
    "password without a user",
    "authority that is none",
    "Sparkplug server without its password",
]


@pytest.mark.parametrize("case", CASES)
def test_a_secret_that_cannot_be_used_is_named_by_both(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` exits with 2, and the daemon is not built; the text names the key and the file."""
    tables, says = broken(tmp_path, case)
    file = tmp_path / "site.toml"
    document = site_document(roomy_bundle(tmp_path / "colours"), 1) | tables
    file.write_text(toml(document | {"runtime": {"allow_other_board": True}}), encoding="utf-8")
    assert main(["check", "--config", str(file)]) == EXIT_CONFIG
    told = capsys.readouterr().err
    site = load_site(file)
    with pytest.raises(ConfigError, match=says) as caught:
        Daemon(site, open_bundle(site.bundle))
    assert told == f"configuration: {caught.value}\n"


def test_a_site_whose_secrets_are_right_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a Sparkplug that is switched off are not looked at."""
    good = {"username": "u", "password_file": secret(tmp_path, "kept", 0o600)}
    missing = good | {"password_file": str(tmp_path / "nowhere")}
    document = site_document(roomy_bundle(tmp_path / "colours"), 1)
    document |= {"broker": good, "sparkplug": {"enabled": False, "servers": [missing]}}
    file = tmp_path / "site.toml"
    file.write_text(toml(document | {"runtime": {"allow_other_board": True}}), encoding="utf-8")
    assert Site.model_validate(document)
    assert main(["check", "--config", str(file)]) == EXIT_OK
    assert "not contacted" in capsys.readouterr().out


@pytest.mark.parametrize(("arch", "notes"), [("x86_64", 0), ("sparc", 1)])
def test_bench_notes_another_board(
    arch: str, notes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A budget that is met on another machine says nothing of the board, and the reader is told."""
    target = {"board": "b", "arch": arch, "isa_required": [], "memory_mib": 64, "budget_ms": 400.0}
    colour_bundle(tmp_path / "b", target=target)
    monkeypatch.setattr("edge.board.platform.machine", lambda: "x86_64")
    assert main(["bench", str(tmp_path / "b"), "--seconds", "0.1", "--fps", "0"]) == 0
    said = capsys.readouterr().out
    assert "inside the budget" in said
    assert said.count("only indicative") == notes

"""`check` opens what `run` will open, so what it passes starts; `bench` says whether its figures are those of the board."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.__main__ import EXIT_CONFIG, EXIT_OK, main
from edge.bundle import open_bundle
from edge.console.inspection import check_site
from edge.daemon import Daemon
from edge.errors import ConfigError
from edge.plan import site_bundle
from edge.site.settings import Site, load_site
from tests.stand.bundles import colour_bundle, fault
from tests.stand.daemon import site_document, toml
from tests.stand.plant import roomy_bundle


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """`check` and `bench` measure at the daemon's priority on the thread that calls them; the tests after these are ordinary again."""
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, policy, param)


ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap"}
TARGET = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}
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
        Daemon(site, site_bundle(site))
    assert told == f"configuration: {caught.value}\n"


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("Apache-2.0", "licence   Apache-2.0"),
        ("unknown", "licence   UNKNOWN: "),
        ("unverified: MIT as packaged", "licence   NOT VERIFIED: MIT as packaged; "),
    ],
)
def test_check_shows_the_licence_of_the_weights(licence: str, said: str, tmp_path: Path) -> None:
    """And warns where nobody vouches for it."""
    document = site_document(roomy_bundle(tmp_path / "colours"), 1) | {"runtime": {"allow_other_board": True}}
    bundle = open_bundle(tmp_path / "colours")
    source = bundle.manifest.source.model_copy(update={"licence": licence})
    relicensed = replace(bundle, manifest=bundle.manifest.model_copy(update={"source": source}))
    lines = list(check_site(Site.model_validate(document), relicensed))
    assert next(line for line in lines if line.startswith("licence")).startswith(said)


def test_what_a_site_leaves_ambiguous_is_said_and_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two sensors with one pointer on one topic, and slower than they are stale: `check` passes, and says what to set."""
    sensors = [{"id": name, "topic": "gw", "pointer": "/value", "period_ms": 60_000} for name in ("a", "b")]
    document = site_document(roomy_bundle(tmp_path / "colours"), 1) | {"sensors": sensors}
    file = tmp_path / "site.toml"
    file.write_text(toml(document | {"runtime": {"allow_other_board": True}}), encoding="utf-8")
    assert main(["check", "--config", str(file)]) == EXIT_OK
    said = capsys.readouterr().out
    assert "sensor    AMBIGUOUS: sensors a and b share the topic gw and the pointer /value" in said
    assert "sensor    TOO SOON: sensor a comes every 60000 ms and is stale after 5000 ms" in said


@pytest.mark.parametrize(("arch", "notes"), [("x86_64", 0), ("sparc", 1)])
def test_bench_notes_another_board(
    arch: str, notes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A budget that is met on another machine says nothing of the board, and the reader is told."""
    target = {"board": "b", "arch": arch, "isa_required": [], "memory_mib": 64, "budget_ms": 400.0}
    colour_bundle(tmp_path / "b", target=target)
    monkeypatch.setattr("edge.system.board.platform.machine", lambda: "x86_64")
    assert main(["bench", str(tmp_path / "b"), "--seconds", "0.1", "--fps", "0"]) == 0
    said = capsys.readouterr().out
    assert "inside the budget" in said
    assert said.count("only indicative") == notes


@pytest.mark.slow
def test_check_says_what_would_be_watched_line_by_line(tmp_path: Path) -> None:
    """Every line begins with what it is about; together they name each camera, sensor and fault, and what does not survive."""
    sensors = [{"id": "oil", "topic": "plc/oil"}]
    rules = [{"id": "hot", "sensor": "oil", "kind": "above", "limit": 80.0}]
    faults = [
        {"id": "red", "camera": "cam1", "alarm": ALARM},
        {"id": "heat", "rules": ["hot"]},
    ]
    size = {"name": "frame", "width": 96, "height": 96, "resize": "stretch"}  # larger than its golden pictures
    colour_bundle(tmp_path / "colours", target=TARGET, input=size)
    document = site_document(tmp_path / "colours", 1883) | {
        "sensors": sensors, "rules": rules, "faults": faults, "runtime": {"allow_other_board": True},
    }  # fmt: skip
    document["cameras"][0] |= {"max_pixels": 60_000_000, "max_bytes": 9_000_000}
    document["cameras"][0] |= {"trigger": {"after_ms": 90}, "source": {"url": "https://cam/shot.jpg", "fps": 10}}
    bundle = open_bundle(tmp_path / "colours")
    lines = list(check_site(Site.model_validate(document), bundle))
    told: dict[str, list[str]] = {}
    for line in lines:
        head, _, rest = line.partition(" ")
        told.setdefault(head, []).append(rest.strip())
    assert set(told) == {
        "bundle",
        "licence",
        "board",
        "proof",
        "pictures",
        "camera",
        "trigger",
        "sensor",
        "fault",
        "state",
        "broker",
    }
    assert f"version {bundle.manifest.version}" in told["bundle"][0]
    assert told["board"] == [f"not checked (runtime.allow_other_board); made for {bundle.manifest.target.board}"]
    assert "golden inputs within" in told["proof"][0]
    assert told["camera"] == ["cam1 on edge/v1/bench/in/frame/cam1, budget 500 ms"]
    assert told["trigger"] == [
        (
            "cam1 on edge/v1/bench/in/trigger/cam1: frames from 0 ms before to 90 ms after, answered within 1000 ms; "
            "TOO SHORT: a picture comes every 100 ms, so some parts get none: raise after_ms or fps"
        )
    ]
    assert told["sensor"] == ["oil on plc/oil"]
    assert told["fault"] == ["red: raises an alarm", "heat: flag only"]
    assert told["state"][0].startswith("NOT KEPT: node.state_dir is not set")
    assert told["broker"] == ["127.0.0.1:1883, topics below edge/v1/bench; not contacted"]
    pictures = "\n".join(told["pictures"])
    for said in (
        "EXTREME: ",
        "MP as jpeg",
        "LARGER THAN THE BUDGET LEAVES as",
        "TOO LARGE: camera cam1: max_bytes = 9000000",
    ):
        assert said in pictures


@pytest.mark.slow
def test_check_says_of_a_fault_that_is_not_armed_why(tmp_path: Path) -> None:
    """Its alarm is asked for, and its threshold was not calibrated: nobody shall rely on it."""
    disarmed = [fault(name) | {"armed": False} for name in ("red", "green", "blue")]
    colour_bundle(tmp_path / "colours", target=TARGET, faults=disarmed)
    document = site_document(tmp_path / "colours", 1) | {
        "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}], "runtime": {"allow_other_board": True},
    }  # fmt: skip
    lines = list(check_site(Site.model_validate(document), open_bundle(tmp_path / "colours")))
    assert next(line for line in lines if line.startswith("fault")).startswith("fault     red: NOT ARMED: ")


@pytest.mark.slow
def test_check_of_a_site_without_cameras_needs_no_bundle(tmp_path: Path) -> None:
    """And says where the state is kept."""
    document = site_document(tmp_path, 1) | {
        "node": {"id": "bench", "state_dir": str(tmp_path)}, "cameras": [], "sensors": [{"id": "oil"}],
        "rules": [{"id": "hot", "sensor": "oil", "kind": "above", "limit": 80.0}], "faults": [{"id": "heat", "rules": ["hot"]}],
    }  # fmt: skip
    lines = list(check_site(Site.model_validate(document), None))
    assert (
        lines[0]
        == "bundle    none: there is no camera and no window of readings, so nothing is proven and no budget has to be kept"
    )
    assert f"state     kept in {tmp_path}" in lines
    assert not any(line.startswith(("camera", "pictures", "proof")) for line in lines)

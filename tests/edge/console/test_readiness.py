"""`check --connect` asks what only the plant can answer, and `check` alone does not pass a state folder that is dead."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.__main__ import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, main
from edge.console.readiness import (
    Finding,
    broker_findings,
    clock_finding,
    disk_finding,
    grant_finding,
    said_topics,
    try_state_dir,
)
from edge.errors import ConfigError
from edge.site.sections import BrokerSettings, NodeSettings, TlsSettings
from edge.site.settings import Site, load_site
from edge.system.realtime import Grant
from tests.stand.brokers import Mosquitto
from tests.stand.daemon import Ear, site_document, toml
from tests.stand.plant import roomy_bundle
from tests.stand.ports import free_port


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """`check` measures at the daemon's priority on the thread that calls it; the tests after these are ordinary again."""
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, policy, param)


def written(folder: Path, port: int, **tables: object) -> Path:
    """A site file that `check` passes."""
    file = folder / "site.toml"
    document = site_document(roomy_bundle(folder / "colours"), port) | tables
    file.write_text(toml(document | {"runtime": {"allow_other_board": True}}), encoding="utf-8")
    return file


def verdicts(findings: list[Finding]) -> dict[str, str]:
    """By what was looked at."""
    return {one.what: one.verdict for one in findings}


@pytest.mark.broker
@pytest.mark.not_ours
def test_a_good_broker_is_a_table_of_ok(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Broker, each topic, clock, disk, scheduling; nothing that it published is kept."""
    (tmp_path / "state").mkdir()
    file = written(tmp_path, mosquitto.port, node={"id": "bench", "state_dir": str(tmp_path / "state")})
    assert main(["check", "--connect", "--config", str(file)]) == EXIT_OK
    table = [line.split("  ")[0] for line in capsys.readouterr().out.partition("\n\n")[2].splitlines()]
    assert table[0] == "WHAT"
    assert {
        "broker",
        "packets",
        "publish state",
        "publish alarm/+",
        "subscribe edge/v1/bench/in/frame/cam1",
        "clock",
        "disk",
    } <= set(table)
    assert "real-time" in table
    assert list((tmp_path / "state").iterdir()) == [], "the trial is taken away again"
    late = Ear(mosquitto.port, topics=("#",))
    assert late.count() == 0
    late.close()


@pytest.mark.broker
def test_a_broker_that_is_not_there_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason."""
    monkeypatch.setattr("edge.console.readiness.CONNECT_S", 1.0)
    assert main(["check", "--connect", "--config", str(written(tmp_path, free_port()))]) == EXIT_FAILED
    assert "broker     FAILED   cannot reach the broker" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.not_ours
def test_each_topic_that_rules_forbid_is_named(make_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """What may not be written, and what is granted and yet hidden."""
    rules = tmp_path / "acl"
    rules.write_text("topic write edge/v1/n/state\ntopic write edge/v1/n/flag/+\ntopic read edge/v1/n/cmd/+\n")
    rules.chmod(0o600)
    broker = make_mosquitto(f"allow_anonymous true\nacl_file {rules}").start()
    site = Site(
        bundle=Path("b"), node=NodeSettings(id="n"), broker=BrokerSettings(port=broker.port), cameras=({"id": "c"},)
    )
    found = verdicts(list(broker_findings(site)))
    assert {what for what, verdict in found.items() if what.startswith("publish") and verdict == "ok"} == {"publish state", "publish flag/+"}  # fmt: skip
    assert found["publish alarm/+"] == "FAILED"
    assert found["subscribe edge/v1/n/state"] == "FAILED"


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.not_ours
def test_the_shipped_rules_pass(edge_broker: Mosquitto, pki: Path) -> None:
    """For the node that they name, and for no other certificate."""
    found = {}
    for name in ("press7", "press8"):
        tls = TlsSettings(ca_file=pki / "ca.pem", cert_file=pki / f"{name}.pem", key_file=pki / f"{name}.key")
        broker = BrokerSettings(host="localhost", port=edge_broker.port, tls=tls)
        site = Site(bundle=Path("b"), node=NodeSettings(id="press7"), broker=broker, cameras=({"id": "cam1"},))
        found[name] = verdicts(list(broker_findings(site)))
    assert set(found["press7"].values()) == {"ok"}
    assert {what for what, verdict in found["press8"].items() if verdict == "FAILED"} >= {"publish state", "publish res/+"}  # fmt: skip


@pytest.mark.broker
@pytest.mark.not_ours
@pytest.mark.parametrize(
    ("option", "protocol", "max_bytes", "verdict", "said"),
    [
        ("max_packet_size 20000", "5", 15_001, "warning", "larger pictures of c end the camera's own connection"),
        ("max_packet_size 20000", "5", 15_000, "ok", "the broker 20000"),
        ("", "5", 8_000_000, "ok", "names no limit"),
        ("max_packet_size 20000", "3.1.1", 15_001, "warning", "MQTT 3.1.1 does not report"),
    ],
)
def test_a_packet_that_the_broker_does_not_take_is_said(  # noqa: PLR0917 - one table
    make_mosquitto: Callable[..., Mosquitto], option: str, protocol: str, max_bytes: int, verdict: str, said: str
) -> None:
    """Cameras find the same limit when they publish, and nobody would hear of it."""
    broker = make_mosquitto(f"allow_anonymous true\n{option}").start()
    site = Site.model_validate(
        {"bundle": "b", "node": {"id": "n"}, "broker": {"port": broker.port, "protocol": protocol}, "cameras": [{"id": "c", "max_bytes": max_bytes}]}
    )  # fmt: skip
    found = next(one for one in broker_findings(site) if one.what == "packets")
    assert found.verdict == verdict
    assert said in found.detail


def test_every_kind_of_topic_is_tried() -> None:
    """Under a name of its own where there is one to choose."""
    topics = said_topics("edge/v1/n")
    assert {"edge/v1/n/state", "edge/v1/n/alarm/check-connect", "edge/v1/n/explain/check-connect/image"} <= set(topics)
    assert not any(letter in "".join(topics) for letter in "{}+")


def test_a_dead_state_folder_is_refused_without_any_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in its place: before, `check` passed and the daemon's journal lived in memory."""
    (tmp_path / "state").write_text("")
    file = written(tmp_path, 1, node={"id": "bench", "state_dir": str(tmp_path / "state")})
    assert load_site(file).node.state_dir == tmp_path / "state"
    assert main(["check", "--config", str(file)]) == EXIT_CONFIG
    assert "node.state_dir" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_full_or_read_only_disk_is_refused(tmp_path: Path) -> None:
    """On a real file system that is full, and then read-only; in the end it is fine."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", tmp_path], check=False).returncode != 0:
        pytest.skip("this container may not mount")
    try:
        with pytest.raises(ConfigError, match="cannot be written: No space"):
            try_state_dir(tmp_path)
        subprocess.run(["mount", "-o", "remount,ro,size=1m", tmp_path], check=True)
        with pytest.raises(ConfigError, match="Read-only"):
            try_state_dir(tmp_path)
        subprocess.run(["mount", "-o", "remount,rw,size=1m", tmp_path], check=True)
        assert disk_finding(tmp_path).verdict == "FAILED"  # it can be written, and has no room for a journal
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_folder_that_is_not_there_yet_is_made_by_the_daemon(tmp_path: Path) -> None:
    """`check` makes nothing."""
    assert try_state_dir(tmp_path / "a" / "b") is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        try_state_dir(tmp_path / "file" / "state")


@pytest.mark.parametrize(
    ("synchronised", "required", "verdict"),
    [(True, True, "ok"), (False, False, "warning"), (False, True, "FAILED"), (None, True, "FAILED")],
)
def test_a_clock_fails_only_where_the_site_requires_it(
    synchronised: bool | None,  # noqa: FBT001 - a table's column
    required: bool,  # noqa: FBT001 - likewise
    verdict: str,
) -> None:
    """A kernel that does not say is not synchronised."""
    assert clock_finding(synchronised, required=required).verdict == verdict


def test_scheduling_says_what_was_granted() -> None:
    """And what to give where it was not."""
    assert grant_finding(Grant("fifo", 10, "")).verdict == "ok"
    assert "LimitRTPRIO" in grant_finding(Grant("nice", -10, "no")).detail

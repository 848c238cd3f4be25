"""Everything that an operator does can be done from a terminal, and each command says clearly what came of it."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.__main__ import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, main
from edge.console.view import parse_duration_s
from edge.errors import ConfigError
from edge.wire.messages import State
from tests.stand.brokers import MOSQUITTO, Mosquitto
from tests.stand.bundles import colour_bundle, flat_jpeg
from tests.stand.daemon import Daemon, Ear, Sender, site_document
from tests.stand.ports import free_port

RED, GREY = flat_jpeg(255, 0, 0), flat_jpeg(90, 90, 90)
ALARM = {
    "severity": 700,
    "message": "It is red",
    "operator_action": "Look",
    "consequence": "Scrap",
    "off_delay_ms": 0.0,
}


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("90s", 90), ("8h", 28800), ("1.5 h", 5400), ("2d", 172800)]
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    """Minutes, hours, seconds, days."""
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-5m", "0m", "1h30m", "forever"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With an example of one that is."""
    with pytest.raises(ConfigError, match="30m"):
        parse_duration_s(text)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A daemon with one red alarm that stands, behind a broker."""
    folder = tmp_path_factory.mktemp("client")
    target = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}
    colour_bundle(folder / "bundle", target=target)
    broker = Mosquitto(folder).start()
    site = site_document(folder / "bundle", broker.port)
    site |= {"faults": [{"id": "red", "camera": "cam1", "alarm": ALARM | {"latching": True}}]}
    site |= {"cameras": [{"id": "cam1", "stale_after_ms": 600_000.0, "snapshot": True}]}
    daemon = Daemon(site, folder).start()
    ear, sender = Ear(broker.port), Sender(broker.port)
    sender.knock(ear, RED)
    yield SimpleNamespace(
        where=["--broker", f"127.0.0.1:{broker.port}", "--node", "bench"], ear=ear, sender=sender, folder=folder
    )
    sender.close()
    ear.close()
    daemon.kill()
    broker.kill()


@pytest.fixture
def say(plant: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs one command on the plant; returns its exit status and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        status = main([*arguments, *plant.where, *(["--user", "op"] if arguments[0] not in {"alarms", "show"} else [])])
        out = capsys.readouterr()
        return status, out.out + out.err

    return run


@pytest.mark.broker
@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: `apt-get install mosquitto`")
class TestWithADaemon:
    """Against a real daemon and a real broker; the tests follow one alarm through its life."""

    def test_alarms_are_listed_with_what_needs_somebody_first(self, say: Callable[..., tuple[int, str]]) -> None:
        """Every alarm of the node, the unacknowledged one on top."""
        status, text = say("alarms", "--all")
        lines = text.splitlines()
        assert status == EXIT_OK
        assert lines[0].startswith("online, NE 107 G")
        assert lines[2].split()[:2] == ["red", "UNACK_ALM"]
        assert {line.split()[0] for line in lines[2:]} >= {"red", "cam1-silent", "cam1-late"}

    def test_what_is_normal_is_only_counted(self, say: Callable[..., tuple[int, str]]) -> None:
        """The list shows what stands, with its age and what the operator is to do; `cam1-late` is at rest and known to be."""
        status, text = say("alarms")
        red = next(line for line in text.splitlines() if line.startswith("red "))
        assert status == EXIT_OK
        assert re.search(r"  \d+ s +It is red +Look$", red)
        assert "cam1-late" not in text
        assert re.search(r"^\d+ more normal, see --all$", text, re.MULTILINE)

    def test_one_alarm_is_shown_with_all_that_is_known(self, say: Callable[..., tuple[int, str]]) -> None:
        """What to do, what follows if not, since when; another id is an error that says where ids are."""
        status, text = say("show", "red")
        assert status == EXIT_OK
        assert re.search(r"^operator action +Look$", text, re.MULTILINE)
        assert re.search(r"^consequence +Scrap$", text, re.MULTILINE)
        status, text = say("show", "nothing")
        assert (status, "alarms --all" in text) == (EXIT_FAILED, True)

    def test_the_figures_come_with_the_next_heartbeat(self, say: Callable[..., tuple[int, str]]) -> None:
        """Alarm rates against their goals, and the journal."""
        status, text = say("alarms", "--stats")
        assert status == EXIT_OK
        assert "red 1 (100% of all)" in text
        assert "held / waiting / lost" in text

    def test_json_is_for_programs(self, say: Callable[..., tuple[int, str]]) -> None:
        """The messages as they are."""
        status, text = say("alarms", "--json")
        document = json.loads(text)
        assert status == EXIT_OK
        assert {alarm["schema"] for alarm in document["alarms"]} == {"edge.alarm/1"}

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (["shelve", "red", "--for", "30m"], "bad_request: give a reason"),
            (["shelve", "red", "--for", "30d", "--reason", "x"], "bad_request: shelve for"),
            (["ack", "nothing"], "no occurrence of alarm 'nothing'"),
            (["ack", "red", "--occurrence", "01ABC"], "stale_occurrence"),
            (["reset", "red"], "not_allowed"),
            (["unshelve", "red"], "not_allowed"),
            (["suppress", "nothing"], "unknown_alarm"),
        ],
    )
    def test_a_refusal_says_why_and_fails(
        self, say: Callable[..., tuple[int, str]], arguments: list[str], word: str
    ) -> None:
        """Exit status 1, the code, and what to do instead."""
        status, text = say(*arguments)
        assert status == EXIT_FAILED
        assert word in text

    def test_an_alarm_is_taken_through_its_life(
        self, say: Callable[..., tuple[int, str]], plant: SimpleNamespace
    ) -> None:
        """Shelve, unshelve, suppress, service, acknowledge, reset: each answer names the state that follows."""
        steps: list[tuple[list[str], str]] = [
            (["shelve", "red", "--for", "30m", "--reason", "cleaning"], "shelve: done, now SHELVED"),
            (["unshelve", "red"], "unshelve: done, now UNACK_ALM"),
            (["shelve", "red", "--one-shot", "--reason", "cleaning"], "shelve: done, now SHELVED"),
            (["unshelve", "red"], "unshelve: done, now UNACK_ALM"),
            (["suppress", "red"], "suppress: done, now SUPPRESSED"),
            (["unsuppress", "red"], "unsuppress: done, now UNACK_ALM"),
            (["out-of-service", "red", "--reason", "new lens"], "out_of_service: done, now OOS"),
            (["in-service", "red"], "in_service: done, now UNACK_ALM"),
            (["ack", "red", "--reason", "seen"], "ack: done, now ACK_ALM"),
        ]
        for arguments, answer in steps:
            assert say(*arguments) == (EXIT_OK, answer + "\n")
        ack = plant.ear.until("alarm/red", lambda alarm: alarm["acked"])["ack"]
        assert ack == {"user": "op", "comment": "seen"}
        plant.sender.publish("edge/v1/bench/in/frame/cam1", GREY)
        plant.ear.until("alarm/red", lambda alarm: alarm["state"] == "LATCH_ACK")
        assert say("reset", "red") == (EXIT_OK, "reset: done, now NORM\n")

    def test_the_node_itself_can_be_asked(self, say: Callable[..., tuple[int, str]], plant: SimpleNamespace) -> None:
        """Rebirth says everything retained again; replay says the journal again, as history."""
        mark = plant.ear.count()
        assert say("rebirth") == (EXIT_OK, "rebirth: done\n")
        plant.ear.wait("meta", lambda _: True, since=mark)
        assert say("replay") == (EXIT_OK, "replay: done\n")
        plant.ear.wait("event", lambda event: event["historical"] and event["what"] == "started", since=mark)

    def test_a_picture_is_fetched(
        self, say: Callable[..., tuple[int, str]], plant: SimpleNamespace, tmp_path: Path
    ) -> None:
        """The newest frame of the camera lands in a file, byte for byte."""
        plant.sender.knock(plant.ear, RED)
        status, text = say("snapshot", "--alarm", "red", "--out", str(tmp_path / "now.jpg"), "--reason", "who is there")
        assert status == EXIT_OK, text
        assert text.startswith("snapshot: frame ")
        assert (tmp_path / "now.jpg").read_bytes() == RED

    def test_a_picture_that_cannot_be_kept_is_not_asked_for(
        self, say: Callable[..., tuple[int, str]], plant: SimpleNamespace, tmp_path: Path
    ) -> None:
        """A folder that is not there, or a folder in the place of the file: said plainly, without a traceback."""
        mark = plant.ear.count()
        say("rebirth")
        plant.ear.wait("res/rebirth", lambda _: True, since=mark)  # replies to earlier tests have arrived by now
        mark = plant.ear.count()
        status, text = say("snapshot", "--camera", "cam1", "--out", str(tmp_path / "nowhere" / "now.jpg"))
        assert (status, "there is no folder" in text) == (EXIT_CONFIG, True)
        assert plant.ear.on("res/snapshot", mark) == []
        plant.sender.knock(plant.ear, RED)
        time.sleep(1.0)  # the daemon's own pause between two snapshots
        status, text = say("snapshot", "--camera", "cam1", "--out", str(tmp_path))
        assert (status, f"cannot write {tmp_path}" in text) == (EXIT_CONFIG, True)

    def test_a_user_without_a_name_is_a_number(
        self, plant: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As in a container whose user is in no passwd file."""
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
        mark = plant.ear.count()
        assert main(["rebirth", *plant.where]) == EXIT_OK
        assert capsys.readouterr().out == "rebirth: done\n"
        event = plant.ear.wait("event", lambda event: event["subject"] == "rebirth", since=mark)
        assert event["user"] == f"uid {os.getuid()}"

    def test_a_duration_beyond_all_bounds_is_refused_plainly(self, say: Callable[..., tuple[int, str]]) -> None:
        """By us or by the daemon, but with words."""
        status, text = say("shelve", "red", "--for", "9999999999999999h", "--reason", "x")
        assert status in {EXIT_FAILED, EXIT_CONFIG}
        assert "Traceback" not in text

    def test_a_site_file_says_where_to_ask(self, plant: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
        """The device's own configuration is enough."""
        assert main(["alarms", "--all", "--config", str(plant.folder / "site.toml")]) == EXIT_OK
        assert "cam1-silent" in capsys.readouterr().out

    def test_a_node_that_never_was_is_said_to_be_unknown(
        self, plant: SimpleNamespace, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A wrong --node is the usual mistake."""
        assert main(["alarms", *plant.where[:3], "nosuch"]) == EXIT_FAILED
        assert "--node" in capsys.readouterr().err


def test_without_a_node_there_is_nothing_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    """Say which daemon."""
    assert main(["alarms"]) == EXIT_CONFIG
    assert "--node" in capsys.readouterr().err


@pytest.mark.broker
def test_a_broker_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten seconds, here after one."""
    monkeypatch.setattr("edge.console.client.CONNECT_S", 1.0)
    assert main(["alarms", "--broker", f"127.0.0.1:{free_port()}", "--node", "n"]) == EXIT_FAILED
    assert "cannot reach the broker" in capsys.readouterr().err


@pytest.mark.broker
def test_a_node_that_is_offline_is_not_asked(mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    """Its last will is enough to know; and so are access rules that do not let us ask."""
    will = State(online=False, ts=None, session="s", ne107="F", reasons=("connection lost",), version="1")
    ear = Ear(mosquitto.port)
    ear.publish("edge/v1/n/state", will.encode(), retain=True)
    where = ["--broker", f"127.0.0.1:{mosquitto.port}", "--node", "n"]
    assert main(["ack", "red", *where]) == EXIT_FAILED
    assert "offline (connection lost)" in capsys.readouterr().err
    assert main(["alarms", *where]) == EXIT_OK
    assert capsys.readouterr().out.startswith("OFFLINE, NE 107 F: connection lost")
    ear.close()


@pytest.mark.broker
def test_access_rules_that_forbid_commands_are_recognised(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An account that may look but not touch is told so."""
    rules = tmp_path / "acl"
    rules.write_text("topic read edge/v1/#\ntopic write edge/v1/n/state\n")
    rules.chmod(0o600)
    broker = make_mosquitto(f"allow_anonymous true\nacl_file {rules}").start()
    ear = Ear(broker.port)
    state = State(online=True, ts=None, session="s", ne107="G", version="1")
    ear.publish("edge/v1/n/state", state.encode(), retain=True)
    assert main(["rebirth", "--broker", f"127.0.0.1:{broker.port}", "--node", "n"]) == EXIT_FAILED
    assert "access rules" in capsys.readouterr().err
    ear.close()


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.not_ours
def test_a_node_with_rare_heartbeats_is_waited_for(
    mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`meta` says how rare they are; before, a node with `heartbeat_s = 60` was taken for one that does not run."""
    monkeypatch.setattr("edge.console.client.HEARTBEAT_S", 0.5)
    ear = Ear(mosquitto.port)
    state = State(online=True, ts=None, session="s", ne107="G", version="1")
    ear.publish("edge/v1/n/state", state.encode(), retain=True)
    ear.publish("edge/v1/n/meta", json.dumps({"alarms": [], "heartbeat_s": 4.0}).encode(), retain=True)

    def beat() -> None:
        time.sleep(6.0)
        ear.publish("edge/v1/n/heartbeat", json.dumps({"seq": 1}).encode())

    heart = threading.Thread(target=beat)
    heart.start()
    assert main(["alarms", "--stats", "--json", "--broker", f"127.0.0.1:{mosquitto.port}", "--node", "n"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["heartbeat"] == {"seq": 1}
    heart.join()
    ear.close()


@pytest.mark.broker
def test_a_node_that_is_offline_has_no_heartbeat_to_wait_for(
    mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so at once."""
    will = State(online=False, ts=None, session="s", ne107="F", reasons=("stopped",), version="1")
    ear = Ear(mosquitto.port)
    ear.publish("edge/v1/n/state", will.encode(), retain=True)
    began = time.monotonic()
    assert main(["alarms", "--stats", "--broker", f"127.0.0.1:{mosquitto.port}", "--node", "n"]) == EXIT_FAILED
    assert "offline (stopped)" in capsys.readouterr().err
    assert time.monotonic() - began < 20
    ear.close()

"""Every command of the terminal under the access rules that ship: on a real Mosquitto with certificates, beside a real daemon.

An account that may not read or ask is told so and fails; none gets an answer that is only half of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.__main__ import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, main
from edge.broker.connection import Connection
from edge.site.sections import BrokerSettings, TlsSettings
from edge.wire.envelope import Outgoing
from edge.wire.verbs import VERBS, Verb
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.bundles import flat_jpeg
from tests.stand.daemon import Daemon, site_document
from tests.stand.plant import roomy_bundle
from tests.stand.shipped import SHIPPED

pytestmark = pytest.mark.broker

ALARM = {"severity": 700, "message": "It is red", "operator_action": "Look", "consequence": "Scrap", "latching": True}
ARGUMENTS: dict[Verb, list[str]] = {
    Verb.EXPLAIN: ["red"],
    Verb.SHELVE: ["red", "--for", "30m", "--reason", "cleaning"],
    Verb.UNSHELVE: ["red"],
    Verb.SUPPRESS: ["red"],
    Verb.UNSUPPRESS: ["red"],
    Verb.OUT_OF_SERVICE: ["red", "--reason", "new lens"],
    Verb.IN_SERVICE: ["red"],
    Verb.ACK: ["red", "--reason", "seen"],
    Verb.RESET: ["red"],
    Verb.SNAPSHOT: ["--camera", "cam1"],
    Verb.INSPECT: ["--part", "A7"],
    Verb.PROFILE: ["usual"],
    Verb.REBIRTH: [],
    Verb.REPLAY: [],
    Verb.RELOAD: [],
}
REFUSED_NOW = {Verb.RESET}  # the alarm still stands; that refusal is the daemon's own answer

Say = Callable[..., tuple[int, str]]


def files(pki: Path, name: str) -> dict[str, str]:
    """The files of one certificate, as `broker.tls` names them."""
    return {"ca_file": str(pki / "ca.pem"), "cert_file": str(pki / f"{name}.pem"), "key_file": str(pki / f"{name}.key")}


@pytest.fixture
def site(edge_broker: Mosquitto, pki: Path, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """press7 behind the shipped rules, with one alarm that stands."""
    document = site_document(roomy_bundle(tmp_path / "colours"), edge_broker.port) | {"node": {"id": "press7"}}
    document["broker"] |= {"host": "localhost", "tls": files(pki, "press7")}
    document |= {"faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}]}
    trigger = {"before_ms": 60_000, "after_ms": 0, "timeout_ms": 200}  # the frame that stands there answers
    document |= {"cameras": [{"id": "cam1", "stale_after_ms": 600_000.0, "snapshot": True, "trigger": trigger}]}
    document |= {"profiles": [{"id": "usual"}]}
    daemon = Daemon(document, tmp_path).start()
    settings = BrokerSettings(
        host="localhost", port=edge_broker.port, tls=TlsSettings.model_validate(files(pki, "cam1"))
    )
    camera = Connection(settings, client_id="cam1")
    camera.start()
    yield SimpleNamespace(path=tmp_path / "site.toml", camera=camera, broker=edge_broker)
    camera.stop(timeout_s=0.1)
    daemon.stop()


@pytest.fixture
def say(site: SimpleNamespace, capsys: pytest.CaptureFixture[str], pki: Path) -> Say:
    """Runs a command with the device's site file, under another certificate if one is named; returns exit status and text."""

    def run(*arguments: str, certificate: str | None = None) -> tuple[int, str]:
        other = [] if certificate is None else ["--cert-file", str(pki / f"{certificate}.pem"), "--key-file", str(pki / f"{certificate}.key")]  # fmt: skip
        status = main([*arguments, "--config", str(site.path), *other])
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return run


@pytest.fixture
def red(site: SimpleNamespace, say: Say) -> None:
    """The alarm stands."""

    def stands() -> bool:
        site.camera.publish(Outgoing("edge/v1/press7/in/frame/cam1", flat_jpeg(255, 0, 0), 0))
        return re.search(r"^red +UNACK_ALM", say("alarms")[1], re.MULTILINE) is not None

    wait_for(stands, 20.0, "the alarm stands")


@pytest.mark.usefixtures("red")
def test_the_device_reads_its_own_alarms_and_commands_nothing(say: Say, tmp_path: Path) -> None:
    """With its own site file and certificate: the whole list, one alarm, the figures; each verb is refused plainly by the broker."""
    status, text = say("alarms", "--all")
    assert status == EXIT_OK, text
    assert {"red", "cam1-silent"} <= {line.split()[0] for line in text.splitlines()}
    assert say("show", "red")[0] == EXIT_OK
    assert say("alarms", "--stats")[0] == EXIT_OK
    for verb in VERBS:
        out = ["--out", str(tmp_path / "now.jpg")] if verb is Verb.SNAPSHOT else []
        status, text = say(verb.value.replace("_", "-"), *ARGUMENTS[verb], *out)
        assert (status, "access rules do not let us send commands" in text) == (EXIT_FAILED, True), (verb, text)


@pytest.mark.usefixtures("red")
def test_scada_may_do_everything(say: Say, tmp_path: Path) -> None:
    """`--cert-file` and `--key-file` stand above the site file's: under SCADA's certificate each verb is answered by the daemon."""
    assert set(ARGUMENTS) == set(Verb), "a verb is not tried"
    assert say("alarms", certificate="scada")[0] == EXIT_OK
    for verb, arguments in ARGUMENTS.items():
        out = ["--out", str(tmp_path / "now.jpg")] if verb is Verb.SNAPSHOT else []
        status, text = say(verb.value.replace("_", "-"), *arguments, *out, certificate="scada")
        expected = (EXIT_FAILED, "not_allowed") if verb in REFUSED_NOW else (EXIT_OK, f"{verb.value}: ")
        assert (status, expected[1] in text) == (expected[0], True), (verb, text)


@pytest.mark.usefixtures("red")
def test_who_may_read_nothing_is_told_so(say: Say) -> None:
    """A camera's certificate: no empty list, but an error that names the topic."""
    for arguments in (["alarms"], ["show", "red"], ["rebirth"]):
        status, text = say(*arguments, certificate="cam1")
        assert (status, "may we read edge/v1/press7/state" in text) == (EXIT_FAILED, True), text


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cert-file", "only.pem"], "give both"),
        (["--broker", "host:port"], "write HOST or HOST:PORT"),
        (["--ca-file", "nowhere.pem"], "nowhere.pem"),
    ],
)
def test_options_beside_a_site_file_are_taken_or_refused(say: Say, options: list[str], words: str) -> None:
    """None is ignored."""
    status, text = say("alarms", *options)
    assert (status, words in text) == (EXIT_CONFIG, True), text


@pytest.mark.not_ours
@pytest.mark.parametrize(
    ("hidden", "told"),
    [
        ("alarm/+", "edge/v1/press7/alarm/+ did not come; the state counts 2 active alarms, 0 can be read"),
        ("meta", "edge/v1/press7/meta did not come"),
    ],
)
def test_a_list_that_is_not_whole_fails(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path, capsys: pytest.CaptureFixture[str], hidden: str, told: str
) -> None:
    """Rules that hide a part: the state counts more than can be read, so the list is shown and the exit status is 1."""
    shown = {"state", "meta", "alarm/+"} - {hidden}
    rules = tmp_path / "acl"
    rules.write_text("".join(f"topic read edge/v1/press7/{name}\n" for name in sorted(shown)) + "topic write #\n")
    rules.chmod(0o600)
    broker = make_mosquitto(f"allow_anonymous true\nacl_file {rules}").start()
    counts = {"active": 2, "unacknowledged": 0, "shelved": 0}
    state = {"online": True, "ne107": "G", "reasons": [], "alarms": counts}
    alarm = {"active": True, "shelving": "Unshelved", "suppressed": False, "out_of_service": False}
    alarm |= {"acked": False, "severity": 1, "priority": "Low", "state": "UNACK_ALM", "quality": "good", "message": "m"}
    alarm |= {"operator_action": "a", "chattering": False, "first_out": False, "time": {"active": None}}
    said = {"state": state, "meta": {"alarms": [{"id": "red"}, {"id": "blue"}]}}
    said |= {f"alarm/{name}": alarm | {"id": name} for name in ("red", "blue")}
    plant = Connection(BrokerSettings(port=broker.port), client_id="plant")
    plant.start()
    wait_for(lambda: plant.connected)
    for name, document in said.items():
        plant.publish(Outgoing(f"edge/v1/press7/{name}", json.dumps(document).encode(), 1, retain=True))
    wait_for(lambda: plant.stats().pending == 0)
    plant.stop()
    status = main(["alarms", "--broker", f"127.0.0.1:{broker.port}", "--node", "press7"])
    text = capsys.readouterr().err
    assert status == EXIT_FAILED
    assert told in text


def test_the_rules_that_ship_are_those_of_the_tests() -> None:
    """The names here are those of the example."""
    text = (SHIPPED / "edge.acl").read_text(encoding="utf-8")
    assert {"user press7", "user cam1", "user scada"} <= set(text.splitlines())
    assert "pattern" not in {line.split()[0] for line in text.splitlines() if line}

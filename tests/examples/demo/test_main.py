"""Tests of the demo as a whole: processes, broker, daemon and line, for a few seconds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo.__main__ import BUNDLE, BUNDLES, broker_address, main
from tests.stand.brokers import Mosquitto
from tests.stand.bundles import colour_bundle

ROOT = Path(__file__).parents[3]


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as `make demo` does, its output going to a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=180,
        check=False,
    )


def needs_bundle() -> None:
    """Skip where the bundle has not been exported."""
    if not (BUNDLE / "manifest.json").is_file():
        pytest.skip("examples/bundles/line is not there: export examples/recipes/line.toml")


@pytest.mark.alone
def test_it_works_with_an_embedded_broker(tmp_path: Path) -> None:
    """Exit status 0, every frame accounted for, no error output, and a picture when asked for."""
    pytest.importorskip("amqtt", reason="amqtt is not installed: `pip install plantflag[demo]`")
    needs_bundle()
    picture = tmp_path / "line.jpg"
    done = demo("--seconds", "10", "--snapshot", str(picture))
    assert done.returncode == 0, done.stdout + done.stderr
    accounted = re.search(r"every frame is accounted for: (\d+) sent, (\d+) received", done.stdout)
    assert accounted is not None
    assert accounted[1] == accounted[2] != "0"
    assert "It worked." in done.stdout
    assert done.stderr == ""
    assert picture.stat().st_size > 10_000


@pytest.mark.broker
def test_it_leaves_nothing_on_a_broker_of_others(mosquitto: Mosquitto) -> None:
    """With --broker nothing of it stays behind; that it works is held above, and four seconds are too short to show it."""
    needs_bundle()
    done = demo("--seconds", "4", "--broker", f"127.0.0.1:{mosquitto.port}")
    assert "✔ every frame is accounted for" in done.stdout, done.stdout + done.stderr
    assert retained_topics(mosquitto.port) == []


def retained_topics(port: int) -> list[str]:
    """Topics of the messages that a broker has retained."""
    from edge.broker.connection import Connection
    from edge.site.sections import BrokerSettings
    from edge.wire.envelope import Incoming, Subscription
    from tests.stand.brokers import wait_for

    seen: list[Incoming] = []
    link = Connection(
        BrokerSettings(port=port), client_id="after", subscriptions=[Subscription("plantflag-demo/#", 0), Subscription("$SYS/broker/uptime", 0)],
        on_message=seen.append,
    )  # fmt: skip
    link.start()
    wait_for(lambda: any(item.topic.startswith("$SYS") for item in seen), what="the broker's own retained message")
    link.stop()
    return [item.topic for item in seen if not item.topic.startswith("$SYS")]


def test_a_bundle_of_something_else_is_refused_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle that asks for nothing that the line can show cannot be demonstrated on it."""
    colour_bundle(tmp_path / "colours")
    assert main(["--bundle", str(tmp_path / "colours")]) == 1
    assert "asks for no fault of the simulated line" in capsys.readouterr().err


def test_no_bundle_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong path is one line, not a traceback."""
    assert main(["--bundle", str(tmp_path)]) == 1
    assert "not a bundle" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["host:", ":1883", "host:port", "host:99999"])
def test_a_bad_broker_address_is_refused(text: str) -> None:
    """Host and port, or nothing starts."""
    with pytest.raises(SystemExit):
        main(["--broker", text])


def test_a_broker_without_a_port_is_at_the_usual_one() -> None:
    """1883 is what everybody uses."""
    assert broker_address("plant-broker") == ("plant-broker", 1883)
    assert broker_address("plant-broker:8883") == ("plant-broker", 8883)


@pytest.mark.whole
def test_a_generative_model_runs_the_same_demo() -> None:
    """`make demo MODEL=generative`: another kind of checkpoint behind the same bundle contract, the same checks, exit status 0."""
    pytest.importorskip("amqtt", reason="amqtt is not installed: `pip install plantflag[demo]`")
    if not (BUNDLES["generative"] / "manifest.json").is_file():
        pytest.skip("examples/bundles/line-generative is not there: export examples/recipes/line_generative.toml")
    done = demo("--seconds", "15", "--model", "generative")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It worked." in done.stdout

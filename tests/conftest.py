"""Fixtures that several test files share: real MQTT brokers, the contract that every published message is held against, the npm Sparkplug decoder."""

from __future__ import annotations

import gc
import shutil
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.stand import npm
from tests.stand.brokers import MOSQUITTO, Amqtt, Mosquitto, Relay, make_pki
from tests.stand.contract import CONTRACT
from tests.stand.plant import Plant, build_plant, close_plant
from tests.stand.shipped import SHIPPED, options
from tests.stand.turnstile import Turnstile

#: Fixtures that take a checkpoint, a whole bundle, a daemon of another process or a machine of its own: who asks for one waits for it.
EXPENSIVE = {
    "alone",
    "case",
    "cases",
    "clip",
    "fitted_bundle",
    "focus_package",
    "graph",
    "lite0",
    "lite0_package",
    "minilm_package",
    "plant",
    "recording",
    "showing",
    "siglip",
    "siglip2",
    "smolvlm",
    "speaking",
    "tower",
    "trained",
    "wheel",
    "words_bundle",
}

if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup: tests that end programs by it would end none
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.register_profile("ours", deadline=None)  # a busy machine is no fault of an example
settings.load_profile("ours")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what waits for an expensive fixture."""
    for item in items:
        if EXPENSIVE.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector does not sweep torch again and again, as little as the daemon's sweeps its libraries."""
    gc.collect()
    gc.freeze()


TURNSTILE = Turnstile.of_this_run()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test marked `alone`, with all that it sets up, has the machine to itself."""
    with TURNSTILE.passed(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _contract() -> Iterator[None]:
    """From before the first fixture to after the last one, every message is noted; what a shared daemon said at its end is judged here."""
    with CONTRACT.over_this_process():
        yield
    assert CONTRACT.verdict() == []


@pytest.fixture(autouse=True)
def _every_message_fits_its_schema(request: pytest.FixtureRequest, _contract: None) -> Iterator[None]:
    """Whatever a test published, it fits the schema that ships; `not_ours` excuses tests that put other bytes on our topics."""
    yield
    found = CONTRACT.verdict()
    if request.node.get_closest_marker("not_ours") is None:
        assert found == []


@pytest.fixture
def make_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Builds brokers (not started) with options of mosquitto.conf; kills them at the end."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto` to run the broker tests")
    made: list[Mosquitto] = []

    def make(options: str = "allow_anonymous true", port: int | None = None) -> Mosquitto:
        made.append(Mosquitto(tmp_path, options, port))
        return made[-1]

    yield make
    for broker in made:
        broker.kill()


@pytest.fixture
def mosquitto(make_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A running stock Mosquitto on a loopback port."""
    return make_mosquitto().start()


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates made with openssl: ``broker``, the devices ``press7`` and ``press8``, a camera ``cam1``, ``scada``; see `make_pki`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: `apt-get install openssl` to run the TLS tests")
    folder = tmp_path_factory.mktemp("pki")
    make_pki(folder, ("broker", "press7", "press8", "cam1", "oil_temperature", "scada"))
    return folder


@pytest.fixture
def edge_broker(make_mosquitto: Callable[..., Mosquitto], pki: Path, tmp_path: Path) -> Mosquitto:
    """Mosquitto with the shipped edge.conf and edge.acl, and the paths of a test."""
    text = options("edge.conf").replace("/etc/mosquitto/certs", str(pki)).replace("/var/lib/mosquitto", str(tmp_path))
    return make_mosquitto(text.replace("/etc/mosquitto/edge.acl", str(SHIPPED / "edge.acl"))).start()


@pytest.fixture
def relay(mosquitto: Mosquitto) -> Iterator[Relay]:
    """A network between a client and `mosquitto` that can freeze or break."""
    network = Relay(mosquitto.port)
    yield network
    network.close()


@pytest.fixture
def amqtt() -> Iterator[Amqtt]:
    """A running amqtt, which speaks MQTT 3.1.1 only."""
    pytest.importorskip("amqtt", reason="amqtt is not installed: `pip install plantflag[demo]`")
    broker = Amqtt()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A broker and the real daemon, shared by all tests of the whole path."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto` to run the broker tests")
    built = build_plant(tmp_path_factory.mktemp("plant"))
    yield built
    close_plant(built)


@pytest.fixture(scope="session")
def npm_decoder() -> Callable[[Sequence[bytes]], list[Any]]:
    """Decodes Sparkplug payloads as hosts on Node.js do."""
    npm.fetch_decoder()
    return npm.decode

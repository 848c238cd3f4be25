"""Nothing leaves: on a machine of its own every command sends no packet but to its broker, asks for no name, and writes in its own folders only.

The commands run without ``CI``, which hides ONNX Runtime's telemetry, and in an environment that asks for it.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.stand import isolation
from tests.stand.isolation import HOSTILE, ROOT, Run

TELEMETRY_SINCE = (1, 29)
FIRST_QUERY_S = 10.0  # after its import ONNX Runtime waits between five and ten seconds
BUNDLE = ROOT / "examples" / "bundles" / "line"
LINE_RECIPE = ROOT / "examples" / "recipes" / "line.toml"

# Looks at the environment at the moment when a library is first looked for, which is before it can look itself.
FINDER = """
import os, sys
class Finder:
    def find_spec(name, path, target=None):
        variable = {"onnxruntime": "ORT_DISABLE_TELEMETRY", "huggingface_hub": "HF_HUB_OFFLINE"}.get(name)
        if variable:
            print(variable, os.environ[variable])
sys.meta_path.insert(0, Finder)
"""


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., Run]:
    """Runs ``python ARGUMENTS`` on a machine of its own, in the test's folder."""
    if (obstacle := isolation.obstacle()) is not None:
        pytest.skip(obstacle)

    def run(*arguments: str, environment: dict[str, str] = HOSTILE, linger_s: float = 0.0) -> Run:
        return isolation.run([sys.executable, *arguments], tmp_path, environment=environment, linger_s=linger_s)

    return run


def test_the_witness_sees_every_call_and_every_file(alone: Callable[..., Run]) -> None:
    """Else the tests below could not fail: a name, an address of either kind, a datagram, a file and a folder, removed ones too."""
    said = alone(
        "-c",
        """
import contextlib, os, socket
with contextlib.suppress(OSError):
    socket.getaddrinfo("example.org", 443)
families = {socket.AF_INET: "203.0.113.7", socket.AF_INET6: "2001:db8::7"}
for family, address in list(families.items())[: 2 if os.path.exists("/proc/sys/net/ipv6") else 1]:
    with contextlib.suppress(OSError), socket.socket(family) as stream:
        stream.connect((address, 443))
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"hello", (address, 5000))
open("mine", "w").close()
os.makedirs(os.path.expanduser("~/.config/maker"))
open("/var/cache/theirs", "w").close()
os.remove("/etc/passwd")
""",
    )
    assert said.status == 0, said.output
    addresses = ["203.0.113.7", "[2001:db8::7]"][: 2 if isolation.has_ipv6() else 1]
    called = {server for address in addresses for server in (f"tcp {address}:443", f"udp {address}:5000")}
    assert set(said.servers) == called | {f"udp {isolation.RESOLVER}:53"}
    assert said.names_asked()
    home = isolation.HOME
    assert set(said.written) == {f"{home}/.config", f"{home}/.config/maker", "/var/cache/theirs", "/etc/passwd"}


def test_onnx_runtime_by_itself_reports_to_its_maker(alone: Callable[..., Run]) -> None:
    """The control: a bare import leaves a device id in the home folder and asks for a name. When it no longer does, docs/network.md is out of date."""
    installed = version("onnxruntime")
    if tuple(int(part) for part in installed.split(".")[:2]) < TELEMETRY_SINCE:
        pytest.skip(f"onnxruntime {installed} has no telemetry on Linux")
    model = BUNDLE / "model.onnx"
    session = f"import onnxruntime, time; onnxruntime.InferenceSession({str(model)!r}); time.sleep({FIRST_QUERY_S})"
    bare = alone("-c", session, environment={})
    assert any(path.endswith("/.onnxruntime/deviceid") for path in bare.written), bare
    assert bare.names_asked(), bare


@pytest.mark.broker
def test_a_daemon_talks_to_its_broker_and_to_nobody_else(alone: Callable[..., Run], tmp_path: Path) -> None:
    """Its check, frames, Sparkplug, an alarm, a picture, people's commands, a reload, an end: one server, no name, no file elsewhere."""
    if isolation.program("mosquitto") is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto`")
    day = alone("-m", "tests.stand.daemon_visit")
    assert day.status == 0, day.output
    assert (tmp_path / "snapshot.jpg").stat().st_size > 0
    assert list((tmp_path / "state").iterdir())
    _only_the_broker(day)


@pytest.mark.broker
def test_the_page_talks_to_its_broker_and_to_its_visitor(alone: Callable[..., Run]) -> None:
    """A user is added, settings are checked, somebody signs in and looks at everything: nobody else is called, no name, no file elsewhere."""
    pytest.importorskip("starlette", reason="the extra `page` is not installed")
    if isolation.program("mosquitto") is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto`")
    seen = alone("-m", "tests.stand.page_visit")
    assert seen.status == 0, seen.output
    page = re.search(r"^page (tcp \S+)$", seen.output, re.MULTILINE)
    assert page is not None, seen.output
    assert page[1] in seen.servers
    _only_the_broker(dataclasses.replace(seen, servers=tuple(one for one in seen.servers if one != page[1])))


def test_the_demo_talks_to_its_own_broker_and_to_nobody_else(alone: Callable[..., Run]) -> None:
    """Embedded broker, daemon, plant and operator; a run too short to be convincing, but every frame went all the way."""
    pytest.importorskip("amqtt", reason="amqtt is not installed: `pip install plantflag[demo]`")
    demo = alone("-m", "examples.demo", "--seconds", "2")
    assert "✔ every frame is accounted for" in demo.output, demo.output
    _only_the_broker(demo)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "edge", "bench", str(BUNDLE), "--seconds", "0.5"],
        ["-m", "edge", "settings"],
        ["-m", "exporters", "verify", str(BUNDLE)],
        ["-m", "exporters", "plan", str(LINE_RECIPE), "--board", "x86-64-avx2"],
        ["-m", "exporters", "boards"],
    ],
    ids=lambda arguments: f"{arguments[1]} {arguments[2]}",
)
def test_a_command_without_a_broker_sends_nothing(arguments: list[str], alone: Callable[..., Run]) -> None:
    """No packet at all, and no file outside the working folder. Whether this machine keeps the budget is not the question here."""
    quiet = alone(*arguments)
    assert "Traceback" not in quiet.output
    assert quiet.output
    assert (quiet.packets, quiet.written, quiet.left) == (0, (), ()), quiet


@pytest.mark.parametrize(
    ("statement", "libraries"),
    [
        ("import edge.inference.onnx_session", {"ORT_DISABLE_TELEMETRY"}),
        ("import exporters.graph.quantize", {"ORT_DISABLE_TELEMETRY"}),
        ("import exporters.proof.measure", {"ORT_DISABLE_TELEMETRY"}),
        ("import benchmarks.explain.where", {"ORT_DISABLE_TELEMETRY"}),
        ("import exporters.load, huggingface_hub", {"HF_HUB_OFFLINE"}),
        ("import examples.training, huggingface_hub", {"HF_HUB_OFFLINE"}),
    ],
)
def test_no_import_reaches_a_library_before_it_is_told(statement: str, libraries: set[str]) -> None:
    """Whichever module of the repository is imported first, and whatever the environment says, the answer stands when the library looks."""
    script = [sys.executable, "-c", f"{FINDER}{statement}"]
    done = subprocess.run(
        script, capture_output=True, text=True, check=True, cwd=ROOT, env={"PATH": isolation.PATH, **HOSTILE}
    )
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found.keys() >= libraries
    assert set(found.values()) == {"1"}


def test_onnx_runtime_imported_before_us_is_a_warning() -> None:
    """Its telemetry cannot be called back; whoever uses the package as a library learns it, and what to do."""
    script = "import sys, types; sys.modules['onnxruntime'] = types.ModuleType('onnxruntime'); import edge"
    environment = {"PATH": isolation.PATH}
    told = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env=one
        ).stderr
        for one in (environment, environment | {"ORT_DISABLE_TELEMETRY": "1"})
    ]
    assert "Import edge first, or set ORT_DISABLE_TELEMETRY=1" in told[0]
    assert told[1] == ""


def test_the_unit_forbids_telemetry_too() -> None:
    """It holds for the whole service, before any of our own code runs."""
    unit = (ROOT / "deploy" / "edge-daemon.service").read_text(encoding="utf-8")
    assert "\nEnvironment=ORT_DISABLE_TELEMETRY=1\n" in unit


def test_every_locked_dependency_was_looked_at() -> None:
    """What a lock brings in stands in docs/network.md, with what it could do; what no lock has any more does not."""
    document = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")
    every_dependency = document.partition("## What the libraries")[2].partition("**Boards")[0]
    listed = {
        name
        for row in re.findall(r"^\| (`.*?) \|", every_dependency, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    }
    locks = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "deploy" / "locks").glob("*.txt"))]
    locked = {name for lock in locks for name in re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)} | {"torch"}
    assert listed == locked


def _only_the_broker(run: Run) -> None:
    assert len(run.servers) == 1, run
    assert run.servers[0].startswith("tcp 127.0.0.1:"), run
    assert run.packets > 100
    assert (run.written, run.left) == ((), ()), run

"""The units that ship: systemd reads them, and what they forbid is nothing that their program needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.site.sections import RuntimeSettings
from edge.system.realtime import NICE

UNIT = Path(__file__).parents[1] / "deploy" / "edge-daemon.service"
CAMERA_UNIT = UNIT.parent / "edge-camera@.service"
PAGE_UNIT = UNIT.parent / "edge-page.service"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is not installed: `apt-get install systemd`"
)


def value(key: str) -> str | None:
    """What the unit says of a key; it says no key of these twice."""
    found = re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) <= 1
    return found[0] if found else None


def analyze(*arguments: str) -> str:
    """What systemd-analyze says; it needs no systemd that runs."""
    assert ANALYZE is not None
    done = subprocess.run([ANALYZE, *arguments], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def permitted(names: str) -> set[str]:
    """Every system call of a SystemCallFilter= line, its groups resolved."""
    found: set[str] = set()
    for name in names.split():
        if name.startswith("@"):
            lines = [line.strip() for line in analyze("syscall-filter", name).splitlines()[1:]]
            found |= permitted(" ".join(line for line in lines if line and not line.startswith("#")))
        else:
            found.add(name)
    return found


def test_the_kernel_may_be_asked_whether_the_clock_is_right() -> None:
    """`node.require_synchronised_clock` needs adjtimex, which is in no group that a service should have; nobody may set the clock."""
    names = (value("SystemCallFilter") or "").split()
    assert {"adjtimex", "clock_adjtime", "clock_adjtime64"} <= set(names)
    assert value("ProtectClock") in {None, "no"}, "it takes the question away together with the setting"
    assert value("SystemCallErrorNumber") == "EPERM", "a call that was forgotten must fail, not kill"
    assert value("CapabilityBoundingSet") == ""


def test_real_time_needs_no_capability() -> None:
    """The limits cover every priority that a site may ask for, and the nice value that is tried where there is no FIFO."""
    largest = RuntimeSettings.model_json_schema()["properties"]["realtime_priority"]["maximum"]
    assert int(value("LimitRTPRIO") or 0) >= largest
    assert int(value("LimitNICE") or 0) <= NICE
    assert value("AmbientCapabilities") is None


@needs_systemd
def test_the_exposure_is_at_most_1_6() -> None:
    """By systemd's own scale; what is left is the network, real-time scheduling and the question about the clock."""
    found = re.search(
        r"exposure level for \S+: (\d+\.\d+)", analyze("security", "--offline=true", "--no-pager", str(UNIT))
    )
    assert found is not None
    assert float(found[1]) <= 1.6


def test_no_number_of_failed_starts_ends_it_for_good() -> None:
    """After a power cut it may fail for an hour; it is started again until it runs, at a pace that spares the machine."""
    assert (value("StartLimitIntervalSec"), value("StartLimitBurst")) == ("0", None)
    assert (value("Restart"), value("RestartSec")) == ("always", "2")


@needs_systemd
def test_the_filter_lets_the_daemon_work() -> None:
    """What real-time scheduling, MQTT, the journal and the clock need, and not what sets a clock for which no capability is there."""
    calls = permitted(value("SystemCallFilter") or "")
    assert {"adjtimex", "clock_adjtime", "sched_setscheduler", "mlockall", "fsync", "eventfd2", "clone3"} <= calls
    assert not {"mount", "reboot", "init_module", "ptrace", "bpf"} & calls


@needs_systemd
def test_systemd_understands_the_unit() -> None:
    """No unknown key or value; that the program is not installed here is no fault of the unit."""
    complaints = [
        line for line in analyze("verify", str(UNIT)).splitlines() if UNIT.name in line and "is not executable" not in line
    ]  # fmt: skip
    assert complaints == []


@needs_systemd
def test_the_cameras_unit_is_understood_and_exposes_less_than_the_daemons(tmp_path: Path) -> None:
    """Network decoders are where attacks begin; it needs neither real time nor the clock."""
    instance = tmp_path / "edge-camera@cam1.service"
    instance.write_text(CAMERA_UNIT.read_text(encoding="utf-8"), encoding="utf-8")
    complaints = [
        line
        for line in analyze("verify", str(instance)).splitlines()
        if instance.name in line and "is not executable" not in line
    ]
    assert complaints == []
    found = re.search(
        r"exposure level for \S+: (\d+\.\d+)", analyze("security", "--offline=true", "--no-pager", str(instance))
    )
    assert found is not None
    assert float(found[1]) <= 1.4


@needs_systemd
def test_the_cameras_filter_lets_it_work() -> None:
    """Threads, sockets, and the wake-up of the connection."""
    text = CAMERA_UNIT.read_text(encoding="utf-8")
    assert "SystemCallFilter=@system-service\n" in text
    assert {"clone3", "eventfd2", "socket", "poll", "futex"} <= permitted("@system-service") - permitted(
        "@privileged @resources"
    )


@needs_systemd
def test_the_pages_unit_is_understood_and_exposes_less_than_the_daemons() -> None:
    """A web server is where attacks begin: it can read one folder of the daemon's, and write nothing."""
    complaints = [
        line
        for line in analyze("verify", str(PAGE_UNIT)).splitlines()
        if PAGE_UNIT.name in line and "is not executable" not in line
    ]
    assert complaints == []
    found = re.search(
        r"exposure level for \S+: (\d+\.\d+)", analyze("security", "--offline=true", "--no-pager", str(PAGE_UNIT))
    )
    assert found is not None
    assert float(found[1]) <= 1.4
    text = PAGE_UNIT.read_text(encoding="utf-8")
    assert "StateDirectory" not in text
    assert "BindReadOnlyPaths=-/var/lib/edge-daemon/evidence\n" in text

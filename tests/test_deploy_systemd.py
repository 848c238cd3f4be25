"""The unit that ships: systemd reads it, and what it forbids is nothing that the daemon needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "deploy" / "edge-daemon.service"
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
    assert value("CapabilityBoundingSet") == "CAP_SYS_NICE"


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

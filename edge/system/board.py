"""What this machine is, and whether a bundle was made for it."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from edge.errors import WrongBoard
from edge.manifest import Target

# Firmware, graphics and the kernel keep a part of the memory on the data sheet: 7.4 of 8 GiB on an Orin Nano.
_USABLE_MEMORY_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """One machine: ``cpu_flags`` as /proc/cpuinfo names them, ``memory_mib`` as the kernel counts it."""

    arch: str
    cpu: str
    cores: int
    cpu_flags: frozenset[str]
    memory_mib: int

    @property
    def name(self) -> str:
        """How the manifest names this machine, for people."""
        return f"{self.cpu}, {self.cores} core{'s' if self.cores != 1 else ''}, {self.arch}"


def machine_facts() -> MachineFacts:
    """Read this machine's facts from the kernel."""
    cpu, flags = parse_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    return MachineFacts(
        arch=platform.machine(),
        cpu=cpu,
        cores=usable_cores(len(os.sched_getaffinity(0)), cpu_quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))),
        cpu_flags=flags,
        memory_mib=parse_meminfo_mib(Path("/proc/meminfo").read_text(encoding="ascii")),
    )


def usable_cores(allowed: int, quota: float | None) -> int:
    """Cores that may be used: those that this process may run on, or fewer where a container's quota has time for fewer; at least one."""
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(cgroup: Path, root: Path) -> float | None:
    """The processor time that the control groups allow this process, in cores; None: as much as there is, or it is not reported.

    Args:
        cgroup: ``/proc/self/cgroup``: which groups this process is in, of version 2 or 1.
        root: where their files are.
    """
    found = []
    try:
        lines = [line.split(":", 2) for line in cgroup.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    for _, controllers, place in (line for line in lines if len(line) == 3):
        base = root if not controllers else root / "cpu"
        if controllers and "cpu" not in controllers.split(","):
            continue
        inside = Path(place.lstrip("/"))
        for folder in (base / step for step in (inside, *inside.parents)):  # a group has no more than those around it
            found += _quota(folder)
    return min(found, default=None)


def _quota(folder: Path) -> list[float]:
    """What one group allows, in cores; empty: it sets no limit."""
    try:
        if (folder / "cpu.max").is_file():
            given, period = (folder / "cpu.max").read_text(encoding="ascii").split()[:2]
        else:
            given, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
        return [int(given) / int(period)] if given.strip() not in {"max", "-1"} and int(period) > 0 else []
    except (OSError, ValueError):
        return []


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """The processor's name and the flags that *all* of its cores have, from the text of /proc/cpuinfo (x86 and Arm)."""
    pairs = [
        (key.strip(), value.strip())
        for key, colon, value in (line.partition(":") for line in text.splitlines())
        if colon
    ]
    names = [value for key, value in pairs if key in ("model name", "Model", "Hardware") and value]
    flags = [frozenset(value.split()) for key, value in pairs if key in ("flags", "Features")]
    return (names[0] if names else "unknown processor"), (frozenset.intersection(*flags) if flags else frozenset())


def parse_meminfo_mib(text: str) -> int:
    """Total memory in MiB from the text of /proc/meminfo; 0 when it is not there."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == "MemTotal":
            return int(value.split()[0]) // 1024
    return 0


def least_memory_mib(declared_mib: int) -> int:
    """What the kernel must count at least on a board of so much memory, MiB."""
    return int(declared_mib * _USABLE_MEMORY_SHARE)


def check_board(target: Target, *, arch: str, cpu_flags: frozenset[str], memory_mib: int) -> None:
    """Compare a bundle's target with a machine.

    Raises:
        WrongBoard: another architecture, a missing CPU feature, or less memory than the board declares.
    """
    problems = []
    if arch != target.arch:
        problems.append(f"it needs architecture {target.arch}, this machine is {arch}")
    missing = sorted(set(target.isa_required) - cpu_flags)
    if missing:
        problems.append(f"this processor lacks {', '.join(missing)}")
    least_mib = least_memory_mib(target.memory_mib)
    if memory_mib < least_mib:
        problems.append(
            f"it needs {least_mib} MiB of the board's {target.memory_mib} MiB, this machine has {memory_mib}"
        )
    if problems:
        raise WrongBoard(
            f"The bundle was made for board {target.board}: {'; '.join(problems)}. Export it again with --board for this machine."
        )


def board_notes(target: Target, facts: MachineFacts) -> list[str]:
    """What a person must know who reads latencies of a bundle on a machine that it was not made for; empty where it was."""
    try:
        check_board(target, arch=facts.arch, cpu_flags=facts.cpu_flags, memory_mib=facts.memory_mib)
    except WrongBoard as error:
        return [f"note: {error} Latency here is only indicative."]
    return []

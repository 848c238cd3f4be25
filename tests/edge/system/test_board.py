"""A bundle only runs on the machine that it was made for, and the refusal names every difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import WrongBoard
from edge.manifest import Target
from edge.system.board import (
    MachineFacts,
    board_notes,
    check_board,
    cpu_quota,
    machine_facts,
    parse_cpuinfo,
    parse_meminfo_mib,
    usable_cores,
)

TARGET = Target(board="x86-64-avx2", arch="x86_64", isa_required=("avx2", "fma"), memory_mib=8000, budget_ms=40.0)
FLAGS = frozenset({"avx2", "fma", "sse4_2"})


def test_the_right_machine_passes() -> None:
    """Same architecture, all flags, and the memory that firmware leaves of the declared size."""
    check_board(TARGET, arch="x86_64", cpu_flags=FLAGS, memory_mib=8000)
    check_board(TARGET, arch="x86_64", cpu_flags=FLAGS, memory_mib=6400)


@pytest.mark.parametrize(
    ("arch", "flags", "memory_mib", "named"),
    [
        ("aarch64", FLAGS, 8000, "architecture x86_64"),
        ("x86_64", FLAGS - {"avx2"}, 8000, "lacks avx2"),
        ("x86_64", FLAGS, 6399, "6400 MiB"),
    ],
)
def test_the_wrong_machine_is_refused(arch: str, flags: frozenset[str], memory_mib: int, named: str) -> None:
    """Each difference alone refuses the bundle and is named."""
    with pytest.raises(WrongBoard, match=named):
        check_board(TARGET, arch=arch, cpu_flags=flags, memory_mib=memory_mib)


def test_all_differences_are_named_at_once() -> None:
    """The user does not find them one by one."""
    with pytest.raises(WrongBoard, match=r"architecture.*lacks avx2, fma.*MiB.*--board"):
        check_board(TARGET, arch="armv7l", cpu_flags=frozenset(), memory_mib=10)


def test_cpuinfo_of_x86_and_arm() -> None:
    """Flags are those that every core has, from either architecture's format."""
    x86 = "processor\t: 0\nmodel name\t: Intel N100\nflags\t\t: avx2 avx_vnni\n\nprocessor\t: 1\nmodel name\t: Intel N100\nflags\t\t: avx2\n"
    arm = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd asimddp\n\nRevision\t: d04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n"
    assert parse_cpuinfo(x86) == ("Intel N100", frozenset({"avx2"}))
    assert parse_cpuinfo(arm) == ("Raspberry Pi 5 Model B Rev 1.0", frozenset({"fp", "asimd", "asimddp"}))
    assert parse_cpuinfo("nothing of use") == ("unknown processor", frozenset())


def test_meminfo() -> None:
    """Memory is counted in MiB; an unreadable file counts as none."""
    assert parse_meminfo_mib("MemTotal:       24683984 kB\nMemFree: 1 kB\n") == 24105
    assert parse_meminfo_mib("") == 0


def test_this_machine_has_facts() -> None:
    """The reader works on the machine that the tests run on."""
    facts = machine_facts()
    assert facts.cores >= 1
    assert facts.memory_mib > 100
    assert facts.arch in facts.name


def test_the_note_names_what_is_different() -> None:
    """On the right machine there is none; on another it says why its latencies prove nothing."""
    here = MachineFacts(arch="x86_64", cpu="c", cores=2, cpu_flags=FLAGS, memory_mib=8000)
    assert board_notes(TARGET, here) == []
    (note,) = board_notes(TARGET, replace(here, arch="aarch64"))
    assert "architecture" in note
    assert "only indicative" in note


def quota_of(folder: Path, cgroup: str, files: dict[str, str]) -> float | None:
    """What a process in these groups is allowed."""
    (folder / "self").write_text(cgroup)
    for name, text in files.items():
        (folder / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "fs" / name).write_text(text)
    return cpu_quota(folder / "self", folder / "fs")


V1 = "4:cpu,cpuacct:/pod/box\n2:memory:/pod/box\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/pod/box\n", {"pod/box/cpu.max": "max 100000\n", "pod/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/pod/box\n", {"pod/box/cpu.max": "max 100000\n"}, None),
        (V1, {"cpu/pod/box/cpu.cfs_quota_us": "200000\n", "cpu/pod/box/cpu.cfs_period_us": "100000\n"}, 2.0),
        (V1, {"cpu/pod/box/cpu.cfs_quota_us": "-1\n", "cpu/pod/box/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/\n", {"cpu.max": "rubbish\n"}, None),
        ("rubbish\n", {}, None),
    ],
)
def test_a_containers_quota_is_read(tmp_path: Path, cgroup: str, files: dict[str, str], quota: float | None) -> None:
    """Of either version of control groups, the tightest of those around the process; what is not said is no limit."""
    assert quota_of(tmp_path, cgroup, files) == quota


def test_cores_are_those_that_may_be_used() -> None:
    """Affinity and quota, whichever is less, and never none; as many threads as that are worth timing."""
    assert [usable_cores(4, quota) for quota in (None, 8.0, 1.5, 0.3)] == [4, 4, 2, 1]

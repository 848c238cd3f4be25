"""Raises the daemon's priority above everything else on the board, the inference thread first, as far as the system permits.

Measured beside two busy processes (``benchmarks/path/jitter.py``): SCHED_FIFO for the inference thread takes p50 from 317 to 43 ms. Its p99 falls
to 1.2 of p50 only when every thread that can hold the interpreter lock has it too: an ordinary thread that is suspended while it holds the
lock keeps the inference thread waiting (p99 over p50 was 2.4). So the process asks for one priority below on its main thread, before it
starts any other, and the rest inherit it. Pinning to a core gave nothing, so it is not here.
Permission comes from CAP_SYS_NICE, RLIMIT_RTPRIO or the systemd unit.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FIFO_PRIORITY = 10  # above all ordinary threads, below the kernel's interrupt threads (50)
NICE = -10
SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True)
class Grant:
    """What the system permitted: the policy of the thread now, its priority (FIFO 1..99, or the nice value), and why not more."""

    policy: Literal["fifo", "nice", "ordinary"]
    priority: int
    detail: str


def make_realtime(thread_ids: Iterable[int] = (), priority: int = FIFO_PRIORITY) -> Grant:
    """Give some threads of this process, by default the calling one, SCHED_FIFO; else a better nice value; else nothing.

    Threads that a FIFO thread starts inherit it, so an engine loaded on the inference thread after this call has its pool covered; a pool
    created elsewhere is covered by passing what `native_thread_ids` gained. ``priority`` is FIFO's, 1..99.
    """
    ids = list(thread_ids) or [threading.get_native_id()]
    try:
        for thread_id in ids:
            os.sched_setscheduler(thread_id, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        return _make_nice(ids)
    return Grant("fifo", priority, "SCHED_FIFO granted")


def switch_promptly() -> None:
    """Have the interpreter lock change hands 0.5 ms after another thread asks for it; Python's default is 5 ms.

    A frame's path gives the lock up for decoding and for the graph and asks for it again after each. Beside a thread that parses large messages
    each of these costs as long as the interval, and more where the cores are busy (``benchmarks/path/lock_wait.py``).
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def step_back() -> None:
    """Put the calling thread behind all others of this process, for work beside the frames.

    Where it inherited FIFO it keeps the lowest: an ordinary thread that strangers suspend while it holds the interpreter lock keeps the
    inference thread waiting (frames of 693 ms beside processes at real-time priority). On a single core it would keep the broker waiting
    instead, and there it becomes ordinary.
    """
    if os.sched_getscheduler(0) in {os.SCHED_FIFO, os.SCHED_RR} and len(os.sched_getaffinity(0)) > 1:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    else:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def native_thread_ids() -> frozenset[int]:
    """The kernel's ids of all threads of this process, those of native libraries included."""
    return frozenset(int(entry.name) for entry in Path("/proc/self/task").iterdir())


def _make_nice(ids: list[int]) -> Grant:
    missing = "SCHED_FIFO not permitted; allow it with CAP_SYS_NICE or LimitRTPRIO=10 in the systemd unit"
    try:
        for thread_id in ids:  # on Linux a nice value belongs to one thread
            os.setpriority(os.PRIO_PROCESS, thread_id, NICE)
    except PermissionError:
        return Grant("ordinary", os.getpriority(os.PRIO_PROCESS, ids[0]), missing)
    return Grant("nice", NICE, missing)

"""The daemon runs ahead of everything else on the board, its inference thread first, as far as the system permits; and keeps its memory small.

Measured beside two busy processes (``benchmarks/jitter.py``): SCHED_FIFO for the inference thread takes p50 from 317 to 43 ms. Its p99 falls
to 1.2 of p50 only when every thread that can hold the interpreter lock has it too: an ordinary thread that is suspended while it holds the
lock keeps the inference thread waiting (p99 over p50 was 2.4). So the process asks for one priority below on its main thread, before it
starts any other, and the rest inherit it. Pinning to a core gave nothing, so it is not here.
Permission comes from CAP_SYS_NICE, RLIMIT_RTPRIO or the systemd unit.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FIFO_PRIORITY = 10  # above all ordinary threads, below the kernel's interrupt threads (50)
NICE = -10
_M_ARENA_MAX = -8  # of glibc's malloc.h


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


def step_back() -> None:
    """Put the calling thread behind all others of this process, for work beside the frames.

    Where it inherited FIFO it keeps the lowest: an ordinary thread that strangers suspend while it holds the interpreter lock keeps the
    inference thread waiting (frames of 693 ms beside processes at real-time priority). On a single core it would keep the broker waiting
    instead, and there it becomes ordinary.
    """
    if os.sched_getscheduler(0) in {os.SCHED_FIFO, os.SCHED_RR} and (os.cpu_count() or 1) > 1:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    else:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def native_thread_ids() -> frozenset[int]:
    """The kernel's ids of all threads of this process, those of native libraries included."""
    return frozenset(int(entry.name) for entry in Path("/proc/self/task").iterdir())


def trim_memory() -> bool:
    """Give freed memory back to the system, as after a bundle swap (RSS 623 -> 141 MB over 25 swaps); False where libc cannot."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return malloc_trim is not None and bool(malloc_trim(ctypes.c_size_t(0)))


def one_heap() -> bool:
    """Have all threads allocate from one heap, not each from its own that keeps what its peak took (RSS 151 -> 141 MB).

    To be called before other threads start; False where libc cannot. The threads hardly meet there: one of them does the work.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, 1))


def spare_sweeps() -> int:
    """Keep the garbage collector from looking at what is there now ever again; returns how many objects that are.

    A full sweep over the imported libraries (65,000 objects) holds the interpreter lock for 16 to 25 ms, half a frame's budget, on whichever
    thread happens to allocate. With them set aside one takes 2 ms (a flood of alarms, ``benchmarks/alarm_cost.py``). To be called once,
    when all is loaded: what is set aside is still freed when nothing refers to it, but not found in a cycle any more.
    """
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()


def _make_nice(ids: list[int]) -> Grant:
    missing = "SCHED_FIFO not permitted; allow it with CAP_SYS_NICE or LimitRTPRIO=10 in the systemd unit"
    try:
        for thread_id in ids:  # on Linux a nice value belongs to one thread
            os.setpriority(os.PRIO_PROCESS, thread_id, NICE)
    except PermissionError:
        return Grant("ordinary", os.getpriority(os.PRIO_PROCESS, ids[0]), missing)
    return Grant("nice", NICE, missing)

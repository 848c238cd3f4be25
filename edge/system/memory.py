"""Keeps the process's memory small and the garbage collector's sweeps short."""

from __future__ import annotations

import ctypes
import gc

_M_ARENA_MAX = -8  # of glibc's malloc.h


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
    thread happens to allocate. With them set aside one takes 2 ms (a flood of alarms, ``benchmarks/alarms/alarm_cost.py``). To be called once,
    when all is loaded: what is set aside is still freed when nothing refers to it, but not found in a cycle any more.
    """
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()

"""Freed memory goes back to the system, and the collector has little to sweep."""

from __future__ import annotations

import gc
import subprocess
import sys

from edge.system.memory import spare_sweeps, trim_memory


def test_freed_memory_can_be_given_back() -> None:
    """malloc_trim works with glibc, and its absence is no error."""
    ballast = [bytes(1000) for _ in range(20_000)]
    del ballast
    assert trim_memory() in (True, False)


def test_all_threads_share_one_heap() -> None:
    """After `one_heap` a process whose threads all allocate has no heap beside the main one, as glibc itself reports."""
    script = """
import ctypes, sys, threading
from edge.system.memory import one_heap
if len(sys.argv) > 1:
    assert one_heap()
barrier = threading.Barrier(6)
def work():
    held = [bytes(2000) for _ in range(3000)]
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ctypes.CDLL(None).malloc_stats()
"""
    heaps = []
    for arguments in ([], ["one"]):
        told = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        heaps.append(told.stderr.count("Arena "))
    assert heaps[1] == 1 < heaps[0]


def test_what_was_loaded_at_the_start_is_not_swept_again() -> None:
    """A full sweep of the garbage collector meets only what came after; it holds the interpreter lock as long as it takes."""
    before = len(gc.get_objects())
    try:
        assert spare_sweeps() > before / 2
        assert len(gc.get_objects()) < before / 10
    finally:
        gc.unfreeze()

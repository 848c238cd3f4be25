"""A signal ends a command by unwinding it: what it made for a while goes, also its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from edge.system.unwinding import Terminated, unwinding
from tests.stand.brokers import wait_for
from tests.stand.bundles import colour_bundle, endless_graph

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_and_leaves_the_handlers_as_they_were(number: signal.Signals, tmp_path: Path) -> None:
    """A folder that was to go with the block goes; the status is the one that shells have for it."""
    before = signal.getsignal(number)
    with pytest.raises(Terminated) as ended, unwinding(), tempfile.TemporaryDirectory(dir=tmp_path):
        os.kill(os.getpid(), number)
    assert list(tmp_path.iterdir()) == []
    assert ended.value.exit_status == 128 + number
    assert signal.getsignal(number) is before


def test_what_was_ignored_stays_ignored() -> None:
    """As under nohup: closing the terminal is not meant to end it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with unwinding():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_is_left_alone() -> None:
    """Only the main thread may set handlers: a command that a program calls in a thread does its work without."""
    done: list[object] = []

    def work() -> None:
        with unwinding():
            done.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.slow
def test_a_check_that_is_stopped_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    """The bundle is tried in another process, here one that never ends; it goes with the command."""
    colour_bundle(tmp_path / "bundle", graph=endless_graph())
    work = tmp_path / "work"
    work.mkdir()
    site = tmp_path / "site.toml"
    site.write_text(
        f'bundle = "{tmp_path}/bundle"\n[node]\nid = "n"\n[[cameras]]\nid = "cam"\n[runtime]\nallow_other_board = true\n'
    )
    command = [sys.executable, "-m", "edge", "check", "--config", str(site)]
    environment = os.environ | {"TMPDIR": str(work)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as check:
        wait_for(lambda: psutil.Process(check.pid).children(), 60, "the bundle is tried")
        children = psutil.Process(check.pid).children()
        check.send_signal(signal.SIGTERM)
        assert check.wait(timeout=30) == 128 + signal.SIGTERM
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert list(work.iterdir()) == []

"""The lock between pytest's workers: tests share the machine, and one that needs it alone gets it."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.stand.turnstile import Turnstile


def _within(turnstile: Turnstile, *, alone: bool) -> tuple[threading.Event, threading.Event]:
    """A thread that passes: set when it is in, and what lets it out."""
    inside, out = threading.Event(), threading.Event()

    def run() -> None:
        with turnstile.passed(alone=alone):
            inside.set()
            out.wait(30)

    threading.Thread(target=run, daemon=True).start()
    return inside, out


def test_many_share(tmp_path: Path) -> None:
    """Two tests that do not ask to be alone run side by side."""
    (first, first_out), (second, second_out) = (_within(Turnstile(tmp_path), alone=False) for _ in range(2))
    assert first.wait(10)
    assert second.wait(10)
    first_out.set()
    second_out.set()


def test_one_that_is_alone_waits_for_the_others_and_then_keeps_them_out(tmp_path: Path) -> None:
    """It is let in when the last of those before it left, and those after it wait until it is done."""
    before, before_out = _within(Turnstile(tmp_path), alone=False)
    assert before.wait(10)
    alone, alone_out = _within(Turnstile(tmp_path), alone=True)
    assert not alone.wait(0.3)
    after, after_out = _within(Turnstile(tmp_path), alone=False)
    assert not after.wait(0.3)
    before_out.set()
    assert alone.wait(10)
    assert not after.wait(0.3)
    alone_out.set()
    assert after.wait(10)
    after_out.set()


def test_one_worker_locks_nothing() -> None:
    """Without pytest-xdist there is nobody to wait for."""
    with Turnstile(None).passed(alone=True), Turnstile(None).passed(alone=False):
        pass

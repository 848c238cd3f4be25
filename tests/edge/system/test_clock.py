"""Tests of edge.system.clock: whether the kernel says that its clock is right."""

from __future__ import annotations

import ctypes
import sys

import pytest

from edge.system import clock


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex is Linux")
def test_the_kernel_answers_and_always_the_same() -> None:
    """On Linux the kernel says whether the clock is synchronised; asking needs no rights and changes nothing."""
    answers = {clock.kernel_synchronised() for _ in range(3)}
    assert len(answers) == 1


@pytest.mark.parametrize(("state", "expected"), [(0, True), (1, True), (5, False), (-1, None)])
def test_states_of_the_kernel(monkeypatch: pytest.MonkeyPatch, state: int, expected: bool | None) -> None:  # noqa: FBT001 - a row
    """TIME_ERROR is not synchronised, a pending leap second is, and a refused call says nothing."""

    class Kernel:
        """A libc whose kernel is in a chosen state."""

        @staticmethod
        def adjtimex(_buffer: object) -> int:
            """The state."""
            return state

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Kernel)
    assert clock.kernel_synchronised() is expected


def test_elsewhere_nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without adjtimex nothing is known."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert clock.kernel_synchronised() is None

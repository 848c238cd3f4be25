"""Ends a command on SIGTERM and SIGHUP as Ctrl-C does: by unwinding, so that its working folders and its children go."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn


class Terminated(BaseException):
    """A signal asks for the end; no library may take it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """As shells have it for a program that a signal ended."""
        return 128 + self.number


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """While it lasts the two signals raise `Terminated`; what was ignored, as under nohup, stays so. Outside of the main thread it does nothing.

    Raises:
        Terminated: one of them came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in usual.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: object) -> NoReturn:
    raise Terminated(number)

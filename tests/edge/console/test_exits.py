"""Each error of ours ends a command with one line and the status that docs/exit-status.md gives it."""

from __future__ import annotations

import argparse
import signal

import pytest

from edge.console.exits import EXIT_BUNDLE, EXIT_CONFIG, EXIT_FAILED, EXIT_OK, EXIT_STOPPED, status_of
from edge.errors import BundleError, ConfigError, EdgeError
from edge.system.unwinding import Terminated


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (ConfigError("no broker"), "configuration: no broker", EXIT_CONFIG),
        (BundleError("damaged"), "bundle: damaged", EXIT_BUNDLE),
        (EdgeError("no answer"), "failed: no answer", EXIT_FAILED),
        (KeyboardInterrupt(), "stopped", EXIT_STOPPED),
        (Terminated(signal.SIGTERM), "stopped", 143),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_one_line_and_its_status(
    error: BaseException, line: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a traceback."""

    def fails(_options: argparse.Namespace) -> int:
        raise error

    assert status_of(fails, argparse.Namespace()) == status
    assert capsys.readouterr().err == f"{line}\n"


def test_a_command_that_works_says_its_own_status() -> None:
    """It gets the options that were parsed."""
    assert status_of(lambda options: options.status, argparse.Namespace(status=EXIT_OK)) == EXIT_OK


def test_what_is_a_fault_of_the_program_is_not_hidden() -> None:
    """It ends with its traceback, to be reported."""
    with pytest.raises(ZeroDivisionError):
        status_of(lambda options: 1 // options.zero, argparse.Namespace(zero=0))

"""The exit statuses of the commands, and which of them an error ends with; docs/exit-status.md is their table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from edge.errors import BundleError, ConfigError, EdgeError, refuse_other_systems
from edge.system.unwinding import Terminated

EXIT_OK, EXIT_FAILED, EXIT_CONFIG, EXIT_BUNDLE = 0, 1, 2, 3
EXIT_STOPPED = 130  # as shells have it for Ctrl-C


def status_of(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a command; an error of ours becomes one line on stderr and its exit status."""
    try:
        refuse_other_systems()
        return command(options)
    except ConfigError as error:
        return _ended(f"configuration: {error}", EXIT_CONFIG)
    except BundleError as error:
        return _ended(f"bundle: {error}", EXIT_BUNDLE)
    except EdgeError as error:
        return _ended(f"failed: {error}", EXIT_FAILED)
    except KeyboardInterrupt:
        return _ended("stopped", EXIT_STOPPED)
    except Terminated as error:
        return _ended("stopped", error.exit_status)


def _ended(words: str, status: int) -> int:
    sys.stderr.write(f"{words}\n")
    return status

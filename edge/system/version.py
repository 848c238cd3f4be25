"""Which version this is, for the wire and for `--version` of both commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

PACKAGE = "plantflag"


def package_version() -> str:
    """This installation's version; 0 when it runs from a source tree that was never installed."""
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return "0"


class ShowVersion(argparse.Action):
    """`--version`: prints it only when asked, because reading the installed packages takes longer than parsing."""

    def __init__(self, option_strings: Sequence[str], dest: str, **others: Any) -> None:  # noqa: ANN401 - argparse's own
        del dest
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **others)

    def __call__(self, parser: argparse.ArgumentParser, *_others: object) -> None:
        """Print and end."""
        sys.stdout.write(f"{parser.prog} {package_version()}\n")
        parser.exit()

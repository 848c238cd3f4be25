"""Both commands say which version they are."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from edge.__main__ import _parser as daemon_parser
from edge.system.version import package_version
from exporters.__main__ import _parser as export_parser


@pytest.mark.parametrize(("program", "parser"), [("edge-daemon", daemon_parser), ("edge-export", export_parser)])
def test_a_command_says_its_version(
    program: str, parser: Callable[[], argparse.ArgumentParser], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--version` prints it and ends well, without a command."""
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{program} {package_version()}\n"

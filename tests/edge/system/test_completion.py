"""Bash completes what the command line takes; bash itself is asked."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from edge.__main__ import EXIT_OK
from edge.__main__ import main as daemon
from exporters.__main__ import main as export

BASH = shutil.which("bash")


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "offered", "left_out"),
    [
        (["edge-daemon", "out"], {"out-of-service"}, {"ack"}),
        (["edge-daemon", "ack", "--o"], {"--occurrence"}, {"--out"}),
        (["edge-daemon", "--log", "warning", "snapshot", "--"], {"--out", "--camera", "--config"}, {"--occurrence"}),
        (["edge-daemon", "integration", "f"], {"fuxa"}, {"ignition"}),
        (["edge-daemon", "--"], {"--version", "--log"}, {"--config"}),
        (["edge-export", "b"], {"build", "boards"}, {"plan", "backup"}),
        (["edge-export", "build", "--"], {"--board", "--out", "--features"}, {"--trunk", "--config"}),
    ],
)
def test_bash_completes_commands_options_and_values(
    line: list[str], offered: set[str], left_out: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """After a command only what belongs to it."""
    command = {"edge-daemon": daemon, "edge-export": export}[line[0]]
    assert command(["completion"]) == EXIT_OK
    words = " ".join(f"'{word}'" for word in line)
    ask = f'COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _{line[0].replace("-", "_")}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    assert BASH is not None
    done = subprocess.run([BASH, "-c", capsys.readouterr().out + ask], check=True, capture_output=True, text=True)
    found = set(done.stdout.split())
    assert offered <= found
    assert not left_out & found

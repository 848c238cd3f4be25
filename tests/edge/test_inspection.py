"""`bench` says whether its figures are those of the board."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.__main__ import main
from tests.edge.builders import colour_bundle


@pytest.mark.parametrize(("arch", "notes"), [("x86_64", 0), ("sparc", 1)])
def test_bench_notes_another_board(
    arch: str, notes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A budget that is met on another machine says nothing of the board, and the reader is told."""
    target = {"board": "b", "arch": arch, "isa_required": [], "memory_mib": 64, "budget_ms": 400.0}
    colour_bundle(tmp_path / "b", target=target)
    monkeypatch.setattr("edge.board.platform.machine", lambda: "x86_64")
    assert main(["bench", str(tmp_path / "b"), "--seconds", "0.1", "--fps", "0"]) == 0
    said = capsys.readouterr().out
    assert "inside the budget" in said
    assert said.count("only indicative") == notes

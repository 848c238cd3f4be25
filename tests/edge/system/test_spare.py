"""The disk keeps a reserve."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.system import spare
from edge.system.spare import has_room


def test_the_disk_keeps_a_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures never take what the journal may need."""
    assert has_room(tmp_path, 0)
    assert not has_room(tmp_path, 1 << 62)
    monkeypatch.setattr(spare, "FREE_BYTES", 1 << 60)
    assert not has_room(tmp_path, 0)

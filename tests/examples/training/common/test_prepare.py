"""Preparation makes each shard once and goes on after an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.training.common.prepare import prepare


@pytest.mark.slow
def test_shards_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second preparation keeps what is there; a shard without its last file is made again."""
    monkeypatch.setenv("EDGE_DATA", str(tmp_path / "absent"))
    said: list[str] = []
    store = prepare(tmp_path / "work", scale=0.0, processes=1, log=said.append)
    assert {row.split for row in store.rows} == {"train", "validation"}
    assert "left out" in said[0]
    broken = tmp_path / "work" / "ground-000"
    before = len(store.rows)
    (broken / "meta.json").unlink()
    for path in broken.iterdir():
        path.unlink()
    broken.rmdir()
    said.clear()
    assert len(prepare(tmp_path / "work", scale=0.0, processes=1, log=said.append).rows) == before
    assert sum(line.endswith("kept") for line in said) == len(said) - 2

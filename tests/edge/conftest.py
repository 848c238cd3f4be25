"""What the tests of the daemon share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edge.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A worker on the colour bundle."""
    return Bench(tmp_path / "bundle")

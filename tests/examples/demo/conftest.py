"""What the demo does to its own process is undone, so that the tests after it hear the daemon's log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The demo keeps its terminal quiet."""
    logger = logging.getLogger("edge")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers

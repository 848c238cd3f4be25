"""Bundles of every released format still open and still prove themselves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.bundle import open_bundle
from edge.infer import prove
from edge.preprocess import Preprocessor
from edge.watch import load_engine

GOLDEN = sorted((Path(__file__).parent / "golden").glob("format-*"))


def test_there_is_a_golden_bundle_of_each_format() -> None:
    """A format that is released leaves a bundle here for ever."""
    assert [path.name for path in GOLDEN] == ["format-1"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_a_golden_bundle_still_goes_live(path: Path) -> None:
    """It opens, loads, and gives the scores it was written with."""
    bundle = open_bundle(path)
    result = prove(load_engine(bundle), bundle, Preprocessor(bundle.manifest.input), 1000.0, time.monotonic_ns)
    assert result.golden_max_abs <= bundle.manifest.proof.golden_tolerance

"""Bundles of every released format still open and still prove themselves."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from edge.assembly import load_engine
from edge.bundle import MANIFEST, open_bundle
from edge.inference.preprocess import Preprocessor
from edge.inference.proof import prove
from edge.manifest import manifest_json

GOLDEN = sorted((Path(__file__).parent / "golden").glob("format-*"))


def test_there_is_a_golden_bundle_of_each_format() -> None:
    """A format that is released leaves a bundle here for ever."""
    assert [path.name for path in GOLDEN] == ["format-1"]


def test_the_golden_bundle_of_format_1_is_one_of_the_first_toolchain() -> None:
    """It holds nothing that came later, so that it opens shows that all of that is optional."""
    document = json.loads((GOLDEN[0] / MANIFEST).read_text())
    assert "speech" not in document
    assert not {"one_sided", "doubts"} & document["proof"].keys()
    assert all("kind" not in fault for fault in document["faults"])
    assert all("verdicts" not in golden for golden in document["proof"]["golden"])


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_an_older_daemon_can_read_what_is_written_now(path: Path) -> None:
    """Written again, a bundle that uses nothing new has no field that the first daemons of its format do not know."""
    assert json.loads(manifest_json(open_bundle(path).manifest)) == json.loads((path / MANIFEST).read_text())


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_a_golden_bundle_still_goes_live(path: Path) -> None:
    """It opens, loads, and gives the scores it was written with."""
    bundle = open_bundle(path)
    result = prove(load_engine(bundle), bundle, Preprocessor(bundle.manifest.frame_input), 1000.0, time.monotonic_ns)
    assert result.golden_max_abs <= bundle.manifest.proof.golden_tolerance

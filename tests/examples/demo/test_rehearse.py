"""Tests of the rehearsal: the demo's line through the daemon's own stages."""

from __future__ import annotations

import pytest

from edge.bundle import open_bundle
from examples.demo.__main__ import BUNDLE
from examples.demo.rehearse import main, rehearse
from examples.demo.story import CRITERIA


def test_the_bundle_flags_what_comes_onto_the_line() -> None:
    """On a line that the demo does not show by default, at few frames a second: most faults flagged, few false."""
    if not (BUNDLE / "manifest.json").is_file():
        pytest.skip("examples/bundles/line is not there: export examples/recipes/line.toml")
    found = rehearse(open_bundle(BUNDLE), seed=11, fps=5, seconds=30)
    seen = found.of(fault.id for fault in open_bundle(BUNDLE).manifest.faults)
    assert seen.flagged >= CRITERIA.detection_least * len(seen.outcomes)
    assert len(seen.false) <= CRITERIA.false_most_per_minute


def test_without_a_bundle_it_says_what_is_missing(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, no traceback."""
    assert main(["--bundle", str(tmp_path_factory.mktemp("empty"))]) == 1
    assert "not a bundle" in capsys.readouterr().err

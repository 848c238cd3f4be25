"""The report tells the figures of the manifest, and its pictures are pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from edge.bundle import open_bundle


def test_the_report_tells_every_fault_and_candidate(words_bundle: Path) -> None:
    """Each fault's threshold and each candidate's verdict stand in report.md, with the processor's difference apart."""
    text = (words_bundle / "report.md").read_text()
    manifest = open_bundle(words_bundle).manifest
    for fault in manifest.faults:
        assert f"| {fault.id} | yes | {fault.threshold:.3f} |" in text
    for candidate in manifest.proof.candidates:
        assert candidate.verdict in text
    assert "own image processor" in text
    assert "Any fault against normal: AUROC" in text


def test_the_pictures_open(words_bundle: Path) -> None:
    """Two PNG files of a readable size."""
    for name in ("scores.png", "candidates.png"):
        with Image.open(words_bundle / name) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 200

"""The report tells the figures of the manifest, and its pictures are pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from edge.bundle import open_bundle
from edge.manifest import Proof
from exporters.pack.assemble import find_doubts
from exporters.pack.report import flags_of_a_shift, proven
from exporters.proof.shares import Share
from tests.stand.bundles import LATENCY, PARITY


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


def test_every_share_stands_with_its_number_and_interval(words_bundle: Path) -> None:
    """Detection of a fault is told of so many test images, with an interval that holds the manifest's share; so are false alarms."""
    text = (words_bundle / "report.md").read_text()
    for fault in open_bundle(words_bundle).manifest.faults:
        evidence = fault.calibration
        assert evidence is not None
        cells = next(line for line in text.splitlines() if line.startswith(f"| {fault.id} | ")).split(" | ")
        for cell, share in zip(cells[6:8], (evidence.false_alarm_measured, evidence.detection_measured), strict=True):
            if share is None:
                assert cell == "-"
                continue
            told = re.fullmatch(r"([\d.]+)% of (\d+) \(([\d.]+)% to ([\d.]+)%\)", cell)
            assert told, cell
            assert float(told[3]) <= 100 * share <= float(told[4])
            assert float(told[1]) == pytest.approx(100 * share, abs=0.051)
        assert evidence.fault_images == 0 or f"% of {evidence.fault_images} (" in cells[7]
    assert "% of 0 (" not in text


def test_every_fault_with_pictures_is_controlled(words_bundle: Path) -> None:
    """The best circumstance of each stands beside the head, and a line at the top names each shortcut."""
    text = (words_bundle / "report.md").read_text()
    lines = text.partition("## Controls")[2].partition("\n## ")[0].splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ") and not line.startswith(("| fault", "| ---"))]
    tested = [
        fault.id
        for fault in open_bundle(words_bundle).manifest.faults
        if fault.calibration and fault.calibration.fault_images
    ]
    assert tested
    assert {row[0].removeprefix("| ") for row in rows} >= set(tested)
    assert sum("yes" in row[-1] for row in rows) == text.count("- SHORTCUT: ")


def test_the_report_says_what_to_add_and_what_a_shift_brings(words_bundle: Path) -> None:
    """A fault that few test pictures measured has its number of pictures to add; a share of false alarms is told in frames."""
    text = (words_bundle / "report.md").read_text()
    assert re.search(r"## What to do next\n\n- Add pictures of faults, of other parts: \d+ of crack", text)
    assert "Of 1,000 normal frames " in text


def test_a_share_is_told_in_frames_and_hours() -> None:
    """Two of a hundred are 20 of 1,000 frames, 2 to 70 by the interval, and 576 of a shift at a frame a second."""
    told = flags_of_a_shift(Share(2, 100))
    assert told.startswith(
        "Of 1,000 normal frames 20 raise some flag (2 to 70); of a shift of 8 h at one frame a second 576."
    )
    assert flags_of_a_shift(None) == ""


def test_the_pictures_open(words_bundle: Path) -> None:
    """Two PNG files of a readable size."""
    for name in ("scores.png", "candidates.png"):
        with Image.open(words_bundle / name) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 200


def proof_of(p50_ms: float, p99_ms: float, *, on_target: bool = True) -> Proof:
    """A proof whose frames took so long."""
    frame = LATENCY | {"scope": "frame", "p50_ms": p50_ms, "p95_ms": p99_ms, "p99_ms": p99_ms, "max_ms": p99_ms}
    return Proof.model_validate(
        {
            "parity": PARITY, "latency": [LATENCY, frame], "peak_rss_mib": 1.0, "candidates": [], "golden_tolerance": 0.01,
            "golden": [{"file": "golden/0.jpg", "scores": [0.5]}], "proven_on_target": on_target,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("proof", "others_cores", "said"),
    [
        (proof_of(10, 39), 1.5, "yes"),
        (proof_of(10, 39, on_target=False), 0.0, "no, latency is only indicative"),
        (proof_of(10, 200), 0.0, "only in part: p50 of 10.0 ms is within the budget of 40 ms, p99 of 200.0 ms is not"),
        (proof_of(10, 200), 1.5, "no: picture to scores took 10.0 ms at p50 and 200.0 at p99, the budget is 40 ms, while others took 1.5 cores"),
        (proof_of(60, 80), 1.5, "no: picture to scores took 60.0 ms"),
        (proof_of(60, 80), 0.0, "no: picture to scores took 60.0 ms at p50 and 80.0 at p99, the budget is 40 ms, on a quiet board: choose a smaller"),
        (proof_of(60, 80, on_target=False), 1.5, "no, latency is only indicative"),
    ],
)  # fmt: skip
def test_proven_is_said_only_of_what_keeps_the_budget(proof: Proof, others_cores: float, said: str) -> None:
    """A tail over the budget is said beside it, and what was measured on a busy machine does not count and is not thrown away."""
    counted = proof.model_copy(update={"doubts": find_doubts(40.0, proof, others_cores)})
    assert proven(counted, 40.0).startswith(said)
    assert bool(counted.doubts) == said.startswith("no: ")

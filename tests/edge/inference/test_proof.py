"""A bundle goes live only where it gives the scores that were promised, in time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.bundle import Bundle, open_bundle
from edge.errors import ProofFailed
from edge.inference.engine import Engine
from edge.inference.preprocess import Preprocessor, encode_jpeg
from edge.inference.proof import ProofResult, prove
from tests.edge.inference.test_engine import RED, SIZE, model
from tests.stand import bundles as builders


class SteppingClock:
    """A clock that advances by a fixed step at every reading."""

    def __init__(self, step_ms: float) -> None:
        self._now_ns, self._step_ns = 0, int(step_ms * 1e6)

    def __call__(self) -> int:
        """The next time, ns."""
        self._now_ns += self._step_ns
        return self._now_ns


def bundle_with(folder: Path, *, golden_score: float = 1.0, picture: bytes | None = None, faults: int = 3) -> Bundle:
    """A whole bundle with one golden red picture, opened as the daemon does."""
    golden = encode_jpeg(RED[0], quality=100) if picture is None else picture
    files = {"graph.onnx": model().SerializeToString(), "golden/red.jpg": golden}
    specs = [builders.fault(f"colour{index}") for index in range(faults)]
    document = builders.manifest_document(files, faults=specs)
    scores = [golden_score, *[0.0] * (faults - 1)]
    proof = document["proof"] | {"golden": [{"file": "golden/red.jpg", "scores": scores}], "golden_tolerance": 0.02}
    input_spec = {"name": "frame", "width": SIZE, "height": SIZE, "resize": "stretch"}
    builders.write_bundle(folder, files, faults=specs, proof=proof, input=input_spec)
    return open_bundle(folder)


def proven(bundle: Bundle, *, step_ms: float = 1.0, budget_ms: float = 40.0) -> ProofResult:
    """Load and prove a bundle with a clock that advances ``step_ms`` between two readings."""
    manifest = bundle.manifest
    engine = Engine.load(bundle.graph, manifest.execution, input_name="frame", output_name="scores")
    return prove(engine, bundle, Preprocessor(manifest.frame_input), budget_ms, SteppingClock(step_ms))


def test_an_intact_bundle_is_proven(tmp_path: Path) -> None:
    """Golden inputs within tolerance and a median within the budget: the result carries the measured figures."""
    result = proven(bundle_with(tmp_path), step_ms=1.5)
    assert result.golden_inputs == 1
    assert result.golden_max_abs < 0.02
    assert (result.infer_p50_ms, result.frame_p50_ms, result.frame_p99_ms) == (1.5, 3.0, 3.0)
    assert result.budget_ms == 40.0


def test_other_results_than_promised_refuse_the_bundle(tmp_path: Path) -> None:
    """A machine, or a damaged graph, that gives other scores than the proof may not go live."""
    with pytest.raises(ProofFailed, match=r"golden/red.jpg.*0\.02"):
        proven(bundle_with(tmp_path, golden_score=0.9))


def test_a_machine_that_is_too_slow_refuses_the_bundle(tmp_path: Path) -> None:
    """The median of picture -> scores decides, and the message says by how much."""
    bundle = bundle_with(tmp_path)
    proven(bundle, step_ms=20.0)
    with pytest.raises(ProofFailed, match=r"40 ms.*42\.0 ms"):
        proven(bundle, step_ms=21.0)


@pytest.mark.parametrize(("step_ms", "runs"), [(20.0, 20), (60.0, 9), (600.0, 8)])
def test_a_slow_graph_is_timed_less_often(tmp_path: Path, step_ms: float, runs: int) -> None:
    """Twenty runs of a fast graph; of a slow one what a second holds, but eight at least."""
    assert proven(bundle_with(tmp_path), step_ms=step_ms, budget_ms=1e4).runs == runs


def test_a_golden_picture_that_does_not_decode_refuses_the_bundle(tmp_path: Path) -> None:
    """A proof that cannot be repeated is none."""
    with pytest.raises(ProofFailed, match="gives no scores"):
        proven(bundle_with(tmp_path, picture=b"not a picture"))


def test_another_number_of_faults_refuses_the_bundle(tmp_path: Path) -> None:
    """The graph must give one score for each fault of the manifest."""
    with pytest.raises(ProofFailed, match="3 scores for 2 faults"):
        proven(bundle_with(tmp_path, faults=2))


def test_a_verdict_must_be_the_one_that_was_proven(tmp_path: Path) -> None:
    """Scores within tolerance are not enough: what counts for the operator is on which side of the threshold they fall."""
    faults = [builders.fault("red", threshold=0.99, release=0.9), *(builders.fault(f"colour{row}") for row in (1, 2))]
    bundle_with(tmp_path)
    document = json.loads((tmp_path / "manifest.json").read_bytes())
    document["faults"] = faults
    document["proof"]["golden"][0] |= {"scores": [0.985, 0.0, 0.0], "verdicts": {"red": "ok"}}
    (tmp_path / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    bundle = open_bundle(tmp_path)
    with pytest.raises(ProofFailed, match=r"golden/red.jpg is fault for red here.*threshold 0\.99.*says ok"):
        proven(bundle)

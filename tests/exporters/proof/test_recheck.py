"""`verify BUNDLE` catches a damaged bundle, and a graph that is not the one that was proven."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge.bundle import MANIFEST, file_sha256, open_bundle
from edge.errors import HashMismatch, ProofFailed
from edge.manifest import FileEntry, Manifest, manifest_json
from exporters.proof.recheck import recheck


def _copy(bundle: Path, target: Path) -> Path:
    shutil.copytree(bundle, target)
    return target


def _reseal(bundle: Path) -> None:
    """Write hashes of what is there now, as an attacker or a careless script would."""
    manifest = Manifest.model_validate_json((bundle / MANIFEST).read_bytes())
    entries = tuple(
        FileEntry(path=e.path, sha256=file_sha256(bundle / e.path), size_bytes=(bundle / e.path).stat().st_size)
        for e in manifest.files
    )
    (bundle / MANIFEST).write_bytes(manifest_json(manifest.model_copy(update={"files": entries})))


def test_an_untouched_bundle_passes(words_bundle: Path) -> None:
    """Hashes, golden inputs and latency are repeated."""
    lines = "\n".join(recheck(words_bundle, time.perf_counter_ns))
    assert "files intact" in lines
    assert "crack: armed" in lines


def test_one_flipped_bit_is_found(words_bundle: Path, tmp_path: Path) -> None:
    """Any file, any bit."""
    bundle = _copy(words_bundle, tmp_path / "b")
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(data)
    with pytest.raises(HashMismatch):
        recheck(bundle, time.perf_counter_ns)


def test_swapped_fault_rows_fail_the_golden_inputs(words_bundle: Path, tmp_path: Path) -> None:
    """A graph with two faults swapped, even under fresh hashes, is not the one that was proven."""
    bundle = _copy(words_bundle, tmp_path / "b")
    file = open_bundle(bundle).graph
    model = onnx.load(file)
    for item in model.graph.initializer:
        if item.name in {"evidence.head.contrast", "gain", "bias"}:
            turned = np.ascontiguousarray(numpy_helper.to_array(item)[..., ::-1])
            item.CopyFrom(numpy_helper.from_array(turned, item.name))
    onnx.save(model, file)
    _reseal(bundle)
    with pytest.raises(ProofFailed, match="scores differ"):
        recheck(bundle, time.perf_counter_ns)

"""Small valid things that tests start from: a manifest, a bundle folder, a site."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.bundle import FORMAT, MANIFEST, Manifest, manifest_json

LATENCY = {"scope": "infer", "machine": "test", "runs": 10, "p50_ms": 1.0, "p95_ms": 1.2, "p99_ms": 1.5, "max_ms": 2.0}
PARITY = {"images": 4, "mean_abs": 0.0, "max_abs": 0.0, "flips": 0, "verdicts": 8, "flips_allowed": 0}


def fault(identity: str, **changes: Any) -> dict[str, Any]:
    """A calibrated, armed fault."""
    base: dict[str, Any] = {
        "id": identity,
        "title": identity.capitalize(),
        "words": [f"a {identity}"],
        "normal_words": ["a flawless part"],
        "threshold": 0.8,
        "release": 0.6,
        "calibration": {
            "method": "normal-quantile",
            "normal_images": 200,
            "fault_images": 20,
            "false_alarm_bound": 0.01,
        },
        "armed": True,
    }
    return base | changes


def manifest_document(
    files: dict[str, bytes], *, faults: list[dict[str, Any]] | None = None, **changes: Any
) -> dict[str, Any]:
    """A manifest as plain data, for files given by path and content; ``graph.onnx`` must be among them."""
    faults = faults or [fault("crack"), fault("dent")]
    golden = [{"file": path, "scores": [0.5] * len(faults)} for path in files if path.startswith("golden/")]
    base: dict[str, Any] = {
        "format": FORMAT,
        "name": "line",
        "version": 1,
        "created": datetime(2026, 11, 23, tzinfo=UTC).isoformat(),
        "tool": "test 0",
        "source": {
            "family": "siglip",
            "checkpoint": "tiny",
            "checkpoint_sha256": "0" * 64,
            "licence": "Apache-2.0",
            "parameters": 1,
        },
        "target": {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 40.0},
        "execution": {
            "graph": "graph.onnx",
            "provider": "CPUExecutionProvider",
            "intra_op_threads": 1,
            "scheme": "float32",
        },
        "input": {"name": "frame", "width": 32, "height": 32, "resize": "stretch"},
        "output": "scores",
        "faults": faults,
        "proof": {
            "parity": PARITY,
            "latency": [LATENCY],
            "peak_rss_mib": 100.0,
            "candidates": [],
            "golden": golden,
            "golden_tolerance": 0.05,
            "proven_on_target": False,
        },
        "files": [
            {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
            for path, content in files.items()
        ],
    }
    return base | changes


def write_bundle(folder: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Manifest:
    """Write a bundle whose files need not be a real graph."""
    files = files or {"graph.onnx": b"not a graph", "golden/0.jpg": b"not a picture"}
    manifest = Manifest.model_validate(manifest_document(files, **changes))
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / MANIFEST).write_bytes(manifest_json(manifest))
    return manifest

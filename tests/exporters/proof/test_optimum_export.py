"""The script that runs in optimum's own environment: its answers, and the graph that it scores pictures with."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from exporters.proof import optimum_export
from tests.stand.other_exporter import PACKAGES, make_interpreter

STANDARD = set(sys.stdlib_module_names)


def test_it_needs_nothing_of_this_project() -> None:
    """What it imports is Python's own, or what optimum's environment has."""
    tree = ast.parse(Path(optimum_export.__file__).read_text(encoding="utf-8"))
    found = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert found - STANDARD == {"optimum", "numpy", "onnxruntime"}


def test_a_missing_package_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of JSON and a status of its own."""
    monkeypatch.setitem(sys.modules, "optimum", None)
    assert optimum_export.main(["versions"]) == optimum_export.MISSING
    assert "optimum" in json.loads(capsys.readouterr().out)["missing"]


@pytest.mark.filterwarnings("ignore")  # the stand-in exports in this process, and torch warns of itself
def test_it_answers_with_versions_and_logits(
    siglip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every picture against every phrase, as transformers' own forward pass has it."""
    from transformers import AutoModel

    monkeypatch.syspath_prepend(str(make_interpreter(tmp_path / "env").parent))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    generator = np.random.default_rng(0)
    given: dict[str, NDArray[Any]] = {
        "pixel_values": generator.normal(size=(3, 3, 32, 32)).astype(np.float32),
        "input_ids": generator.integers(0, 20, (4, 16)),
        "attention_mask": np.ones((4, 16), np.int64),
    }
    for name, values in given.items():
        np.save(tmp_path / f"{name}.npy", values)
    assert optimum_export.main(["export", str(siglip), str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["optimum"] == PACKAGES["optimum"]
    model = AutoModel.from_pretrained(siglip).eval()
    with torch.inference_mode():
        wanted = model(**{name: torch.from_numpy(values) for name, values in given.items()}).logits_per_image.numpy()
    found = np.load(tmp_path / "logits.npy")
    assert found.shape == (3, 4)
    assert np.abs(found - wanted).max() < 1e-4
    for name in [name for name in sys.modules if name.partition(".")[0] == "optimum"]:
        del sys.modules[name]  # the next test may have the real one

"""The toy graph, exported once."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters import load
from exporters.graph.export import export
from exporters.graph.specialise import plain_scale, specialise
from tests.exporters.graph.toy import ASKED
from tests.stand.checkpoints import SIDE


@pytest.fixture(scope="session")
def graph(siglip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny SigLIP, exported."""
    module = specialise(load.load(*load.inspect(siglip)).graph(ASKED, None), plain_scale(2))
    return export(module, SIDE, SIDE, tmp_path_factory.mktemp("graph") / "float32.onnx")

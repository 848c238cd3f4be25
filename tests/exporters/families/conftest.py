"""The generative families' tiny checkpoints, each made and asked once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from exporters.families.gemma3 import Gemma3
from exporters.families.mistral3 import Mistral3
from exporters.families.qwen3_vl import Qwen3Vl
from exporters.families.qwen35 import Qwen35
from exporters.families.smolvlm import SmolVlm
from exporters.onepass.generative import Generative
from tests.exporters import onepass_check as check
from tests.exporters import tiny_checkpoints as tiny

FAMILIES: dict[str, tuple[Generative, Callable[[Path], Path]]] = {
    "smolvlm": (SmolVlm(), tiny.smolvlm),
    "gemma3": (Gemma3(), tiny.gemma3),
    "qwen3_vl": (Qwen3Vl(resolution_px=64), tiny.qwen3_vl),
    "qwen35": (Qwen35(resolution_px=64), tiny.qwen35),
    "mistral3": (Mistral3(resolution_px=64), tiny.mistral3),
}
Cases = Callable[[str], check.Case]


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """A family's tiny checkpoint with the reference's answers, by name."""

    @cache
    def make(name: str) -> check.Case:
        family, checkpoint = FAMILIES[name]
        return check.make(family, checkpoint(tmp_path_factory.mktemp(name)))

    return make

"""The generative families' tiny checkpoints, each made and asked once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Protocol

import pytest

from exporters.families.gemma3 import Gemma3
from exporters.families.generative import GenerativeFamily
from exporters.families.mistral3 import Mistral3
from exporters.families.qwen3_vl import Qwen3Vl
from exporters.families.qwen35 import Qwen35, Qwen35Moe
from exporters.families.smolvlm import SmolVlm
from tests.stand import onepass_check as check
from tests.stand import tiny_checkpoints as tiny

FAMILIES: dict[str, tuple[GenerativeFamily, Callable[[Path], Path]]] = {
    "smolvlm": (SmolVlm(), tiny.smolvlm),
    "gemma3": (Gemma3(), partial(tiny.gemma3, layers=3)),
    "qwen3_vl": (Qwen3Vl(resolution_px=64), tiny.qwen3_vl),
    "qwen35": (Qwen35(resolution_px=64), tiny.qwen35),
    "qwen35_moe": (Qwen35Moe(resolution_px=64), tiny.qwen35_moe),
    "mistral3": (Mistral3(resolution_px=64), tiny.mistral3),
}
MORE = {
    "smolvlm": 64,
    "gemma3": 64,
}  # pictures for int8: it flips near the share allowed, which 16 measure too coarsely


class Cases(Protocol):
    """A family's case by name; `many`: with as many pictures as int8 wants."""

    def __call__(self, name: str, *, many: bool = False) -> check.Case:
        """The case, made when it is first asked for."""
        ...


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """A family's tiny checkpoint with the reference's answers, by name."""

    @cache
    def made(name: str, pictures: int) -> check.Case:
        family, checkpoint = FAMILIES[name]
        return check.make(family, checkpoint(tmp_path_factory.mktemp(name)), pictures=pictures)

    def make(name: str, *, many: bool = False) -> check.Case:
        return made(name, MORE.get(name, check.PICTURES) if many else check.PICTURES)

    return make

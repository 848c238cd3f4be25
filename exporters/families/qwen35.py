"""Qwen3.5 (dense): Qwen's tower without deepstack, and a decoder of gated delta layers with full attention in between.

A tree is wrong here: a recurrent layer has no mask, its state would leak from branch to branch. So the prefix form only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from exporters.families.base import PixelSpec
from exporters.families.qwen3_vl import Qwen3Vl
from exporters.onepass.generative import Form, Parts


@dataclass(frozen=True)
class Qwen35(Qwen3Vl):
    """See the module."""

    name: ClassVar[str] = "qwen3-5"
    model_types: ClassVar[tuple[str, ...]] = ("qwen3_5",)
    forms: ClassVar[tuple[Form, ...]] = ("prefix",)

    def parts(self, model: Any, spec: PixelSpec) -> Parts:  # noqa: ANN401 - transformers' untyped model
        """`visual` is the tower, language_model the decoder."""
        from exporters.onepass.towers import QwenTower, recurrent_decoder  # noqa: PLC0415 - imports torch

        inner = model.model
        return Parts(
            tower=QwenTower(inner.visual, spec),
            decoder=recurrent_decoder(inner.language_model),
            embed=inner.language_model.embed_tokens,
            head=model.lm_head.weight,
        )


FAMILY = Qwen35()

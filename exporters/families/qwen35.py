"""Qwen3.5: Qwen's tower without deepstack, and a decoder of gated delta layers with full attention in between.

A tree is wrong here: a recurrent layer has no mask, its state would leak from branch to branch. So the prefix form only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from edge.errors import ConfigError, ExportError
from exporters.checkpoint.naming import missing_experts
from exporters.checkpoint.whole import refuse_missing
from exporters.device import Device
from exporters.families.qwen3_vl import Qwen3Vl
from exporters.model import INT4, Checkpoint, PixelSpec
from exporters.onepass.form import Form, Parts
from exporters.recipe import Recipe


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


@dataclass(frozen=True)
class Qwen35Moe(Qwen35):
    """The variant whose layers are mixtures of experts (35B-A3B and larger)."""

    name: ClassVar[str] = "qwen3-5-moe"
    model_types: ClassVar[tuple[str, ...]] = ("qwen3_5_moe",)

    def check(self, checkpoint: Checkpoint) -> None:
        """All experts must be there, and gated by SiLU: the graph knows no other function. Raises ExportError."""
        refuse_missing(
            checkpoint.folder, missing_experts(checkpoint.shapes, checkpoint.number("text_config", "num_experts"))
        )
        gate = checkpoint.config.get("text_config", {}).get("hidden_act", "silu")
        if gate != "silu":
            raise ExportError(f"{checkpoint.folder}: its experts are gated by {gate}, the graph knows silu only.")

    def asked(self, recipe: Recipe) -> Qwen35Moe:
        """As for the dense ones. Raises ConfigError for 4 bits too."""
        if INT4 in (recipe.quantization.schemes or ()):
            raise ConfigError(
                f"{INT4} has no form for a mixture of experts: take it out of quantization.schemes, e.g. for dynamic-int8."
            )
        return cast("Qwen35Moe", super().asked(recipe))

    def schemes(self, board: Device, *, streamed: bool) -> tuple[str, ...]:
        """As the other checkpoints on disk, without 4 bits: experts have no such form."""
        return tuple(one for one in super().schemes(board, streamed=streamed) if one != INT4)


FAMILY = Qwen35()
MIXTURE = Qwen35Moe()

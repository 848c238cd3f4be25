"""Gemma 3 (4B, 12B, 27B): a SigLIP tower, a pooling projector, and a Gemma decoder of full and sliding layers.

The image tokens see each other in both directions, in both kinds of layer. One picture, without pan-and-scan crops, at the tower's own size:
the projector pools a fixed grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError
from exporters.families.generative import GenerativeFamily
from exporters.model import Checkpoint, PixelSpec
from exporters.onepass.form import Parts


@dataclass(frozen=True)
class Gemma3(GenerativeFamily):
    """See the module."""

    name: ClassVar[str] = "gemma3"
    model_types: ClassVar[tuple[str, ...]] = ("gemma3",)
    placeholder: ClassVar[str] = "<start_of_image>"
    two_way_image: ClassVar[bool] = True

    def native_px(self, checkpoint: Checkpoint) -> int:
        """The tower's square."""
        return checkpoint.number("vision_config", "image_size")

    def token_px(self, checkpoint: Checkpoint) -> int:
        """The tower's square over the fixed number of image tokens."""
        return self.native_px(checkpoint) // math.isqrt(checkpoint.number("mm_tokens_per_image"))

    def image_text(self, rows: int, columns: int) -> str:
        """The processor's layout of one picture."""
        return f"\n\n<start_of_image>{'<image_soft_token>' * (rows * columns)}<end_of_image>\n\n"

    def check(self, checkpoint: Checkpoint) -> None:
        """Only the tower's own resolution. Raises ExportError."""
        if self.resolution_px not in {None, self.native_px(checkpoint)}:
            raise ExportError(
                f"{checkpoint.folder}: Gemma 3's projector pools a {self.native_px(checkpoint)} px picture; leave the resolution out."
            )

    def parts(self, model: Any, spec: PixelSpec) -> Parts:  # noqa: ANN401, ARG002 - transformers' untyped model; one size only
        """Vision tower and projector are the tower, language_model the decoder."""
        from exporters.onepass.towers import GemmaTower, mixed_decoder  # noqa: PLC0415 - imports torch

        inner = model.model
        return Parts(
            tower=GemmaTower(inner.vision_tower, inner.multi_modal_projector),
            decoder=mixed_decoder(inner.language_model),
            embed=inner.language_model.embed_tokens,
            head=model.lm_head.weight,
        )

    def reference_extras(self, tokens: NDArray[np.int64], image_token: int) -> dict[str, NDArray[np.int64]]:
        """Which tokens are image: the reference's mask is two-way there."""
        return {"token_type_ids": (tokens == image_token).astype(np.int64)}


FAMILY = Gemma3()

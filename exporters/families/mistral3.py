"""Mistral 3 and Ministral 3: a Pixtral tower, a patch merger, and a Mistral or Ministral 3 decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edge.errors import ExportError
from exporters.families.generative import GenerativeFamily
from exporters.model import Checkpoint, PixelSpec
from exporters.onepass.form import Parts

NATIVE_PX = 448  # the family takes any size up to 1540 px; this one gives 256 image tokens at 14 px patches merged by 2


@dataclass(frozen=True)
class Mistral3(GenerativeFamily):
    """See the module."""

    name: ClassVar[str] = "mistral3"
    model_types: ClassVar[tuple[str, ...]] = ("mistral3",)
    placeholder: ClassVar[str] = "[IMG]"

    def native_px(self, checkpoint: Checkpoint) -> int:
        """The family has no size of its own: a multiple of an image token near NATIVE_PX."""
        step = self.token_px(checkpoint)
        return max(1, NATIVE_PX // step) * step

    def token_px(self, checkpoint: Checkpoint) -> int:
        """Patch times merge."""
        return self.patch_px(checkpoint) * checkpoint.number("spatial_merge_size")

    def image_text(self, rows: int, columns: int) -> str:
        """Rows of image tokens with a break behind each, an end behind the last."""
        return "[IMG_BREAK]".join(["[IMG]" * columns] * rows) + "[IMG_END]"

    def check(self, checkpoint: Checkpoint) -> None:
        """One feature layer only. Raises ExportError."""
        if not isinstance(checkpoint.config.get("vision_feature_layer", -1), int):
            raise ExportError(f"{checkpoint.folder}: several vision_feature_layer are not supported, only one.")

    def parts(self, model: Any, spec: PixelSpec) -> Parts:  # noqa: ANN401 - transformers' untyped model
        """Vision tower and projector are the tower, language_model the decoder."""
        from exporters.onepass.towers import PixtralTower, plain_decoder  # noqa: PLC0415 - imports torch

        inner = model.model
        wanted = int(model.config.vision_feature_layer)  # among the states before, between and behind the layers
        states = len(inner.vision_tower.transformer.layers) + 1
        return Parts(
            tower=PixtralTower(inner.vision_tower, inner.multi_modal_projector, range(states)[wanted], spec),
            decoder=plain_decoder(inner.language_model),
            embed=inner.language_model.embed_tokens,
            head=model.lm_head.weight,
        )

    def processor_call(self, spec: PixelSpec) -> dict[str, Any]:
        """The size that the frame already has."""
        return {"size": {"longest_edge": spec.width}}


FAMILY = Mistral3()

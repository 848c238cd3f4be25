"""SmolVLM (256M, 500M, 2.2B; model type idefics3) and SmolVLM2: a SigLIP tower, a pixel shuffle, and a Llama decoder.

One picture, not split into tiles: the frame is what the processor calls the global image (`do_image_splitting=False`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from exporters.families.generative import GenerativeFamily
from exporters.model import Checkpoint, PixelSpec
from exporters.onepass.form import Parts


@dataclass(frozen=True)
class SmolVlm(GenerativeFamily):
    """See the module."""

    name: ClassVar[str] = "smolvlm"
    model_types: ClassVar[tuple[str, ...]] = ("smolvlm", "idefics3")
    answers: ClassVar[tuple[str, str]] = (" Yes", " No")  # the template ends with "Assistant:"

    def native_px(self, checkpoint: Checkpoint) -> int:
        """The tower's square."""
        return checkpoint.number("vision_config", "image_size")

    def token_px(self, checkpoint: Checkpoint) -> int:
        """Patch times pixel shuffle."""
        return self.patch_px(checkpoint) * checkpoint.number("scale_factor")

    def image_text(self, rows: int, columns: int) -> str:
        """The processor's layout of an unsplit picture."""
        fence = "<fake_token_around_image>"
        return f"{fence}<global-img>{'<image>' * (rows * columns)}{fence}"

    def parts(self, model: Any, spec: PixelSpec) -> Parts:  # noqa: ANN401 - transformers' untyped model
        """Vision model and connector are the tower, text_model the decoder."""
        from exporters.onepass.towers import SmolVlmTower, plain_decoder  # noqa: PLC0415 - imports torch

        inner = model.model
        return Parts(
            tower=SmolVlmTower(inner.vision_model, inner.connector, spec),
            decoder=plain_decoder(inner.text_model),
            embed=inner.text_model.embed_tokens,
            head=model.lm_head.weight,
        )

    def processor_call(self, spec: PixelSpec) -> dict[str, Any]:
        """No tiles, and the size that the frame already has."""
        return {
            "do_image_splitting": False,
            "size": {"longest_edge": spec.width},
            "max_image_size": {"longest_edge": spec.width},
        }


FAMILY = SmolVlm()

"""Qwen3-VL (dense): a tower with axial rotary angles, three deepstack levels, and a decoder with positions along time, height and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from exporters.families.generative import GenerativeFamily
from exporters.model import Checkpoint, PixelSpec
from exporters.onepass.form import Parts

NATIVE_PX = 448  # the family takes any size; this one gives 196 image tokens at 16 px patches merged by 2


@dataclass(frozen=True)
class Qwen3Vl(GenerativeFamily):
    """See the module."""

    name: ClassVar[str] = "qwen3-vl"
    model_types: ClassVar[tuple[str, ...]] = ("qwen3_vl",)
    placeholder: ClassVar[str] = "<|image_pad|>"
    batched_pixels: ClassVar[bool] = False

    def native_px(self, checkpoint: Checkpoint) -> int:
        """The family has no size of its own: a multiple of an image token near NATIVE_PX."""
        step = self.token_px(checkpoint)
        return max(1, NATIVE_PX // step) * step

    def token_px(self, checkpoint: Checkpoint) -> int:
        """Patch times merge."""
        return self.patch_px(checkpoint) * checkpoint.number("vision_config", "spatial_merge_size")

    def image_text(self, rows: int, columns: int) -> str:
        """The chat template writes the fence itself."""
        return self.placeholder * (rows * columns)

    def positions(self, prefix: Sequence[int], image_token: int, columns: int) -> NDArray[np.int64]:
        """[3, P]: text counts up on all axes; the picture has one time, its tokens at their row and column."""
        return mrope(prefix, image_token, columns)

    def parts(self, model: Any, spec: PixelSpec) -> Parts:  # noqa: ANN401 - transformers' untyped model
        """`visual` is the tower, language_model the decoder."""
        from exporters.onepass.towers import QwenTower, axes_decoder  # noqa: PLC0415 - imports torch

        inner = model.model
        return Parts(
            tower=QwenTower(inner.visual, spec),
            decoder=axes_decoder(inner.language_model),
            embed=inner.language_model.embed_tokens,
            head=model.lm_head.weight,
        )

    def processor_call(self, spec: PixelSpec) -> dict[str, Any]:
        """Any number of pixels, so that the picture keeps its size."""
        return {"size": {"shortest_edge": 1, "longest_edge": spec.width * spec.height}}

    def reference_extras(self, tokens: NDArray[np.int64], image_token: int) -> dict[str, NDArray[np.int64]]:
        """Which tokens are image: the reference works the positions out from it."""
        return {"mm_token_type_ids": (tokens == image_token).astype(np.int64)}


def mrope(prefix: Sequence[int], image_token: int, columns: int) -> NDArray[np.int64]:
    """[3, P] positions along time, height and width of a prefix with one picture whose tokens lie in rows of `columns`."""
    positions = np.zeros((3, len(prefix)), dtype=np.int64)
    start = seen = 0  # where the running block begins; image tokens seen
    for place, token in enumerate(prefix):
        if token == image_token:
            positions[:, place] = start + np.array([0, seen // columns, seen % columns])
            seen += 1
            continue
        if seen and prefix[place - 1] == image_token:
            start = int(positions[:, :place].max()) + 1
        positions[:, place] = start
        start += 1
    return positions


FAMILY = Qwen3Vl()

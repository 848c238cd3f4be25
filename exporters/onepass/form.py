"""The types of the one-pass form: questions that share a prefix, and a checkpoint split into tower, decoder, embedding and head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

Form = Literal["tree", "prefix"]
Asked = Literal["worded", "one-token"]
Angles: TypeAlias = "Mapping[str, tuple[Tensor, Tensor]]"  # by kind of layer: cosines and sines, [1, N, head width]
Rows: TypeAlias = "Callable[[Any, Sequence[int]], Tensor]"  # a table parameter [V, D] and the rows wanted -> [rows, D]
Rope: TypeAlias = "Callable[[Tensor], Angles]"  # positions [axes, 1, N] -> angles


@dataclass(frozen=True)
class Decoder:
    """The language half of a checkpoint, as the graph needs it.

    Attributes:
        layers: the decoder's own layers, in order.
        kinds: for each layer the key of its mask and angles ("full", "sliding", "linear").
        norm: the norm behind the last layer.
        rope: angles for positions.
        window: tokens that a "sliding" layer sees; None where no layer slides.
    """

    layers: Sequence[nn.Module]
    kinds: tuple[str, ...]
    norm: nn.Module
    rope: Rope
    window: int | None = None


@dataclass(frozen=True)
class Parts:
    """A loaded checkpoint, taken apart.

    Attributes:
        tower: normalised pixels float32 [1, 3, height, width] -> list of [n, D] (image tokens first, then deepstack features).
        decoder: the language half.
        embed: the embedding module, token numbers int64 [U] -> [U, D].
        head: the vocabulary head's weight, [V, D].
    """

    tower: nn.Module
    decoder: Decoder
    embed: nn.Module
    head: Tensor

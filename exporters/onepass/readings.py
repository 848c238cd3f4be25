"""Writes sensor readings as words of a prompt, so that a text model scores them without a tokenizer on the device.

Only `families.phi4` uses it, which no bundle carries yet (see there). A reading is written as a whole number of fixed width in a unit chosen by the engineer ("vibration 043 x 0.1 mm/s"). The tokens of all numbers
are looked up at export, behind the very words that precede them, so in the graph a reading is: divide, round, clip, look up its row of tokens,
look up their embeddings. This works for tokenizers that write a digit a token and for those that write three digits a token alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import ExportError

DIGITS = 3
LARGEST = 10**DIGITS - 1


@dataclass(frozen=True, slots=True)
class Reading:
    """One input of the graph.

    Attributes:
        name: as the prompt calls it, e.g. "vibration".
        unit: as the prompt writes it, e.g. "mm/s".
        step: what one count of the written number is, in that unit; readings are clipped to 0 .. 999 steps.
    """

    name: str
    unit: str
    step: float

    def text(self, number: int) -> str:
        """How the prompt writes the number of steps."""
        return f"{self.name} {number:0{DIGITS}d} x {self.step:g} {self.unit}"


@dataclass(frozen=True)
class Fields:
    """Where the readings are in the prompt, and the tokens of every number that they can be.

    Attributes:
        places: for each reading the token positions of its number.
        tokens: for each reading [1000, n] the tokens of each number, n = len(places).
    """

    places: tuple[tuple[int, ...], ...]
    tokens: tuple[NDArray[np.int64], ...]


def written(readings: Sequence[Reading], numbers: Sequence[int]) -> str:
    """The sentence that all questions share."""
    return "Readings: " + "; ".join(r.text(n) for r, n in zip(readings, numbers, strict=True)) + "."


def steps(readings: Sequence[Reading], values: NDArray[np.float32]) -> list[int]:
    """Values [R] as whole steps, rounded and clipped exactly as the graph does it (float32, halves to even)."""
    counts = np.round(values.astype(np.float32) / np.asarray([r.step for r in readings], dtype=np.float32))
    return [int(count) for count in np.clip(counts, 0, LARGEST)]


def find_fields(readings: Sequence[Reading], encode: Callable[[str], Sequence[int]]) -> Fields:
    """Write every number of every reading and see which tokens change.

    Args:
        readings: in the order of the graph's input.
        encode: tokens of the whole prompt around the sentence `written`.

    Raises:
        ExportError: a number changes how many tokens the prompt has, or none of them.
    """
    zeros = [0] * len(readings)
    base = np.asarray(encode(written(readings, zeros)), dtype=np.int64)
    places: list[tuple[int, ...]] = []
    tokens: list[NDArray[np.int64]] = []
    for index, reading in enumerate(readings):
        rows = []
        for number in range(LARGEST + 1):
            row = np.asarray(encode(written(readings, [*zeros[:index], number, *zeros[index + 1 :]])), dtype=np.int64)
            if row.shape != base.shape:
                raise ExportError(
                    f"the tokenizer writes {reading.text(number)!r} with {len(row) - len(base):+d} tokens against "
                    f"{reading.text(0)!r}: readings need numbers of a fixed number of tokens."
                )
            rows.append(row)
        table = np.stack(rows)
        changing = np.flatnonzero((table != base).any(axis=0))
        if not len(changing):
            raise ExportError(
                f"the tokenizer writes every number of {reading.name!r} alike: it has no digits. Take the tokenizer files that "
                "belong to the checkpoint."
            )
        place = tuple(range(int(changing.min()), int(changing.max()) + 1))
        places.append(place)
        tokens.append(table[:, place[0] : place[-1] + 1])
    return Fields(tuple(places), tuple(tokens))


class ReadingRows(nn.Module):
    """float32 [1, R] -> the embeddings of the tokens that write the readings, [[n, D]]."""

    def __init__(self, readings: Sequence[Reading], fields: Fields, embed: nn.Module) -> None:
        super().__init__()
        vocabulary = np.unique(np.concatenate([table.ravel() for table in fields.tokens]))
        with torch.no_grad():
            self.register_buffer("rows", embed(torch.from_numpy(vocabulary)).detach().clone())
        self.register_buffer("steps", torch.tensor([[r.step for r in readings]], dtype=torch.float32))
        for index, table in enumerate(fields.tokens):
            self.register_buffer(f"table_{index}", torch.from_numpy(np.searchsorted(vocabulary, table)))
        self.readings = len(readings)

    def forward(self, values: Tensor) -> list[Tensor]:
        """See the class. A missing reading (NaN) is the caller's to refuse: there is no number for it."""
        counts = torch.round(values / cast("Tensor", self.steps)).clamp(0, LARGEST).to(torch.int64)
        tables = [cast("Tensor", getattr(self, f"table_{index}")) for index in range(self.readings)]
        chosen = torch.cat([table.index_select(0, counts[0, i : i + 1])[0] for i, table in enumerate(tables)])
        return [cast("Tensor", self.rows).index_select(0, chosen)]

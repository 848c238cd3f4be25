"""Puts a fault into words with a generative bundle: greedy decoding, one token a step, with a cache of fixed size.

No tokenizer: the questions were tokenised at export, and a table gives the bytes of each token. A step that is stopped changes nothing,
so it is simply run again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from edge.errors import FormatError, RejectedInput
from edge.manifest import Speech as SpeechSpec
from edge.parsing.structure import Bounds, check_structure

FRAME, TOKEN, PLACE = "frame", "token", "place"
KEYS, VALUES = "keys", "values"
KEY, VALUE, BEST, SURE = "key", "value", "best", "sure"
_PIECES = TypeAdapter(tuple[str, ...])
# a vocabulary: the largest of the families that we read has 262,144
_PIECES_BOUNDS = Bounds(size_bytes=8_000_000, values=300_000)


class Runs(Protocol):
    """A graph, as far as this stage needs it."""

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """The outputs asked for."""
        ...


@dataclass(slots=True)
class Thought:
    """One sentence under way: the cache [layers, heads, room, width], how much of it is filled, and the tokens generated so far."""

    keys: NDArray[np.float32]
    values: NDArray[np.float32]
    filled: int
    generated: list[int] = field(default_factory=list)
    surprise: float = 0.0  # sum of -log probability

    @property
    def probability(self) -> float | None:
        """Geometric mean of the probabilities of the generated tokens: how sure the model was of its words, not of the fault."""
        return round(math.exp(-self.surprise / len(self.generated)), 3) if self.generated else None


class Speech:
    """The two graphs of a bundle that generates text.

    Args:
        begin: frame -> keys and values of what all questions begin with, the picture in it.
        follow: one token behind the cache -> the best next one, its probability, and what to add to the cache.
        spec: the manifest's section.
        pieces: bytes of each token.
    """

    def __init__(self, begin: Runs, follow: Runs, spec: SpeechSpec, pieces: Sequence[bytes]) -> None:
        self._begin = begin
        self._follow = follow
        self._spec = spec
        self._pieces = pieces
        self._ends = frozenset(spec.ends)

    def question(self, fault: int) -> tuple[int, ...]:
        """The tokens that ask about a fault, by its place in the manifest."""
        return self._spec.questions[fault]

    def read_picture(self, tensor: NDArray[np.uint8]) -> Thought:
        """Take in a picture uint8 [1, height, width, 3]."""
        keys, values = self._begin.run({FRAME: tensor}, (KEYS, VALUES))
        layers, heads, filled, width = keys.shape
        room = np.zeros((2, layers, heads, self._spec.room, width), np.float32)
        room[0, :, :, :filled], room[1, :, :, :filled] = keys, values
        return Thought(room[0], room[1], filled)

    def follow(self, thought: Thought, token: int) -> tuple[int, float]:
        """Put one token behind the thought; returns the token that follows best, and its probability."""
        feeds: dict[str, NDArray[Any]] = {
            TOKEN: np.array([token], np.int64),
            PLACE: np.array([thought.filled], np.int64),
            KEYS: thought.keys,
            VALUES: thought.values,
        }
        key, value, best, sure = self._follow.run(feeds, (KEY, VALUE, BEST, SURE))
        thought.keys[:, :, thought.filled] = key[:, :, 0]
        thought.values[:, :, thought.filled] = value[:, :, 0]
        thought.filled += 1
        return int(best[0]), float(sure[0])

    def goes_on(self, thought: Thought, token: int, max_tokens: int) -> bool:
        """Whether a token is one more word and not the end of the sentence, of the allowance or of the room."""
        word = token not in self._ends and 0 <= token < len(self._pieces)
        allowed = min(max_tokens, self._spec.tokens)
        return word and len(thought.generated) < allowed and thought.filled < self._spec.room

    def append(self, thought: Thought, token: int, probability: float) -> None:
        """Take a token as generated."""
        thought.generated.append(token)
        thought.surprise -= math.log(max(probability, 1e-9))

    def text(self, thought: Thought) -> str:
        """The text generated so far."""
        return b"".join(self._pieces[token] for token in thought.generated).decode("utf-8", errors="replace")


def read_pieces(file: Path) -> tuple[bytes, ...]:
    """The bytes of each token, from a JSON list of texts whose characters are bytes.

    Raises:
        FormatError: it is something else.
    """
    if file.stat().st_size > _PIECES_BOUNDS.size_bytes:
        raise FormatError(f"{file.name} is larger than {_PIECES_BOUNDS.size_bytes} bytes")
    raw = file.read_bytes()
    try:
        check_structure(raw, _PIECES_BOUNDS)
        return tuple(piece.encode("latin-1") for piece in _PIECES.validate_json(raw))
    except (RejectedInput, ValueError) as error:
        raise FormatError(f"{file.name} is not a list of tokens: {error}") from error

"""What a camera's pictures are like, size and colour, as learned from its first frames: another kind of picture is judged with less trust until it is accepted.

Pure: time is an argument. A model that learned one size and form of picture has not been tried on another: a cropped sensor mode, a night picture in
infrared, a substitute stream. It is accepted by an operator, or after it has come for long enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import RejectedInput
from edge.frame import Quality

LEARN_FRAMES = 5  # of one kind, and it is what this camera sends
MAX_ACCEPTED = 4  # kinds: by day, by night, and two more
MAX_UNKNOWN = 16  # kinds remembered as reported; a stream that never repeats itself is no camera
GREY = 1.5  # mean distance of the largest from the smallest colour channel, grey levels: below it there is no colour
COLOURED = 4.0  # from here on there is; between the two it is what it was
DARK = 40.0  # mean of the largest colour channel: a darker picture shows no colour even where there is one
EVERY = 8  # rows and columns looked at
FORMAT = 1  # of what is kept
NOTHING: Mapping[str, Any] = {"format": FORMAT, "accepted": ()}


class Kind(NamedTuple):
    """One kind of picture: sides in px, and whether it has colour."""

    width: int
    height: int
    colour: bool

    def __str__(self) -> str:
        """For people."""
        return f"{self.width}x{self.height} px, {'colour' if self.colour else 'grey'}"


class Contract:
    """The kinds of picture that one camera may send.

    Args:
        accept_after_ns: another kind that comes without a break for so long is accepted; 0: only by an operator.
        accepted: kinds known from before.
    """

    def __init__(self, accept_after_ns: int, accepted: Iterable[Kind] = ()) -> None:
        self._accept_after_ns = accept_after_ns
        self.accepted: tuple[Kind, ...] = tuple(accepted)[-MAX_ACCEPTED:]
        self.seen: Kind | None = None
        self._since_ns = 0
        self._counts: Counter[Kind] = Counter()
        self._reported: set[Kind] = set()
        self._news: list[tuple[str, str]] = []

    @property
    def changed(self) -> bool:
        """Whether the newest frame is of a kind that is not accepted."""
        return bool(self.accepted) and self.seen is not None and self.seen not in self.accepted

    def look(self, width: int, height: int, tensor: NDArray[np.uint8], received_ns: int) -> Quality:
        """Take a frame: its own size in px and its tensor uint8 [1, height, width, 3]; returns how far its kind may be trusted."""
        some = tensor[0, ::EVERY, ::EVERY].astype(np.int16)
        dark = float(some.max(axis=2).mean()) < DARK
        if dark and not self.accepted:
            return Quality.GOOD  # nothing is learned from the dark
        kind = Kind(width, height, self._had_colour if dark else self._has_colour(some))
        if kind != self.seen:
            self.seen, self._since_ns = kind, received_ns
        if not self.accepted:
            self._learn(kind)
            return Quality.GOOD
        if kind in self.accepted:
            return Quality.GOOD
        if 0 < self._accept_after_ns <= received_ns - self._since_ns:
            self._accept(kind, "picture accepted", f"{kind}, after it came for {self._accept_after_ns / 1e9:g} s")
            return Quality.GOOD
        self._report(kind)
        return Quality.UNCERTAIN

    def relearn(self) -> None:
        """What comes from now on is what shall come."""
        self.accepted = ()
        self._counts.clear()
        self._reported.clear()

    def take_news(self) -> list[tuple[str, str]]:
        """What happened since the last call: what, and more about it."""
        news, self._news = self._news, []
        return news

    def to_dict(self) -> dict[str, Any]:
        """The accepted kinds as plain data for JSON."""
        return {"format": FORMAT, "accepted": [list(kind) for kind in self.accepted]}

    @property
    def _had_colour(self) -> bool:
        return self.seen.colour if self.seen is not None else any(kind.colour for kind in self.accepted)

    def _has_colour(self, some: NDArray[np.int16]) -> bool:
        spread = float((some.max(axis=2) - some.min(axis=2)).mean())
        return spread >= (GREY if self._had_colour else COLOURED)

    def _learn(self, kind: Kind) -> None:
        self._counts[kind] += 1
        if self._counts[kind] >= LEARN_FRAMES:
            self._accept(kind, "picture learned", str(kind))
        elif len(self._counts) > MAX_UNKNOWN:
            self._counts.clear()

    def _accept(self, kind: Kind, what: str, detail: str) -> None:
        self.accepted = (*self.accepted, kind)[-MAX_ACCEPTED:]
        self._counts.clear()
        self._reported.discard(kind)
        self._news.append((what, detail))

    def _report(self, kind: Kind) -> None:
        if kind not in self._reported and len(self._reported) < MAX_UNKNOWN:
            self._reported.add(kind)
            usual = "; ".join(map(str, self.accepted))
            self._news.append(
                (
                    "picture changed",
                    f"{kind}; accepted: {usual}. Verdicts are uncertain until it is accepted or changes back",
                )
            )


def from_dict(data: Mapping[str, Any]) -> tuple[Kind, ...]:
    """The kinds that `Contract.to_dict` wrote; none when it is another format's.

    Raises:
        RejectedInput: reason ``contract``: it cannot be read.
    """
    try:
        if data["format"] != FORMAT:
            return ()
        return tuple(Kind(int(width), int(height), bool(colour)) for width, height, colour in data["accepted"])
    except (KeyError, TypeError, ValueError) as error:
        raise RejectedInput("contract", f"a kept kind of picture is not usable: {error!r}") from error

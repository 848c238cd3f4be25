"""Detects another client under our client id by its message on our own state topic; most brokers report it no other way.

Pure. A state of another session is no proof by itself: the broker keeps the last state of our own former run, perhaps with a later stamp than the present one,
because the clock was set back while we were away. A duplicate client is alive: it publishes after our own state came back.
"""

from __future__ import annotations

from pydantic import ValidationError

from edge.errors import RejectedInput
from edge.parsing.structure import Bounds, check_structure
from edge.wire.messages import State

# A daemon's own has some hundred bytes, and a reason for each thing that is wrong.
_STATE = Bounds(size_bytes=65_536, values=2_000)


def state_of(payload: bytes) -> State | None:
    """The state in a message on our state topic; None: it is none that a daemon publishes."""
    try:
        check_structure(payload, _STATE)
        return State.model_validate_json(payload)
    except (RejectedInput, ValidationError):
        return None


class DuplicateClientDetector:
    """Reads the messages on our own state topic.

    Args:
        session: of this run.
        started_ts: when it began.
    """

    def __init__(self, session: str, started_ts: str) -> None:
        self._session = session
        self._started_ts = started_ts
        self._came_back = False  # our own state was received, so the broker retains it from now on
        self._past: dict[str, str] = {}  # newest stamp of each other session that was received before

    def shown_by(self, state: State, *, retained: bool) -> bool:
        """Whether this state can only come from a second client that runs now.

        What the broker replays (`retained`) must also be of our time: one that lost its newest writes in a power cut replays older sessions.
        """
        if state.session == self._session:
            self._came_back = True
            return False
        if not state.online or state.ts is None:
            return False  # a will, or a goodbye
        if not self._came_back:
            self._past[state.session] = max(state.ts, self._past.get(state.session, ""))
            return False
        news = state.ts > self._past.get(state.session, "")
        return news and (not retained or state.ts > self._started_ts)

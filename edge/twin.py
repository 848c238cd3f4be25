"""Whether somebody else speaks under our name: most brokers tell of it no other way than by our own state topic.

Pure. A state of another session is no proof by itself: the broker keeps the last word of our own former life, perhaps with a later stamp than ours,
because the clock was set back while we were away. A twin shows life: it speaks after our own word was heard back.
"""

from __future__ import annotations

from edge.messages import State


class TwinDetector:
    """Listens to what is said on our own state topic.

    Args:
        session: of this run.
        started_ts: when it began.
    """

    def __init__(self, session: str, started_ts: str) -> None:
        self._session = session
        self._started_ts = started_ts
        self._spoken = False  # our own word was heard back, so the broker keeps it from now on
        self._past: dict[str, str] = {}  # newest stamp of each other session that was heard before

    def shown_by(self, said: State, *, retained: bool) -> bool:
        """Whether this word can only come from somebody who lives beside us.

        What the broker replays (`retained`) must also be of our time: one that lost its newest writes in a power cut shows older lives again.
        """
        if said.session == self._session:
            self._spoken = True
            return False
        if not said.online or said.ts is None:
            return False  # a will, or a goodbye
        if not self._spoken:
            self._past[said.session] = max(said.ts, self._past.get(said.session, ""))
            return False
        news = said.ts > self._past.get(said.session, "")
        return news and (not retained or said.ts > self._started_ts)

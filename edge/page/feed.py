"""What one browser has not been told yet: of each topic the newest document only, so that no flood makes it fall behind."""

from __future__ import annotations

from typing import Any

from edge.page.board import Board, Key

FIRST_EVENTS = 200
MOST_EVENTS = 500  # of one message
MOST_DOCUMENTS = 1_000


class Feed:
    """The board as one browser gets it, change by change."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._version = -1
        self._cursor = 0  # changes up to this version were told
        self._points: dict[tuple[str, str], int] = {}
        self._events = max(0, board.events_total - FIRST_EVENTS)

    def news(self) -> dict[str, Any] | None:
        """Everything since the last call; None: nothing changed."""
        board = self._board
        with board.lock:
            if board.version == self._version:
                return None
            entries, is_all = self._entries()
            told: dict[str, Any] = {
                "link": {"up": board.up, "link": board.link, "since": board.since_ms, "why": board.why},
                "nodes": {
                    name: {"alive": node.alive, "why": node.why, "since": node.since_ms}
                    for name, node in board.nodes.items()
                },
                "entries": entries,
                "points": self._new_points(),
                "events": self._new_events(),
            }
            if is_all:
                self._version = board.version
            return told

    def _entries(self) -> tuple[list[list[Any]], bool]:
        """Changed documents, oldest change first: [node, kind, name, when it came, its connection, document]."""
        board = self._board
        waiting = sorted((at, key) for key, at in board.changed.items() if at > self._cursor)
        told = waiting[:MOST_DOCUMENTS]
        if told:
            self._cursor = told[-1][0]
        return [self._entry(key) for _, key in told], len(told) == len(waiting)

    def _entry(self, key: Key) -> list[Any]:
        entry = self._board.entries[key]
        return [*key, entry.at_ms, entry.link, entry.document]

    def _new_points(self) -> list[list[Any]]:
        """[node, channel, [[time, score, quality], ...]] of each channel that moved."""
        found = []
        for key, series in self._board.series.items():
            fresh = series.total - self._points.get(key, 0)
            if fresh > 0:
                self._points[key] = series.total
                found.append([*key, list(series.points)[-fresh:]])
        return found

    def _new_events(self) -> list[list[Any]]:
        board = self._board
        fresh = min(board.events_total - self._events, MOST_EVENTS, len(board.events))
        self._events = board.events_total
        return [[node, event] for _, node, event in list(board.events)[-fresh:]] if fresh else []

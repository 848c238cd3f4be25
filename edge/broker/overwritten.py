"""Retained topics of this node that another client overwrote or deleted: they are reported, and everything is published again.

One lock guards it: the network thread notes, the inference thread reads. Time is an argument.
"""

from __future__ import annotations

import logging
import threading

from edge.broker.refusal import FORGET_NS, Denied
from edge.units import NS_PER_S

# everything is published again so often at most: a client that deletes in a loop must not cause a storm
AGAIN_NS = 10 * NS_PER_S

_log = logging.getLogger(__name__)


class OverwrittenTopics:
    """Remembers which of them were changed in the last minutes.

    Args:
        prefix: ``{root}/{node}``.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        self._since_ns: dict[str, int] = {}  # by kind and what happened
        self._again_ns: int | None = None

    def note(self, topic: str, payload: bytes, now_ns: int) -> bool:
        """Another client's message arrived on a topic of this node; returns whether everything is to be published again now."""
        kind, _, name = topic[len(self._prefix) + 1 :].partition("/")
        what = f"{kind}{'/+' if name else ''} was {'overwritten' if payload else 'deleted'} by another client"
        with self._lock:
            known = what in self._since_ns
            self._since_ns[what] = now_ns
            due = self._again_ns is None or now_ns - self._again_ns >= AGAIN_NS
            if due:
                self._again_ns = now_ns
        if not known:
            _log.error("%s: %s: check the broker's access rules; everything is published again", topic, what)
        return due

    def denied(self, now_ns: int) -> Denied:
        """What happened in the last five minutes, for the state."""
        with self._lock:
            self._since_ns = {what: ns for what, ns in self._since_ns.items() if now_ns - ns <= FORGET_NS}
            return Denied(limits=tuple(self._since_ns))

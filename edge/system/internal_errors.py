"""Counts exceptions that are faults of this program by place, logs each once, and keeps the thread that met them running.

Any thread may report one. Bad input is none of them: it has its own counters, and no message from outside may raise the alarm about these.
Running out of memory is not survived, because nothing that follows it can be trusted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from edge.units import NS_PER_S

FAILING_NS = 60 * NS_PER_S  # a place that failed counts as failing for so long
MAX_NEWS = 100  # first failures that are not journalled yet

_log = logging.getLogger(__name__)


class InternalErrors:
    """The ledger of them; one lock guards it.

    Args:
        monotonic_ns: clock of how long ago a place last failed.
    """

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now = monotonic_ns
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last_ns: dict[str, int] = {}
        self._known: set[tuple[str, type[Exception]]] = set()  # logged, and not quiet since
        self._news: deque[str] = deque(maxlen=MAX_NEWS)

    def caught(self, place: str, error: Exception) -> None:
        """An exception ended what `place` was doing; it continues with the next.

        Raises:
            MemoryError: that is what it was.
        """
        if isinstance(error, MemoryError):
            raise error
        key = (place, type(error))
        with self._lock:
            self._counts[place] += 1
            self._last_ns[place] = self._now()
            first = key not in self._known
            self._known.add(key)
            if first:
                self._news.append(f"{place}: {type(error).__name__}: {error}"[:300])
        if first:
            text = "%s failed, which is a fault of this program; please report it; counted from now on"
            _log.error(text, place, exc_info=error)

    def guarded(self, place: str, action: Callable[[], object]) -> bool:
        """Do it; whatever it raises is caught. Returns whether it was done.

        Raises:
            MemoryError: there is not enough.
        """
        try:
            action()
        except Exception as error:  # noqa: BLE001 - that is what this is for; KeyboardInterrupt and SystemExit pass
            self.caught(place, error)
            return False
        return True

    def failing(self) -> tuple[str, ...]:
        """The places that failed within the last minute; one that has been quiet since is logged, and logged again if it fails again."""
        now_ns = self._now()
        with self._lock:
            quiet = [place for place, last_ns in self._last_ns.items() if now_ns - last_ns > FAILING_NS]
            for place in quiet:
                del self._last_ns[place]
            self._known = {key for key in self._known if key[0] in self._last_ns}
            found = tuple(sorted(self._last_ns))
        for place in quiet:
            _log.info("%s did not fail for a minute", place)
        return found

    def take_news(self) -> list[str]:
        """First failures of a place since the last call, in words, for the journal."""
        with self._lock:
            news = list(self._news)
            self._news.clear()
        return news

    def counts(self) -> dict[str, int]:
        """How often each place failed since the start."""
        with self._lock:
            return dict(self._counts)

"""Whether our connections to the broker are stable: one that is lost repeatedly, or is down while another is up, is a reason in the state.

Pure but for its memory: time is an argument. Most brokers do not report that another client took over a connection; all that shows is that it is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from edge.alarm.entry import Ne107
from edge.units import NS_PER_S
from edge.wire.envelope import ConnectionStats

WINDOW_NS = 300 * NS_PER_S
FLAPPING = 3  # losses within the window; a broker that is restarted costs one
DOWN_NS = 5 * NS_PER_S  # longer than a reconnect takes

Findings = tuple[Ne107, tuple[str, ...]]


class ConnectionWatch:
    """Remembers losses; on the inference thread only.

    Args:
        names: what each connection is for, in words for people.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._losses: dict[str, deque[int]] = {name: deque(maxlen=FLAPPING) for name in names}
        self._counted = dict.fromkeys(names, 0)
        self._giants = dict.fromkeys(names, 0)
        self._giant_ns: dict[str, int | None] = dict.fromkeys(names)
        self._down_since_ns: dict[str, int | None] = dict.fromkeys(names)

    def findings(self, now_ns: int, stats: Mapping[str, ConnectionStats]) -> Findings:
        """The NE 107 letter that these connections give, and why."""
        # else the broker is away, and the reason could not be published
        another_is_up = any(one.connected for one in stats.values())
        for name, one in stats.items():
            self._note(name, one, now_ns, another_is_up=another_is_up)
        down = [_is_down_text(name, one) for name, one in stats.items() if self._is_down(name, now_ns)]
        giants = [name for name in stats if self._had_giant(name, now_ns)]
        flapping = [_flaps(name) for name in stats if name not in giants and self._is_flapping(name, now_ns)]
        letter: Ne107 = "F" if down else "S" if flapping or giants else "G"
        return letter, (*down, *map(_giant_text, giants), *flapping)

    def _note(self, name: str, one: ConnectionStats, now_ns: int, *, another_is_up: bool) -> None:
        lost = one.disconnects - self._counted[name]
        self._counted[name] = one.disconnects
        self._losses[name].extend([now_ns] * min(lost, FLAPPING))
        if (giants := one.dropped.get("incoming_too_large", 0)) > self._giants[name]:
            self._giants[name], self._giant_ns[name] = giants, now_ns
        if one.connected or not another_is_up:
            self._down_since_ns[name] = None
        elif self._down_since_ns[name] is None:
            self._down_since_ns[name] = now_ns

    def _is_down(self, name: str, now_ns: int) -> bool:
        since_ns = self._down_since_ns[name]
        return since_ns is not None and now_ns - since_ns >= DOWN_NS

    def _had_giant(self, name: str, now_ns: int) -> bool:
        at_ns = self._giant_ns[name]
        return at_ns is not None and now_ns - at_ns < WINDOW_NS

    def _is_flapping(self, name: str, now_ns: int) -> bool:
        losses = self._losses[name]
        return len(losses) == FLAPPING and now_ns - losses[0] < WINDOW_NS


def _is_down_text(name: str, one: ConnectionStats) -> str:
    return f"the connection for {name} is down: {one.refused or 'it was lost'}"


def _giant_text(name: str) -> str:
    return f"the connection for {name} was ended because a message came that is longer than broker.max_packet_bytes: raise it, or have less sent"


def _flaps(name: str) -> str:
    return (
        f"the connection for {name} was lost {FLAPPING} times or more within {WINDOW_NS // NS_PER_S // 60} minutes: "
        "another client takes its name, or the network is bad"
    )

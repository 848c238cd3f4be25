"""One dead gateway is one alarm: which sources are silent by themselves, and which because the thing that they come over is.

Pure but for its memory: time is an argument. Whether a silent source or its gateway is dead shows the next word of any neighbour. So one that falls
silent is looked at again when a neighbour sends (it is dead), when another one falls silent with it (the gateway is), or when its own limit has
passed again. A value that changes is a word too: sensors that repeat one value are judged by the same rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge.site.gateways import Gateway

NEVER_NS = -1  # the newest word of one that never sent


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known now.

    Args:
        gateways: whether each gateway is silent, by its id; None: nothing of it was received since the start, and it is too early to decide.
        silent: sources that are silent by themselves.
        undecided: sources without a word whose cause is not known yet: they are not reported.
        hidden: sources that are silent because of the gateway of this id.
    """

    gateways: Mapping[str, bool | None]
    silent: frozenset[str]
    undecided: frozenset[str]
    hidden: Mapping[str, str]


@dataclass(slots=True)
class _Memory:
    """Of one gateway.

    Args:
        newest_ns: its newest word.
        back_ns: when it came back; the silence of its members counts from here at the earliest.
        silent_ns: its newest word when it was found silent; None: it is not.
        hidden: its members that are silent because of it.
    """

    newest_ns: int = NEVER_NS
    back_ns: int = 0
    silent_ns: int | None = None
    hidden: set[str] = field(default_factory=set)


class CommonCauses:
    """Distinguishes dead gateways from dead sources.

    Args:
        gateways: of the site.
        stale_ns: of each source, when it counts as silent.
        start_ns: monotonic ns from which the silence of one counts that never spoke.
    """

    def __init__(self, gateways: Sequence[Gateway], stale_ns: Mapping[str, int], start_ns: int) -> None:
        self._gateways = tuple(gateways)
        self._stale_ns = dict(stale_ns)
        self._start_ns = start_ns
        self._memory = {gateway.id: _Memory() for gateway in gateways}
        self._members = {gateway.id: gateway.members for gateway in gateways}  # a property that makes them each time
        grouped = {member for gateway in gateways for member in gateway.members}
        self._alone = tuple(source for source in stale_ns if source not in grouped)

    def look(
        self,
        last_ns: Mapping[str, int | None],
        now_ns: int,
        absent: Collection[str] = frozenset(),
        until_ns: Mapping[str, int] | None = None,
    ) -> Findings:
        """Judge every source.

        Args:
            last_ns: monotonic ns of its newest word; None: it never sent.
            now_ns: monotonic ns.
            absent: sources that cannot be judged now.
            until_ns: of sources whose silence is known only up to another time than now; monotonic ns.
        """
        end_ns = dict.fromkeys(self._stale_ns, now_ns) | dict(until_ns or {})
        silent = set(self._due([source for source in self._alone if source not in absent], last_ns, end_ns))
        open_ones: set[str] = set()
        hidden: dict[str, str] = {}
        states: dict[str, bool | None] = {}
        for gateway in self._gateways:
            memory = self._memory[gateway.id]
            members = [member for member in self._members[gateway.id] if member not in absent]
            due = self._due(members, last_ns, end_ns)
            words_ns = (last for member in members if (last := last_ns[member]) is not None)
            memory.newest_ns = max(words_ns, default=NEVER_NS)
            silent |= self._judge(due, memory, last_ns, end_ns, now_ns)
            hidden |= dict.fromkeys(memory.hidden, gateway.id)
            received = memory.newest_ns != NEVER_NS
            known = received or (memory.silent_ns is not None and bool(members))
            states[gateway.id] = memory.silent_ns is not None if known else None
            open_ones.update(due)
            if not received:
                open_ones.update(member for member in members if member not in hidden)
        return Findings(states, frozenset(silent), frozenset(open_ones - silent - hidden.keys()), hidden)

    def _judge(
        self,
        due: Collection[str],
        memory: _Memory,
        last_ns: Mapping[str, int | None],
        end_ns: Mapping[str, int],
        now_ns: int,
    ) -> set[str]:
        """The members of one gateway that are silent by themselves, among those that are `due`; what is known of the gateway is remembered."""
        newest_ns = memory.newest_ns
        if memory.silent_ns is not None and newest_ns > memory.silent_ns:
            memory.silent_ns, memory.back_ns = None, now_ns  # it is back: each member gets its time to send
            memory.hidden.clear()
        due_ns = {member: self._due_ns(member, last_ns, memory.back_ns) for member in due}
        overdue = {member for member, at_ns in due_ns.items() if at_ns < end_ns[member]}
        dead = {member for member in overdue if newest_ns > due_ns[member]}  # a neighbour has sent since
        together = overdue - dead
        if memory.silent_ns is None and len(together) > 1:
            memory.silent_ns = newest_ns
        if memory.silent_ns is not None:
            memory.hidden |= together
            return dead
        return dead | {member for member in together if end_ns[member] - due_ns[member] > self._stale_ns[member]}

    def _due(self, sources: Iterable[str], last_ns: Mapping[str, int | None], end_ns: Mapping[str, int]) -> list[str]:
        """Those of them that have been silent for too long, whatever the reason; of thousands of sources mostly none."""
        start_ns, stale_ns = self._start_ns, self._stale_ns
        return [
            source
            for source in sources
            if (start_ns if (last := last_ns[source]) is None else last) + stale_ns[source] < end_ns[source]
        ]

    def _due_ns(self, source: str, last_ns: Mapping[str, int | None], back_ns: int) -> int:
        """When one counts as silent, after its gateway came back."""
        last = last_ns[source]
        return max(self._start_ns if last is None else last, back_ns) + self._stale_ns[source]

"""The interface for what runs beside the path of a frame: it sees frames and alarms, answers commands, and works in idle time.

The path needs nothing of it. Another one is a class of this kind in a folder of its own, and one line in `edge.assembly`
(docs/decisions/009-beside-the-path.md). Everything here is called on the inference thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from edge.frame import Evidence, Frame
from edge.system.internal_errors import InternalErrors
from edge.units import NS_PER_S
from edge.verdict.channel import Channel
from edge.wire.command import Request
from edge.wire.requests import Reply
from edge.wire.verbs import Verb

REST_NS = NS_PER_S  # after a failure, before it gets time again

Verdicts = Sequence[tuple[Channel, Evidence]]
#: Carries out one request at (monotonic ns, wall ns); None: its handler publishes the answer later.
Handler = Callable[[Request, int, int], Reply | None]


class Beside:
    """One of them; subclass it, and override what is wanted: every default does nothing."""

    name = "beside"  # under which its failures are counted

    @property
    def verbs(self) -> Mapping[Verb, Handler]:
        """The commands that it carries out."""
        return {}

    def part(self, frame: Frame) -> str | None:
        """The part that a frame shows which is to be judged now; None: not known here."""
        del frame
        return None

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """A frame had its turn and its flags are published; ``problem`` is why it could not be judged."""

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> None:
        """An occurrence that an operator is to see began; its condition is recorded already."""

    def labelled(self, alarm_id: str, occurrence_id: str, now_ns: int, *, valid: bool) -> None:
        """An operator labelled an occurrence: the fault was there, or not."""

    def tick(self, now_ns: int) -> None:
        """Time passed; about 20 times a second."""

    def ready(self, now_ns: int) -> bool:
        """Whether there is a step of work, and time for it."""
        del now_ns
        return False

    def step(self) -> None:
        """Do one step of work between two frames."""


class Group(Beside):
    """All of them as one; a failure of one is counted and stops neither the others nor the path.

    Args:
        members: in the order in which they are served.
        errors: where their exceptions go.
        monotonic_ns: the clock of their rests.
    """

    def __init__(self, members: Iterable[Beside], errors: InternalErrors, monotonic_ns: Callable[[], int]) -> None:
        self._members = tuple(members)
        self._errors = errors
        self._now = monotonic_ns
        self._rests_until_ns: dict[str, int] = {}

    @property
    def verbs(self) -> Mapping[Verb, Handler]:
        """Those of all."""
        return joined(*(member.verbs for member in self._members))

    def part(self, frame: Frame) -> str | None:
        """What the first of them knows."""
        found: list[str | None] = [None]
        for member in self._members:
            self._guarded(member, lambda member=member: found.append(member.part(frame)))  # type: ignore[misc] # a lambda with defaults
        return next((part for part in found if part is not None), None)

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """Show each of them a frame."""
        for member in self._members:
            self._guarded(member, partial(member.seen, frame, verdicts, problem))

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> None:
        """Show each of them an occurrence."""
        for member in self._members:
            self._guarded(member, partial(member.raised, alarm_id, occurrence_id, now_ns))

    def labelled(self, alarm_id: str, occurrence_id: str, now_ns: int, *, valid: bool) -> None:
        """Hand each of them an operator's label of an occurrence."""
        for member in self._members:
            self._guarded(member, partial(member.labelled, alarm_id, occurrence_id, now_ns, valid=valid))

    def tick(self, now_ns: int) -> None:
        """Let time pass for each of them."""
        for member in self._members:
            self._guarded(member, partial(member.tick, now_ns))

    def ready(self, now_ns: int) -> bool:
        """Whether any of them has work and time for it."""
        return self._next(now_ns) is not None

    def step(self) -> None:
        """A step of the first that is ready."""
        member = self._next(self._now())
        if member is not None:
            self._guarded(member, member.step)

    def _next(self, now_ns: int) -> Beside | None:
        for member in self._members:
            found: list[bool] = []
            if now_ns >= self._rests_until_ns.get(member.name, 0):
                self._guarded(member, lambda member=member, found=found: found.append(member.ready(now_ns)))  # type: ignore[misc] # a lambda with defaults
            if found == [True]:
                return member
        return None

    def _guarded(self, member: Beside, action: Callable[[], object]) -> None:
        if not self._errors.guarded(member.name, action):
            self._rests_until_ns[member.name] = self._now() + REST_NS


def joined(*tables: Mapping[Verb, Handler]) -> dict[Verb, Handler]:
    """Tables of handlers as one.

    Raises:
        ValueError: two of them carry out the same verb, so the program is wrong.
    """
    found: dict[Verb, Handler] = {}
    for table in tables:
        twice = found.keys() & table.keys()
        if twice:
            raise ValueError(f"two handlers for {', '.join(sorted(twice))}")
        found |= table
    return found

"""What runs beside the path: each is shown everything, the first that is ready gets the time left over, and one that fails stops nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from edge.beside import REST_NS, Beside, Group, Handler, Verdicts, joined
from edge.frame import Frame
from edge.system.internal_errors import InternalErrors
from edge.wire.command import Request
from edge.wire.requests import Reply
from edge.wire.verbs import Verb

FRAME = Frame("cam", 1, b"", 0, 0, 0)


class Diary(Beside):
    """Notes what it was shown."""

    def __init__(self, name: str, *, busy: bool = False) -> None:
        self.name = name
        self.busy = busy
        self.noted: list[str] = []

    @property
    def verbs(self) -> Mapping[Verb, Handler]:
        """One command of its own."""
        return {Verb.SNAPSHOT: self._asked} if self.name == "asked" else {}

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """A frame."""
        self.noted.append(f"{frame.camera} {len(verdicts)} {problem}")

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> None:
        """An occurrence."""
        self.noted.append(f"{alarm_id} {occurrence_id} {now_ns}")

    def tick(self, now_ns: int) -> None:
        """Time."""
        self.noted.append(f"tick {now_ns}")

    def ready(self, now_ns: int) -> bool:
        """When it is busy."""
        return self.busy and now_ns >= 0

    def step(self) -> None:
        """Work."""
        self.noted.append("step")

    def _asked(self, request: Request, _now_ns: int, _now_wall_ns: int) -> Reply:
        return Reply(request_id=request.command.request_id, ok=True, code="ok")


class Broken(Diary):
    """Fails whenever it has a turn."""

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """Not this time."""
        raise KeyError(frame.camera, len(verdicts), problem)

    def step(self) -> None:
        """Nor now."""
        raise KeyError("step")


class Now:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Monotonic ns."""
        return self.now_ns


def test_each_is_shown_everything() -> None:
    """Frames with why they could not be judged, occurrences and time, in one order."""
    both = Diary("one"), Diary("other")
    group = Group(both, InternalErrors(), Now())
    group.seen(FRAME, (), ValueError("late"))
    group.raised("crack", "o1", 5)
    group.tick(7)
    assert [diary.noted for diary in both] == [["cam 0 late", "crack o1 5", "tick 7"]] * 2


def test_the_first_that_is_ready_gets_the_time_left_over() -> None:
    """One step a round, so that a frame never waits for more; nobody ready, no step."""
    idle, busy, later = Diary("idle"), Diary("busy", busy=True), Diary("later", busy=True)
    group = Group((idle, busy, later), InternalErrors(), Now())
    assert group.ready(0)
    group.step()
    assert (idle.noted, busy.noted, later.noted) == ([], ["step"], [])
    busy.busy = later.busy = False
    assert not group.ready(0)
    group.step()
    assert busy.noted == ["step"]


def test_one_that_fails_stops_nothing_and_rests() -> None:
    """It is counted under its own name; others see the frame, and get its time until it has rested."""
    errors, clock = InternalErrors(), Now()
    broken, good = Broken("broken", busy=True), Diary("good", busy=True)
    group = Group((broken, good), errors, clock)
    group.seen(FRAME, ())
    assert (good.noted, errors.counts()) == (["cam 0 None"], {"broken": 1})
    group.step()
    assert good.noted == ["cam 0 None", "step"]
    clock.now_ns = REST_NS
    group.step()
    assert errors.counts() == {"broken": 2}


def test_the_commands_of_all_are_one_table() -> None:
    """Two that carry out the same verb are a fault of the program, found when it starts."""
    asked = Diary("asked")
    group = Group((Diary("silent"), asked), InternalErrors(), Now())
    assert set(group.verbs) == {Verb.SNAPSHOT}
    with pytest.raises(ValueError, match="snapshot"):
        joined(group.verbs, asked.verbs)


class Knowing(Diary):
    """Knows whose picture a frame is."""

    def part(self, frame: Frame) -> str | None:
        """Named after the frame."""
        return f"part {frame.seq}"


class Failing(Diary):
    """Does not even know that."""

    def part(self, frame: Frame) -> str | None:
        """Not this time."""
        raise KeyError(frame.seq)


def test_the_part_is_what_the_first_of_them_knows() -> None:
    """One that fails is counted, and hides no other's answer."""
    errors = InternalErrors()
    group = Group((Diary("silent"), Failing("failing"), Knowing("knowing")), errors, Now())
    assert (group.part(FRAME), errors.counts()) == ("part 1", {"failing": 1})
    assert Group((Diary("silent"),), errors, Now()).part(FRAME) is None


def test_nothing_need_be_overridden() -> None:
    """The plainest of them sees nothing, does nothing and answers nothing."""
    plain = Beside()
    plain.seen(FRAME, ())
    plain.raised("crack", "o1", 0)
    plain.tick(0)
    plain.step()
    assert (plain.ready(0), plain.verbs, plain.part(FRAME)) == (False, {}, None)

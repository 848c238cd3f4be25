"""Which frame answers which trigger: tables over the matcher, with time as argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.trigger.matcher import KEPT_FRAMES, KEPT_PARTS, MOST_WAITING, Answer, Asked, Matcher, Outcome, Seen, Window

MS = 1_000_000
S = 1000 * MS
WINDOW = Window(before_ns=0, after_ns=150 * MS, timeout_ns=400 * MS, repeat_ns=60 * S)
BOTH = Window(before_ns=50 * MS, after_ns=150 * MS, timeout_ns=400 * MS, repeat_ns=60 * S)

#: ("ask", at, told at, part), ("see", at, taken at, frame's number), ("blind", ...) for a frame that shows nothing, ("tick", at); all ms.
Step = tuple[object, ...]


def played(window: Window, steps: list[Step]) -> list[tuple[object, ...]]:
    """What is answered by the steps: when, to whom, its outcome and the frame."""
    matcher = Matcher[int, int](window)
    found: list[tuple[object, ...]] = []
    for kind, at, *rest in steps:
        assert isinstance(at, int)
        answers: list[Answer[int, int]]
        if kind == "ask":
            told, part = rest
            assert isinstance(told, int)
            answers = matcher.ask(Asked(None if part is None else str(part), told * MS, at * MS, at), at * MS)
        elif kind == "tick":
            answers = matcher.tick(at * MS)
        else:
            taken, number = rest
            assert isinstance(taken, int)
            assert isinstance(number, int)
            answers = matcher.see(Seen(taken * MS, known=kind == "see", sight=number), at * MS)
        found += [
            (at, one.asked.part, one.outcome.value, None if one.seen is None else one.seen.sight) for one in answers
        ]
    return found


@pytest.mark.parametrize(
    ("window", "steps", "answers"),
    [
        pytest.param(
            WINDOW,
            [("see", 10, 0, 1), ("ask", 20, 20, "A"), ("see", 60, 50, 2)],
            [(60, "A", "judged", 2)],
            id="the next frame is judged",
        ),
        pytest.param(
            WINDOW,
            [("ask", 20, 20, "A"), ("see", 60, 10, 1), ("see", 80, 70, 2)],
            [(80, "A", "judged", 2)],
            id="a frame that was taken before the trigger does not fit, however late it comes",
        ),
        pytest.param(
            WINDOW,
            [("see", 30, 20, 1), ("ask", 40, 15, "A")],
            [(40, "A", "judged", 1)],
            id="a trigger that names an earlier time finds the frame that came before it",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("see", 200, 190, 1), ("tick", 300)],
            [(200, "A", "timeout", None)],
            id="once a frame came that is too late, none can fit: the answer does not wait",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("tick", 399), ("tick", 400)],
            [(400, "A", "timeout", None)],
            id="without a frame the answer comes at the time-out",
        ),
        pytest.param(
            WINDOW,
            [("ask", 500, 99, "A")],
            [(500, "A", "late", None)],
            id="a trigger whose time is longer ago than it may wait is late",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("blind", 20, 10, 1), ("see", 60, 50, 2)],
            [(60, "A", "judged", 2)],
            id="a frame that shows nothing gives way to the next that fits",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("blind", 20, 10, 1), ("tick", 400)],
            [(400, "A", "unknown", 1)],
            id="if no other fits it answers, and the part is unknown",
        ),
        pytest.param(
            BOTH,
            [("see", 20, 0, 1), ("ask", 30, 10, "A"), ("see", 60, 40, 2)],
            [(60, "A", "judged", 1)],
            id="of the frames before and after the nearer one answers",
        ),
        pytest.param(
            BOTH,
            [("see", 20, 0, 1), ("ask", 30, 30, "A"), ("see", 60, 40, 2)],
            [(60, "A", "judged", 2)],
            id="which may be the one after",
        ),
        pytest.param(
            BOTH,
            [("see", 20, 0, 1), ("ask", 30, 10, "A"), ("tick", 430)],
            [(430, "A", "judged", 1)],
            id="without one after, the one before answers at the time-out",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("ask", 50, 50, "B"), ("see", 80, 60, 1), ("see", 220, 210, 2)],
            [(80, "B", "judged", 1), (220, "A", "timeout", None)],
            id="one frame answers one trigger, the newest: the other part was not seen",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("ask", 50, 50, "B"), ("see", 60, 40, 1), ("see", 100, 80, 2)],
            [(60, "A", "judged", 1), (100, "B", "judged", 2)],
            id="each part has its own frame where each has one",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("see", 20, 10, 1), ("ask", 40, 40, "A"), ("see", 60, 50, 2)],
            [(20, "A", "judged", 1), (40, "A", "duplicate", 1)],
            id="a repetition gets the first answer at once",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("ask", 5, 5, "A"), ("see", 20, 10, 1)],
            [(20, "A", "judged", 1), (20, "A", "duplicate", 1)],
            id="also one that came while the first waited",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("tick", 400), ("ask", 500, 500, "A"), ("see", 510, 505, 1)],
            [(400, "A", "timeout", None), (500, "A", "duplicate", None)],
            id="a time-out is an answer too: the next part's frame never becomes this one's",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, None), ("ask", 1, 1, None), ("see", 20, 10, 1), ("see", 30, 25, 2)],
            [(20, None, "judged", 1), (30, None, "judged", 2)],
            id="triggers without a part are no repetitions",
        ),
        pytest.param(
            Window(0, 150 * MS, 400 * MS, 0),
            [("ask", 0, 0, "A"), ("see", 20, 10, 1), ("ask", 30, 30, "A"), ("see", 50, 40, 2)],
            [(20, "A", "judged", 1), (50, "A", "judged", 2)],
            id="with repeat_s = 0 each trigger is an inspection",
        ),
        pytest.param(
            WINDOW,
            [("ask", 0, 0, "A"), ("see", 20, 10, 1), ("ask", 60_020, 60_020, "A"), ("see", 60_050, 60_040, 2)],
            [(20, "A", "judged", 1), (60_050, "A", "judged", 2)],
            id="and after repeat_s it is one again",
        ),
    ],
)
def test_each_trigger_has_one_defined_answer(
    window: Window, steps: list[Step], answers: list[tuple[object, ...]]
) -> None:
    """When it is answered, to whom, with which outcome, and by which frame."""
    assert played(window, steps) == answers


def test_too_many_triggers_are_answered_busy_at_once() -> None:
    """Also too many repetitions of one; they are not remembered, so that they may come again."""
    matcher = Matcher[int, int](WINDOW)
    asked = [Asked(f"p{number}", 0, 0, number) for number in range(MOST_WAITING + 1)]
    answers = [answer for one in asked for answer in matcher.ask(one, 0)]
    assert [(one.asked.part, one.outcome) for one in answers] == [(f"p{MOST_WAITING}", Outcome.BUSY)]
    assert matcher.waiting == MOST_WAITING
    again = Matcher[int, int](WINDOW)
    outcomes = [
        answer.outcome for number in range(MOST_WAITING + 2) for answer in again.ask(Asked("same", 0, 0, number), 0)
    ]
    assert outcomes == [Outcome.BUSY]


def test_a_repetition_says_what_became_of_the_first_and_how_often_it_was_asked() -> None:
    """The count goes on over all answers to one part."""
    matcher = Matcher[int, int](WINDOW)
    matcher.ask(Asked("A", 0, 0, 0), 0)
    matcher.ask(Asked("A", 1, 1, 1), 1)
    answers = matcher.see(Seen(2, known=True, sight=1), 3)
    answers += matcher.ask(Asked("A", 5, 5, 2), 5)
    assert [(one.first, one.times) for one in answers] == [(None, 1), (Outcome.JUDGED, 2), (Outcome.JUDGED, 3)]


def test_memory_is_bounded() -> None:
    """Of frames nobody asks for and of parts long gone only so many are kept."""
    matcher = Matcher[int, int](Window(S, S, 60 * S, 3600 * S))
    for number in range(2 * KEPT_FRAMES):
        matcher.see(Seen(number, known=True, sight=number), number)
    assert len(matcher._frames) == KEPT_FRAMES
    for number in range(KEPT_PARTS + 10):
        matcher.ask(Asked(f"p{number}", 1000, 1000, 0), 1000)
        matcher.see(Seen(1000, known=True, sight=0), 1000)
    assert len(matcher._parts) == KEPT_PARTS
    matcher.tick(1000 * S)
    assert not matcher._frames


def test_what_waits_is_answered_when_its_camera_goes() -> None:
    """With its repetitions; nothing waits for ever."""
    matcher = Matcher[int, int](WINDOW)
    matcher.ask(Asked("A", 0, 0, 0), 0)
    matcher.ask(Asked("A", 0, 0, 1), 0)
    assert [(one.asked.asker, one.outcome) for one in matcher.end()] == [(0, Outcome.UNKNOWN), (1, Outcome.UNKNOWN)]
    assert matcher.waiting == 0


TIMES = st.integers(0, 1000)
EVENTS = st.lists(
    st.tuples(st.sampled_from(["ask", "see", "blind", "tick"]), TIMES, st.integers(-100, 20)), max_size=40
)


@given(EVENTS)
def test_every_trigger_is_answered_once_and_no_frame_twice(events: list[tuple[str, int, int]]) -> None:
    """Whatever comes, and a frame answers only a trigger that it fits; the part that a frame is given beforehand is the one it then answers."""
    matcher = Matcher[int, int](BOTH)
    asked, answers, now_ns = 0, [], 0
    for number, (kind, pause_ms, shift_ms) in enumerate(events):
        now_ns += pause_ms * MS // 8
        at_ns = now_ns + shift_ms * MS
        if kind == "ask":
            asked += 1
            answers += matcher.ask(Asked(f"p{number}", at_ns, now_ns, number), now_ns)
        elif kind == "tick":
            answers += matcher.tick(now_ns)
        else:
            seen = Seen(at_ns, known=kind == "see", sight=number)
            part = matcher.part(seen, now_ns)
            found = matcher.see(seen, now_ns)
            if seen.known:
                assert part == next((one.asked.part for one in found if one.seen is seen), None)
            answers += found
    answers += matcher.tick(now_ns + WINDOW.timeout_ns)
    assert len({one.asked.asker for one in answers}) == len(answers) == asked
    frames = [one.seen.sight for one in answers if one.seen is not None]
    assert len(frames) == len(set(frames))
    for one in answers:
        if one.seen is not None:
            assert -BOTH.before_ns <= one.seen.at_ns - one.asked.at_ns <= BOTH.after_ns
            assert (one.outcome is Outcome.JUDGED) == one.seen.known

"""First-out marks the alarm of a group that came first, until the group is quiet."""

from __future__ import annotations

import pytest

from edge.alarm.first_out import FirstOut
from edge.alarm.machine import Alarm, AlarmCommand, AlarmSpec, Sample, SetSeverity, Transition
from edge.errors import RejectedInput
from edge.frame import Verdict
from edge.wire.verbs import Verb


class Plant:
    """Three alarms: a and b in one group, c in none."""

    def __init__(self) -> None:
        self.ids = iter(range(1000))
        self.alarms = {name: Alarm(AlarmSpec(name, off_delay_ns=0, auto_ack=True), self.new_id) for name in "abc"}
        self.first = FirstOut({"a": "pump", "b": "pump"})

    def new_id(self, wall_ns: int) -> str:
        """Counted ids."""
        del wall_ns
        return str(next(self.ids))

    def see(self, name: str, verdict: Verdict) -> tuple[str, ...]:
        """One sample; returns whose mark changed."""
        return self.take(self.alarms[name].step(Sample(verdict), 0, 0))

    def do(self, name: str, verb: Verb) -> tuple[str, ...]:
        """One command; returns whose mark changed."""
        command = AlarmCommand(verb, "op", "because", duration_ns=1)
        return self.take(self.alarms[name].command(command, 0, 0).transitions)

    def take(self, transitions: tuple[Transition, ...]) -> tuple[str, ...]:
        """Feed the marks."""
        return tuple(name for item in transitions for name in self.first.observe(item))

    def marks(self) -> str:
        """The marked alarms."""
        return "".join(name for name in "abc" if self.first.is_first(name))


def test_the_first_stays_marked_until_all_is_quiet() -> None:
    """The mark stays with the first even when it returns long before its consequence, and goes with the last."""
    plant = Plant()
    assert plant.see("a", Verdict.FAULT) == ("a",)
    assert plant.see("b", Verdict.FAULT) == ()
    assert plant.see("a", Verdict.OK) == ()
    assert plant.marks() == "a"
    assert plant.see("b", Verdict.OK) == ("a",)
    assert plant.marks() == ""
    assert plant.see("b", Verdict.FAULT) == ("b",)


def test_a_consequence_that_is_told_again_does_not_become_first() -> None:
    """Once the first one has returned, another annunciation of what is left does not take its mark."""
    plant = Plant()
    plant.see("a", Verdict.FAULT)
    plant.see("b", Verdict.FAULT)
    plant.see("a", Verdict.OK)
    assert plant.take(plant.alarms["b"].step(SetSeverity(900), 0, 0)) == ()
    assert plant.marks() == "a"


def test_alarms_without_a_group_are_never_first() -> None:
    """An alarm in no group gets no mark and gives none."""
    plant = Plant()
    assert plant.see("c", Verdict.FAULT) == ()
    assert plant.marks() == ""


def test_a_hidden_alarm_is_not_first() -> None:
    """What nobody was told of is not the first; shown again while the group is quiet, it is."""
    plant = Plant()
    plant.do("a", Verb.SUPPRESS)
    plant.see("a", Verdict.FAULT)
    plant.see("b", Verdict.FAULT)
    assert plant.marks() == "b"
    plant.see("b", Verdict.OK)
    assert plant.do("a", Verb.UNSUPPRESS) == ("a",)


def test_hiding_the_last_one_makes_the_group_quiet() -> None:
    """A group whose standing alarms are all hidden is quiet."""
    plant = Plant()
    plant.see("a", Verdict.FAULT)
    assert plant.do("a", Verb.OUT_OF_SERVICE) == ("a",)
    assert plant.marks() == ""


def test_marks_survive_a_restart() -> None:
    """Restored marks stand, also for a first alarm that has already returned; what left the group is dropped."""
    plant = Plant()
    plant.see("a", Verdict.FAULT)
    plant.see("b", Verdict.FAULT)
    plant.see("a", Verdict.OK)
    restored = FirstOut({"a": "pump", "b": "pump"})
    restored.restore(plant.first.to_dict())
    assert restored.is_first("a")
    assert restored.to_dict() == plant.first.to_dict()
    regrouped = FirstOut({"a": "fan", "b": "pump"})
    regrouped.restore(plant.first.to_dict())
    assert not regrouped.is_first("a")
    regrouped.restore({"gone": {"first": "x", "standing": ["x"]}})


@pytest.mark.parametrize("data", [{"pump": 3}, {"pump": {"first": "a"}}, {"pump": {"first": [], "standing": ["a"]}}])
def test_damaged_marks_are_refused(data: dict[str, object]) -> None:
    """Marks that are none are refused, not guessed."""
    with pytest.raises(RejectedInput, match="first-out"):
        FirstOut({"a": "pump"}).restore(data)

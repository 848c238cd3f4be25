"""The alarm's tables are total, every state can be reached and left, and normal is never reached from missing data."""

from __future__ import annotations

import pytest

from edge.alarm.table import (
    ACKED,
    ACTIVE,
    LATCHED,
    MEANING,
    OUT_OF_SERVICE,
    SHELVING,
    SUPPRESSION,
    TRANSITIONS,
    Condition,
    Effect,
    Shelve,
    Shelving,
    Switch,
    Trigger,
    band,
    priority,
    state_name,
)

# ISA-18.2 as scada.md gives it, written down a second time and independently: a row a state, a letter a trigger.
# N U A R L K = the six states, . = stays silently, x = refused, u = UNACK_ALM again with annunciation, + = UNACK_ALM with a new occurrence.
ORDER = (
    Trigger.RAISE,
    Trigger.CLEAR,
    Trigger.CLEAR_LATCHING,
    Trigger.CLEAR_AUTO_ACK,
    Trigger.ACK,
    Trigger.RESET,
    Trigger.RE_ALARM,
    Trigger.ESCALATE,
    Trigger.SHOW,
    Trigger.SHOW_BLIND,
    Trigger.MISSING,
)
EXPECTED = {
    Condition.NORM: "+...xx.....",
    Condition.UNACK_ALM: ".RLNAx.uuu.",
    Condition.ACK_ALM: ".NKNxxuuuu.",
    Condition.RTN_UNACK: "+...Nx..N..",
    Condition.LATCH_UNACK: "+...Kx..ll.",
    Condition.LATCH_ACK: "+...xN.....",
}
LETTER = {
    "N": Condition.NORM,
    "U": Condition.UNACK_ALM,
    "A": Condition.ACK_ALM,
    "R": Condition.RTN_UNACK,
    "L": Condition.LATCH_UNACK,
    "K": Condition.LATCH_ACK,
}


@pytest.mark.parametrize("state", Condition)
@pytest.mark.parametrize("trigger", Trigger)
def test_every_cell_is_as_the_standard_has_it(state: Condition, trigger: Trigger) -> None:
    """All 66 cells: where they lead, whether they annunciate, and whether they start an occurrence."""
    step = TRANSITIONS[state][trigger]
    letter = EXPECTED[state][ORDER.index(trigger)]
    quiet = step.effects.isdisjoint({Effect.ANNUNCIATE, Effect.NEW_OCCURRENCE})
    if letter in ".x":
        assert (step.to, step.effects, step.refused) == (state, frozenset(), letter == "x")
    elif letter == "+":
        assert (step.to, step.effects) == (Condition.UNACK_ALM, frozenset({Effect.NEW_OCCURRENCE, Effect.ANNUNCIATE}))
    elif letter in "ul":
        assert step.to is (Condition.UNACK_ALM if letter == "u" else Condition.LATCH_UNACK)
        assert step.effects == {Effect.ANNUNCIATE}
    else:
        assert step.to is LETTER[letter]
        assert quiet
        assert not step.refused


def test_the_tables_are_total() -> None:
    """Every state has a cell for every trigger, in every table, and every trigger has its meaning in words."""
    assert set(TRANSITIONS) == set(Condition)
    assert all(set(row) == set(Trigger) for row in TRANSITIONS.values())
    assert set(SHELVING) == set(Shelving)
    assert all(set(row) == set(Shelve) for row in SHELVING.values())
    for table in (SUPPRESSION, OUT_OF_SERVICE):
        assert set(table) == {False, True}
        assert all(len(row) == 2 for row in table.values())
    assert {switch for row in (*SUPPRESSION.values(), *OUT_OF_SERVICE.values()) for switch in row} == set(Switch)
    assert set(MEANING) == set(Trigger)


def reachable(start: Condition, triggers: set[Trigger]) -> set[Condition]:
    """The states that some sequence of these triggers leads to."""
    found, todo = {start}, [start]
    while todo:
        row = TRANSITIONS[todo.pop()]
        todo += (new := {row[trigger].to for trigger in triggers} - found)
        found |= new
    return found


@pytest.mark.parametrize("state", Condition)
def test_every_state_is_reachable_and_has_a_way_home(state: Condition) -> None:
    """From NORM there is a way to every state, and from every state a way back to NORM."""
    assert state in reachable(Condition.NORM, set(Trigger))
    assert Condition.NORM in reachable(state, set(Trigger))


@pytest.mark.parametrize(
    ("clear", "states"),
    [
        (Trigger.CLEAR, {Condition.NORM, Condition.UNACK_ALM, Condition.ACK_ALM, Condition.RTN_UNACK}),
        (Trigger.CLEAR_LATCHING, {Condition.NORM, *ACTIVE, *LATCHED}),
        (Trigger.CLEAR_AUTO_ACK, {Condition.NORM, *ACTIVE}),
    ],
)
def test_each_class_of_alarm_has_its_own_states(clear: Trigger, states: set[Condition]) -> None:
    """A plain alarm never latches, a latching one always does, one that acknowledges itself never waits for a person."""
    others = {Trigger.CLEAR, Trigger.CLEAR_LATCHING, Trigger.CLEAR_AUTO_ACK} - {clear}
    assert reachable(Condition.NORM, set(Trigger) - others) == states


@pytest.mark.parametrize("state", [state for state in Condition if state is not Condition.NORM])
def test_missing_data_leads_nowhere(state: Condition) -> None:
    """Without a known sample and without a person, no sequence of triggers leads to NORM."""
    blind = {Trigger.MISSING, Trigger.SHOW_BLIND, Trigger.RE_ALARM, Trigger.ESCALATE}
    assert Condition.NORM not in reachable(state, blind)


def test_a_refusal_changes_nothing() -> None:
    """A refused cell stays in its state and does nothing on the way."""
    for row in TRANSITIONS.values():
        for step in row.values():
            if step.refused:
                assert not step.effects
    assert all(step.to is state for state, row in TRANSITIONS.items() for step in row.values() if step.refused)
    assert all(step.to is state for state, row in SHELVING.items() for step in row.values() if step.refused)
    assert all(step.to is state for state, row in OUT_OF_SERVICE.items() for step in row.values() if step.refused)


def test_a_person_acknowledges_only_what_waits_for_it() -> None:
    """ACK is accepted exactly in the unacknowledged states, RESET exactly in LATCH_ACK."""
    assert {state for state in Condition if not TRANSITIONS[state][Trigger.ACK].refused} == set(Condition) - ACKED
    assert {state for state in Condition if not TRANSITIONS[state][Trigger.RESET].refused} == {Condition.LATCH_ACK}


@pytest.mark.parametrize("condition", Condition)
@pytest.mark.parametrize("shelving", Shelving)
@pytest.mark.parametrize("suppressed", [False, True])
@pytest.mark.parametrize("out_of_service", [False, True])
def test_the_derived_state(condition: Condition, shelving: Shelving, suppressed: bool, out_of_service: bool) -> None:  # noqa: FBT001 - columns of a table
    """Out of service stands over suppressed over shelved over the condition."""
    name = state_name(condition, shelving, suppressed=suppressed, out_of_service=out_of_service)
    reasons = (
        ["OOS"] * out_of_service + ["SUPPRESSED"] * suppressed + ["SHELVED"] * (shelving is not Shelving.UNSHELVED)
    )
    assert name == (reasons or [condition.value])[0]


@pytest.mark.parametrize(
    ("severity", "name", "shown"),
    [
        (1, "LOW", "Low"),
        (200, "LOW", "Low"),
        (201, "MEDIUM LOW", "Low"),
        (400, "MEDIUM LOW", "Low"),
        (401, "MEDIUM", "Medium"),
        (600, "MEDIUM", "Medium"),
        (601, "MEDIUM HIGH", "High"),
        (800, "MEDIUM HIGH", "High"),
        (801, "HIGH", "Critical"),
        (1000, "HIGH", "Critical"),
    ],
)
def test_severity_bands(severity: int, name: str, shown: str) -> None:
    """The ends of OPC UA's bands and of the priorities that operators see."""
    assert (band(severity), priority(severity)) == (name, shown)

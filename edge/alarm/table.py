"""The alarm's transition tables: every state, every trigger, and the next state (ISA-18.2 / IEC 62682).

Two rules: everything that may happen to an alarm is a cell here, and every table is total. A cell either leads somewhere, leaves things as
they are, or refuses; what is refused changes nothing. docs/alarm.md is drawn from these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

StateT = TypeVar("StateT")


class Condition(StrEnum):
    """The state of the alarm itself, whether it is hidden or not."""

    NORM = "NORM"
    UNACK_ALM = "UNACK_ALM"
    ACK_ALM = "ACK_ALM"
    RTN_UNACK = "RTN_UNACK"
    LATCH_UNACK = "LATCH_UNACK"
    LATCH_ACK = "LATCH_ACK"


ACTIVE = frozenset({Condition.UNACK_ALM, Condition.ACK_ALM})
ACKED = frozenset({Condition.NORM, Condition.ACK_ALM, Condition.LATCH_ACK})
LATCHED = frozenset({Condition.LATCH_UNACK, Condition.LATCH_ACK})


class Trigger(StrEnum):
    """What can happen to a condition; the three CLEAR are one event in the three classes of alarm."""

    RAISE = "RAISE"
    CLEAR = "CLEAR"
    CLEAR_LATCHING = "CLEAR_LATCHING"
    CLEAR_AUTO_ACK = "CLEAR_AUTO_ACK"
    ACK = "ACK"
    RESET = "RESET"
    RE_ALARM = "RE_ALARM"
    ESCALATE = "ESCALATE"
    SHOW = "SHOW"
    SHOW_BLIND = "SHOW_BLIND"
    MISSING = "MISSING"


MEANING = {
    Trigger.RAISE: "the condition was true for the on-delay, in n of m samples",
    Trigger.CLEAR: "the condition was false for the off-delay; plain alarm",
    Trigger.CLEAR_LATCHING: "the same; latching alarm",
    Trigger.CLEAR_AUTO_ACK: "the same; alarm that acknowledges itself when it returns",
    Trigger.ACK: "an operator acknowledged this very occurrence",
    Trigger.RESET: "an operator reset the latch while the condition was known to be false",
    Trigger.RE_ALARM: "the re-alarm time after the acknowledgement passed",
    Trigger.ESCALATE: "the severity rose",
    Trigger.SHOW: "the alarm is visible again (no longer shelved, suppressed or out of service), its data are known",
    Trigger.SHOW_BLIND: "the same while its data are missing",
    Trigger.MISSING: "a sample without knowledge: stale, bad or unknown",
}


class Effect(StrEnum):
    """What a transition does besides changing the state."""

    NEW_OCCURRENCE = "new occurrence id"
    ANNUNCIATE = "annunciate"
    STAMP_ACK = "record who acknowledged"
    STAMP_CLEAR = "record when it returned"


@dataclass(frozen=True, slots=True)
class Step(Generic[StateT]):
    """One cell: the state that follows, what is done on the way, and whether the request is refused."""

    to: StateT
    effects: frozenset[Effect] = frozenset()
    refused: bool = False


def _go(to: StateT, *effects: Effect) -> Step[StateT]:
    return Step(to, frozenset(effects))


def _refuse(state: StateT) -> Step[StateT]:
    return Step(state, refused=True)


_RAISED = _go(Condition.UNACK_ALM, Effect.NEW_OCCURRENCE, Effect.ANNUNCIATE)
_AGAIN = _go(Condition.UNACK_ALM, Effect.ANNUNCIATE)

TRANSITIONS: dict[Condition, dict[Trigger, Step[Condition]]] = {
    Condition.NORM: {
        Trigger.RAISE: _RAISED,
        Trigger.CLEAR: _go(Condition.NORM),
        Trigger.CLEAR_LATCHING: _go(Condition.NORM),
        Trigger.CLEAR_AUTO_ACK: _go(Condition.NORM),
        Trigger.ACK: _refuse(Condition.NORM),
        Trigger.RESET: _refuse(Condition.NORM),
        Trigger.RE_ALARM: _go(Condition.NORM),
        Trigger.ESCALATE: _go(Condition.NORM),
        Trigger.SHOW: _go(Condition.NORM),
        Trigger.SHOW_BLIND: _go(Condition.NORM),
        Trigger.MISSING: _go(Condition.NORM),
    },
    Condition.UNACK_ALM: {
        Trigger.RAISE: _go(Condition.UNACK_ALM),
        Trigger.CLEAR: _go(Condition.RTN_UNACK, Effect.STAMP_CLEAR),
        Trigger.CLEAR_LATCHING: _go(Condition.LATCH_UNACK, Effect.STAMP_CLEAR),
        Trigger.CLEAR_AUTO_ACK: _go(Condition.NORM, Effect.STAMP_CLEAR),
        Trigger.ACK: _go(Condition.ACK_ALM, Effect.STAMP_ACK),
        Trigger.RESET: _refuse(Condition.UNACK_ALM),
        Trigger.RE_ALARM: _go(Condition.UNACK_ALM),
        Trigger.ESCALATE: _AGAIN,
        Trigger.SHOW: _AGAIN,
        Trigger.SHOW_BLIND: _AGAIN,
        Trigger.MISSING: _go(Condition.UNACK_ALM),
    },
    Condition.ACK_ALM: {
        Trigger.RAISE: _go(Condition.ACK_ALM),
        Trigger.CLEAR: _go(Condition.NORM, Effect.STAMP_CLEAR),
        Trigger.CLEAR_LATCHING: _go(Condition.LATCH_ACK, Effect.STAMP_CLEAR),
        Trigger.CLEAR_AUTO_ACK: _go(Condition.NORM, Effect.STAMP_CLEAR),
        Trigger.ACK: _refuse(Condition.ACK_ALM),
        Trigger.RESET: _refuse(Condition.ACK_ALM),
        Trigger.RE_ALARM: _AGAIN,
        Trigger.ESCALATE: _AGAIN,
        Trigger.SHOW: _AGAIN,
        Trigger.SHOW_BLIND: _AGAIN,
        Trigger.MISSING: _go(Condition.ACK_ALM),
    },
    Condition.RTN_UNACK: {
        Trigger.RAISE: _RAISED,
        Trigger.CLEAR: _go(Condition.RTN_UNACK),
        Trigger.CLEAR_LATCHING: _go(Condition.RTN_UNACK),
        Trigger.CLEAR_AUTO_ACK: _go(Condition.RTN_UNACK),
        Trigger.ACK: _go(Condition.NORM, Effect.STAMP_ACK),
        Trigger.RESET: _refuse(Condition.RTN_UNACK),
        Trigger.RE_ALARM: _go(Condition.RTN_UNACK),
        Trigger.ESCALATE: _go(Condition.RTN_UNACK),
        # ISA-18.2: what returns from hiding is evaluated again, normal or unacknowledged
        Trigger.SHOW: _go(Condition.NORM),
        Trigger.SHOW_BLIND: _go(Condition.RTN_UNACK),  # and without data there is nothing to evaluate
        Trigger.MISSING: _go(Condition.RTN_UNACK),
    },
    Condition.LATCH_UNACK: {
        Trigger.RAISE: _RAISED,
        Trigger.CLEAR: _go(Condition.LATCH_UNACK),
        Trigger.CLEAR_LATCHING: _go(Condition.LATCH_UNACK),
        Trigger.CLEAR_AUTO_ACK: _go(Condition.LATCH_UNACK),
        Trigger.ACK: _go(Condition.LATCH_ACK, Effect.STAMP_ACK),
        Trigger.RESET: _refuse(Condition.LATCH_UNACK),
        Trigger.RE_ALARM: _go(Condition.LATCH_UNACK),
        Trigger.ESCALATE: _go(Condition.LATCH_UNACK),
        Trigger.SHOW: _go(Condition.LATCH_UNACK, Effect.ANNUNCIATE),  # hiding never opens a latch
        Trigger.SHOW_BLIND: _go(Condition.LATCH_UNACK, Effect.ANNUNCIATE),
        Trigger.MISSING: _go(Condition.LATCH_UNACK),
    },
    Condition.LATCH_ACK: {
        Trigger.RAISE: _RAISED,
        Trigger.CLEAR: _go(Condition.LATCH_ACK),
        Trigger.CLEAR_LATCHING: _go(Condition.LATCH_ACK),
        Trigger.CLEAR_AUTO_ACK: _go(Condition.LATCH_ACK),
        Trigger.ACK: _refuse(Condition.LATCH_ACK),
        Trigger.RESET: _go(Condition.NORM),
        Trigger.RE_ALARM: _go(Condition.LATCH_ACK),
        Trigger.ESCALATE: _go(Condition.LATCH_ACK),
        Trigger.SHOW: _go(Condition.LATCH_ACK),
        Trigger.SHOW_BLIND: _go(Condition.LATCH_ACK),
        Trigger.MISSING: _go(Condition.LATCH_ACK),
    },
}


class Shelving(StrEnum):
    """Whether an operator shelved the alarm; names of OPC UA."""

    UNSHELVED = "Unshelved"
    TIMED = "TimedShelved"
    ONE_SHOT = "OneShotShelved"


class Shelve(StrEnum):
    """What can happen to shelving."""

    SHELVE = "SHELVE"
    SHELVE_ONE_SHOT = "SHELVE_ONE_SHOT"
    UNSHELVE = "UNSHELVE"
    EXPIRE = "EXPIRE"  # the time is over; one-shot shelving has a longest time too
    RETURNED = "RETURNED"  # the condition became false


SHELVING: dict[Shelving, dict[Shelve, Step[Shelving]]] = {
    Shelving.UNSHELVED: {
        Shelve.SHELVE: _go(Shelving.TIMED),
        Shelve.SHELVE_ONE_SHOT: _go(Shelving.ONE_SHOT),
        Shelve.UNSHELVE: _refuse(Shelving.UNSHELVED),
        Shelve.EXPIRE: _go(Shelving.UNSHELVED),
        Shelve.RETURNED: _go(Shelving.UNSHELVED),
    },
    Shelving.TIMED: {
        Shelve.SHELVE: _go(Shelving.TIMED),
        Shelve.SHELVE_ONE_SHOT: _go(Shelving.ONE_SHOT),
        Shelve.UNSHELVE: _go(Shelving.UNSHELVED),
        Shelve.EXPIRE: _go(Shelving.UNSHELVED),
        Shelve.RETURNED: _go(Shelving.TIMED),
    },
    Shelving.ONE_SHOT: {
        Shelve.SHELVE: _go(Shelving.TIMED),
        Shelve.SHELVE_ONE_SHOT: _go(Shelving.ONE_SHOT),
        Shelve.UNSHELVE: _go(Shelving.UNSHELVED),
        Shelve.EXPIRE: _go(Shelving.UNSHELVED),
        Shelve.RETURNED: _go(Shelving.UNSHELVED),
    },
}


class Switch(StrEnum):
    """What can happen to suppression and to service."""

    SUPPRESS = "SUPPRESS"
    UNSUPPRESS = "UNSUPPRESS"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    IN_SERVICE = "IN_SERVICE"


# A PLC repeats its levels, so suppressing again is no error; a person who repeats a command is answered that it was already so.
SUPPRESSION: dict[bool, dict[Switch, Step[bool]]] = {
    False: {Switch.SUPPRESS: Step(to=True), Switch.UNSUPPRESS: Step(to=False)},
    True: {Switch.SUPPRESS: Step(to=True), Switch.UNSUPPRESS: Step(to=False)},
}
OUT_OF_SERVICE: dict[bool, dict[Switch, Step[bool]]] = {
    False: {Switch.OUT_OF_SERVICE: Step(to=True), Switch.IN_SERVICE: Step(to=False, refused=True)},
    True: {Switch.OUT_OF_SERVICE: Step(to=True, refused=True), Switch.IN_SERVICE: Step(to=False)},
}


def state_name(condition: Condition, shelving: Shelving, *, suppressed: bool, out_of_service: bool) -> str:
    """The one word for people and SCADA: what hides the alarm, else its condition."""
    if out_of_service:
        return "OOS"
    if suppressed:
        return "SUPPRESSED"
    if shelving is not Shelving.UNSHELVED:
        return "SHELVED"
    return condition.value


# OPC UA severity bands (OPC 40250-1) and the priorities that Ignition and most HMIs show; upper ends included.
_BANDS = (
    (200, "LOW", "Low"),
    (400, "MEDIUM LOW", "Low"),
    (600, "MEDIUM", "Medium"),
    (800, "MEDIUM HIGH", "High"),
    (1000, "HIGH", "Critical"),
)


def band(severity: int) -> str:
    """The OPC UA band of a severity in 1..1000."""
    return next(name for end, name, _ in _BANDS if severity <= end)


def priority(severity: int) -> str:
    """Low, Medium, High or Critical, for a severity in 1..1000; never Diagnostic, which hosts hide: an alarm has an operator action."""
    return next(name for end, _, name in _BANDS if severity <= end)

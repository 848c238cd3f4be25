"""The conditions of the daemon's own alarms, as evidence like any other, so missing data and delays work the same way.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.frame import Evidence, Quality, Verdict
from edge.units import NS_PER_S

_HOLDS = Evidence(Verdict.FAULT, 1.0, Quality.GOOD)
_HOLDS_NOT = Evidence(Verdict.OK, 0.0, Quality.GOOD)
_NOT_KNOWN_YET = Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN)
_NOT_KNOWN_NOW = Evidence(Verdict.UNKNOWN, None, Quality.STALE)
DIFFER_NS = 600 * NS_PER_S  # two clocks that differed, and no command since, are remembered so long
DUPLICATE_NS = 300 * NS_PER_S  # a duplicate client that left did so at most so long ago


def silence(age_ns: int | None, uptime_ns: int, stale_after_ns: int) -> Evidence:
    """Whether a source is silent: so long since it last gave something usable; None: never yet, so the uptime counts."""
    silent_ns = uptime_ns if age_ns is None else age_ns
    if silent_ns > stale_after_ns:
        return _HOLDS
    if age_ns is None:
        return _NOT_KNOWN_YET
    return _HOLDS_NOT


def silent(found: bool | None) -> Evidence:  # noqa: FBT001 - it is the reading itself
    """Whether a sensor or gateway is silent, as `edge.health.common_cause` found it; None: no value came yet, so it is not known."""
    if found is None:
        return _NOT_KNOWN_YET
    return _HOLDS if found else _HOLDS_NOT


def stuck(found: bool | None) -> Evidence:  # noqa: FBT001 - it is the reading itself
    """Whether a sensor or gateway repeats one value, as `edge.health.common_cause` found it; None: of a silent one nothing is known."""
    return _NOT_KNOWN_NOW if found is None else silent(found)


def lateness(arrived_age_ns: int | None, in_budget_age_ns: int | None, uptime_ns: int, stale_after_ns: int) -> Evidence:
    """Whether frames arrive while none is judged in budget; without frames nothing is known of it."""
    if arrived_age_ns is None or arrived_age_ns > stale_after_ns:
        return _NOT_KNOWN_NOW
    return silence(in_budget_age_ns, uptime_ns, stale_after_ns)


def unsafe(storage: str, set_aside: int) -> Evidence:
    """Whether the journal is not safe on the disk, or was not at this start; both as in the heartbeat."""
    safe = storage == "ok" and set_aside == 0
    return _HOLDS_NOT if safe else _HOLDS


def duplicate_client(taken_over_age_ns: int | None) -> Evidence:
    """Whether another client connects under our client id: so long ago it last took over the connection; None: never."""
    if taken_over_age_ns is None or taken_over_age_ns > DUPLICATE_NS:
        return _HOLDS_NOT
    return _HOLDS


def adrift(synchronised: bool | None, differ_age_ns: int | None = None) -> Evidence:  # noqa: FBT001 - it is the reading itself
    """Whether the clock is not to be trusted.

    Args:
        synchronised: what the kernel reports; None: no answer, which counts as not synchronised on a site that requires it.
        differ_age_ns: so long ago a command's time showed that its clock or this device's is wrong; None: not, or a later one was right.
    """
    if synchronised and (differ_age_ns is None or differ_age_ns > DIFFER_NS):
        return _HOLDS_NOT
    return _HOLDS


def denied(refused: Sequence[str] | None) -> Evidence:
    """Whether the broker refuses something; None: nothing was sent to it yet."""
    if refused is None:
        return _NOT_KNOWN_YET
    return _HOLDS if refused else _HOLDS_NOT


def overloaded(*, too_slow: bool) -> Evidence:
    """Whether pictures took longer than their budget when that was measured last."""
    return _HOLDS if too_slow else _HOLDS_NOT


def broken(failing: Sequence[str]) -> Evidence:
    """Whether this program failed somewhere lately."""
    return _HOLDS if failing else _HOLDS_NOT

"""First-out: which alarm of a group came first, so that the cause is visible among its consequences.

Pure, fed with transitions. The mark goes to the first alarm that is annunciated since its group was quiet, and stays until the group is quiet
again (every alarm normal or hidden), also when the first one itself returned long before the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.alarm.state import Transition
from edge.errors import RejectedInput

_QUIET = frozenset({"NORM", "SHELVED", "SUPPRESSED", "OOS"})


class FirstOut:
    """The first-out marks of all groups; ``groups`` gives each alarm id its group, alarms without one are not in it."""

    __slots__ = ("_first", "_groups", "_standing")

    def __init__(self, groups: Mapping[str, str]) -> None:
        self._groups = dict(groups)
        self._first: dict[str, str] = {}
        self._standing: dict[str, set[str]] = {group: set() for group in self._groups.values()}

    def observe(self, transition: Transition) -> tuple[str, ...]:
        """Take one transition; returns the alarm ids whose mark changed, which are to be published again."""
        group = self._groups.get(transition.alarm_id)
        if group is None:
            return ()
        standing, before = self._standing[group], self._first.get(group)
        if transition.after in _QUIET:
            standing.discard(transition.alarm_id)
        else:
            standing.add(transition.alarm_id)
            if transition.annunciate and before is None:
                self._first[group] = transition.alarm_id
        if not standing:
            self._first.pop(group, None)
        after = self._first.get(group)
        return tuple(alarm_id for alarm_id in (before, after) if alarm_id is not None and before != after)

    def is_first(self, alarm_id: str) -> bool:
        """Whether this alarm came first in its group."""
        group = self._groups.get(alarm_id)
        return group is not None and self._first.get(group) == alarm_id

    def to_dict(self) -> dict[str, Any]:
        """The marks as plain data for JSON."""
        return {
            group: {"first": self._first.get(group), "standing": sorted(standing)}
            for group, standing in self._standing.items()
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take up the marks that `to_dict` wrote; alarms that changed their group since are left out.

        Raises:
            RejectedInput: reason ``alarm_state``: the data are not such marks.
        """
        try:
            for group, marks in data.items():
                members = {alarm_id for alarm_id, name in self._groups.items() if name == group}
                if not members:
                    continue
                self._standing[group] = {str(alarm_id) for alarm_id in marks["standing"]} & members
                if marks["first"] in members and self._standing[group]:
                    self._first[group] = marks["first"]
        except (AttributeError, KeyError, TypeError) as error:
            raise RejectedInput("alarm_state", f"first-out marks are not usable: {error!r}") from error

"""The whole suite: every assertion id with its rule, which of them do not hold, and the table for the documentation."""

from __future__ import annotations

from tests.sparkplug_conformance import (
    rules_birth,
    rules_data,
    rules_host,
    rules_messages,
    rules_names,
    rules_payload,
    rules_session,
)
from tests.sparkplug_conformance.ids import IDS
from tests.sparkplug_conformance.rules import RULES

MODULES = (rules_birth, rules_data, rules_host, rules_messages, rules_names, rules_payload, rules_session)
ALL_IDS = tuple(name for names in IDS.values() for name in names)
# What does not hold, or cannot be checked, and why. A test sees to it that these fail and that all others hold.
NOT_HELD: dict[str, str] = {}


def table_markdown() -> str:
    """Counts, and one row for each assertion id."""
    held = len(ALL_IDS) - len(NOT_HELD)
    groups = ", ".join(f"{group} {len(names)}" for group, names in IDS.items())
    lines = [f"**{held} of {len(ALL_IDS)} hold** in the recording ({groups}).", ""]
    if NOT_HELD:
        lines += ["Not held:", "", *(f"- `{name}`: {why}" for name, why in NOT_HELD.items()), ""]
    for group, names in IDS.items():
        lines += [f"### {group.capitalize()}", "", "| id | what it asks | verdict |", "|---|---|---|"]
        lines += [
            f"| `{name}` | {RULES[name].words} | {'does not hold' if name in NOT_HELD else 'holds'} |" for name in names
        ]
        lines.append("")
    return "\n".join(lines).rstrip()

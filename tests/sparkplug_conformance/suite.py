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


# What holds as the check looks at it, and where a stricter reader could say otherwise.
_OVER_A_PLANT = (
    "no other client of the recording was born under this name; over a plant the site files have to see to it"
)
_WAITING = (
    "with one server, a node that has no births yet stays connected when it receives `offline`, and waits, instead of reconnecting without end; "
    "a node with births, or with several servers, leaves"
)
REMARKS: dict[str, str] = {
    "intro-edge-node-id-uniqueness": _OVER_A_PLANT,
    "topic-structure-namespace-unique-edge-node-descriptor": _OVER_A_PLANT,
    "payloads-nbirth-edge-node-descriptor": _OVER_A_PLANT,
    "principles-birth-certificates-order": "a session that its primary host ends before the births has an NDEATH and nothing else, "
    "because another assertion (`...-phid-offline`) wants it",
    "message-flow-edge-node-birth-publish-will-message": 'with `protocol = "auto"` a connection under another client id asks for the MQTT '
    "version first; it has no will, subscribes to nothing, says nothing, and is not counted as the edge node's",
    "payloads-dbirth-order": "a camera that was silent is born when it is back, after data of others",
    "message-flow-edge-node-birth-publish-phid-offline": _WAITING,
    "operational-behavior-edge-node-termination-host-offline": _WAITING,
}


def table_markdown() -> str:
    """Counts, remarks, and one row for each assertion id."""
    held = len(ALL_IDS) - len(NOT_HELD)
    groups = ", ".join(f"{group} {len(names)}" for group, names in IDS.items())
    lines = [
        f"**{held} of {len(ALL_IDS)} hold** in the recording ({groups}), {len(REMARKS)} of them with a remark.",
        "",
    ]
    lines += [f"- `{name}` does not hold: {why}" for name, why in NOT_HELD.items()]
    lines += [f"- {_names(remark)}: {remark}." for remark in dict.fromkeys(REMARKS.values())] + [""]
    for group, names in IDS.items():
        lines += [f"### {group.capitalize()}", "", "| id | what it asks | verdict |", "|---|---|---|"]
        lines += [f"| `{name}` | {RULES[name].words} | {_verdict(name)} |" for name in names]
        lines.append("")
    return "\n".join(lines).rstrip()


def _names(remark: str) -> str:
    return ", ".join(f"`{name}`" for name, text in REMARKS.items() if text == remark)


def _verdict(name: str) -> str:
    if name in NOT_HELD:
        return "does not hold"
    return "holds, see the remark" if name in REMARKS else "holds"

"""One alarm as the site or the daemon defines it, and the facts of the node that every alarm message carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.alarm.state import AlarmSpec
from edge.wire.messages import Asset

Ne107 = Literal["G", "M", "S", "C", "F"]
NE107_ORDER = ("G", "M", "S", "C", "F")  # good, maintenance, out of specification, function check, failure: worst last


@dataclass(frozen=True, slots=True)
class AlarmEntry:
    """One alarm as the site configured it (process) or as the daemon brings it along (system)."""

    spec: AlarmSpec
    kind: Literal["process", "system"]
    message: str
    operator_action: str
    consequence: str
    camera: str | None
    threshold: float | None
    ne107: Ne107 = "G"  # what an active system alarm means for the node
    group: str | None = None  # alarms of one group mark which came first


@dataclass(frozen=True, slots=True)
class Context:
    """What every alarm message carries of the node."""

    model: str | None  # the bundle that judges pictures; None: the site has no camera
    model_sha256: str | None
    asset: Asset

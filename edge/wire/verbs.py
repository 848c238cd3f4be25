"""The list of command verbs, from which settings, command line, alarms and Sparkplug are derived.

Pure, because the alarms are. A new verb is a line in each of the two tables and a function that carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Verb(StrEnum):
    """The last part of the command topic; a site may refuse any of them."""

    ACK = "ack"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    OUT_OF_SERVICE = "out_of_service"
    IN_SERVICE = "in_service"
    EXPLAIN = "explain"
    REBIRTH = "rebirth"
    REPLAY = "replay"
    SNAPSHOT = "snapshot"
    INSPECT = "inspect"
    PROFILE = "profile"
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class VerbInfo:
    """One verb.

    Args:
        about: ``state``: it moves one alarm through its tables; ``alarm``: it needs an alarm's id; ``node``: it needs none.
        does: what it does, for people.
        metric: name below ``Alarms/<id>/`` of the Sparkplug metric whose writing asks for it; None: Sparkplug cannot ask.
    """

    about: Literal["state", "alarm", "node"]
    does: str
    metric: str | None = None


VERBS: Mapping[Verb, VerbInfo] = {
    Verb.ACK: VerbInfo("state", "acknowledge an alarm", "Ack"),
    Verb.RESET: VerbInfo("state", "release a latched alarm whose condition is gone", "Reset"),
    Verb.SHELVE: VerbInfo("state", "hide an alarm for a while", "Shelve Minutes"),
    Verb.UNSHELVE: VerbInfo("state", "show a shelved alarm again", "Shelve Minutes"),
    Verb.OUT_OF_SERVICE: VerbInfo("state", "take an alarm out of service, for maintenance", "In Service"),
    Verb.IN_SERVICE: VerbInfo("state", "put an alarm back into service", "In Service"),
    Verb.SUPPRESS: VerbInfo("state", "suppress an alarm by design"),
    Verb.UNSUPPRESS: VerbInfo("state", "end the suppression by design"),
    Verb.EXPLAIN: VerbInfo("alarm", "have an active alarm put into a sentence, and show it"),
    Verb.REBIRTH: VerbInfo("node", "have the daemon publish its state, alarms and flags again"),
    Verb.SNAPSHOT: VerbInfo("node", "have the daemon send a camera's newest picture, if its site file allows it"),
    Verb.INSPECT: VerbInfo("node", "have the part that is before a camera judged now, and show the result"),
    Verb.PROFILE: VerbInfo(
        "node", "say which product is made: the faults, thresholds and limits of its profile hold from now on"
    ),
    Verb.RELOAD: VerbInfo("node", "have the daemon read its site file again, or try another bundle"),
    Verb.REPLAY: VerbInfo("node", "have the daemon publish the journal's window again, as history"),
}

STATE_VERBS = tuple(verb for verb, info in VERBS.items() if info.about == "state")

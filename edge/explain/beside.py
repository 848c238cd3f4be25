"""Connects explanations to the path of frames: what the explainer sees, when it works, and the `explain` command."""

from __future__ import annotations

from collections.abc import Mapping

from edge.alarm.annunciator import Annunciator
from edge.beside import Beside, Handler, Verdicts
from edge.explain.explainer import Explainer
from edge.frame import Frame
from edge.wire.command import Request, accept, refuse, refuse_unknown_alarm
from edge.wire.requests import Reply
from edge.wire.verbs import Verb


class Explanations(Beside):
    """The explainer of a site, if enabled; the command is answered in any case.

    Args:
        annunciator: which occurrence of an alarm is the newest, and whether it is active.
        explainer: None: explanations are off on this site.
    """

    name = "explain"

    def __init__(self, annunciator: Annunciator, explainer: Explainer | None) -> None:
        self._annunciator = annunciator
        self.explainer = explainer

    @property
    def verbs(self) -> Mapping[Verb, Handler]:
        """Asking for one."""
        return {Verb.EXPLAIN: self._asked}

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """Remember the frame, and the camera's own verdicts on it."""
        del problem
        if self.explainer is not None:
            scored = [(channel.spec.id, channel.vision(frame.received_ns)) for channel, _ in verdicts]
            self.explainer.observe(frame, scored)

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> None:
        """Explain it, when there is time."""
        if self.explainer is not None:
            self.explainer.raised(alarm_id, occurrence_id, now_ns)

    def ready(self, now_ns: int) -> bool:
        """Whether there is a step to do, and time for it."""
        return self.explainer is not None and self.explainer.ready(now_ns)

    def step(self) -> None:
        """Do it."""
        if self.explainer is not None:
            self.explainer.step()

    def _asked(self, request: Request, now_ns: int, _now_wall_ns: int) -> Reply:
        command, alarm_id = request.command, request.command.alarm_id or ""
        if alarm_id not in self._annunciator:
            return refuse_unknown_alarm(command)
        occurrence_id, active = self._annunciator.occurrence(alarm_id)
        if command.occurrence_id not in {None, occurrence_id}:
            return refuse(command, "stale_occurrence", f"the newest occurrence is {occurrence_id}")
        if occurrence_id is None or not active:
            return refuse(command, "not_allowed", "the alarm is not active: there is nothing to explain")
        if self.explainer is None or not self.explainer.raised(alarm_id, occurrence_id, now_ns):
            return refuse(
                command, "not_allowed", "explanations are off, or this alarm's own message already says everything"
            )
        return accept(command, "published as soon as there is time")

"""Answers triggers: the frame that fits one is its picture, and part, verdicts and frame leave as one message, and as the reply to `cmd/inspect`.

Every frame is judged as ever, so a camera may run freely beside its triggers. It lives as long as the daemon; a reload only gives it another site.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from edge.beside import Beside, Handler, Verdicts
from edge.errors import RejectedInput
from edge.frame import Frame, Quality, Trigger, Verdict, worst
from edge.intake.readers import plausible, wall_ns_of
from edge.intake.trigger_payload import part_of
from edge.publish.publisher import Publisher
from edge.site.inputs import CameraSettings
from edge.site.settings import Site
from edge.site.trigger import TriggerSettings
from edge.system.clock import Clock
from edge.trigger.matcher import Answer, Asked, Matcher, Outcome, Seen, Window
from edge.units import NS_PER_MS, NS_PER_S
from edge.verdict.channel import Channel
from edge.wire.command import Request, refuse
from edge.wire.message import timestamp
from edge.wire.messages import ModelInfo
from edge.wire.requests import FaultFound, Inspection, Reply
from edge.wire.verbs import Verb

NOT_SEEN = "not_seen"  # a region, or a tile of it, was not computed on this frame
REASONS = {Outcome.TIMEOUT: "no_frame", Outcome.LATE: "late", Outcome.BUSY: "busy"}  # where no frame answers

#: Answers a request whose handler gave no answer.
AnswerLater = Callable[[Request, Reply], None]


class Found(NamedTuple):
    """What a frame says of one fault."""

    fault: str
    verdict: Verdict
    score: float | None
    quality: Quality
    reason: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What a frame shows, without its picture."""

    frame: Frame
    found: tuple[Found, ...]
    met: bool
    problem: str
    profile: str | None = None  # under which it was judged

    @property
    def verdict(self) -> Verdict:
        """A fault if one is; ok only if all are."""
        verdicts = {one.verdict for one in self.found}
        if Verdict.FAULT in verdicts:
            return Verdict.FAULT
        return Verdict.OK if verdicts == {Verdict.OK} else Verdict.UNKNOWN

    @property
    def quality(self) -> Quality:
        """The least trusted of the verdicts that decide; bad where there is none."""
        deciding = [one.quality for one in self.found if one.verdict is self.verdict]
        return worst(*deciding) if deciding else Quality.BAD

    @property
    def reason(self) -> str:
        """Why the verdict is not known, as a code; empty: it is."""
        if self.verdict is not Verdict.UNKNOWN:
            return ""
        reasons = [one.reason or one.quality.value for one in self.found if one.verdict is Verdict.UNKNOWN]
        return self.problem or ("no_faults" if not reasons else max(reasons, key=lambda code: code == NOT_SEEN))


@dataclass(frozen=True, slots=True)
class Asker:
    """Who waits for an answer; `request`: of a command."""

    correlation: str | None
    told_wall_ns: int | None = None
    request: Request | None = None


@dataclass(slots=True)
class _Camera:
    settings: CameraSettings
    matcher: Matcher[Asker, Sight]
    channels: tuple[Channel, ...]


class Inspections(Beside):
    """The triggers of a node.

    Args:
        session: id of this run.
        clock: the two clocks.
        publisher: where answers go.
        take: the triggers that came since the last call.
        count: takes each answer's camera, outcome and verdict; no verdict for a repetition, or where none waited.
    """

    name = "trigger"

    def __init__(
        self,
        *,
        session: str,
        clock: Clock,
        publisher: Publisher,
        take: Callable[[], Sequence[Trigger]],
        count: Callable[[str, str, str | None], None],
    ) -> None:
        self._session = session
        self._clock = clock
        self._publisher = publisher
        self._take = take
        self._count = count
        self._cameras: dict[str, _Camera] = {}
        self._model: ModelInfo | None = None
        self._profile: str | None = None
        self._later: AnswerLater = lambda _request, _reply: None

    def reconfigure(
        self,
        site: Site,
        channels: Sequence[Channel],
        model: ModelInfo | None,
        later: AnswerLater,
        profile: str | None = None,
    ) -> Inspections:
        """Answer for this site from now on; returns itself."""
        before, self._model, self._later, self._profile = self._cameras, model, later, profile
        self._cameras = {}
        for camera in site.cameras:
            window = window_of(camera.trigger or TriggerSettings())
            matcher = before[camera.id].matcher if camera.id in before else Matcher[Asker, Sight](window)
            matcher.window = window
            mine = tuple(channel for channel in channels if channel.spec.camera == camera.id and channel.spec.held)
            self._cameras[camera.id] = _Camera(camera, matcher, mine)
        for camera_id in before.keys() - self._cameras.keys():
            for answer in before[camera_id].matcher.end():
                self._answer(camera_id, answer, "camera_gone")
        return self

    @property
    def verbs(self) -> Mapping[Verb, Handler]:
        """The command that is a trigger."""
        return {Verb.INSPECT: self._asked}

    def part(self, frame: Frame) -> str | None:
        """The part whose trigger this frame answers, if it shows what is to be seen."""
        camera = self._cameras.get(frame.camera)
        if camera is None:
            return None
        self._take_in()
        blank = Sight(frame, (), met=True, problem="")
        return camera.matcher.part(Seen(taken_ns(camera, frame), known=True, sight=blank), self._clock.monotonic_ns())

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """Answer the trigger that waited for this frame."""
        camera = self._cameras.get(frame.camera)
        if camera is None:
            return
        now_ns = self._clock.monotonic_ns()
        sight = Sight(
            replace(frame, encoded=b""),
            tuple(_found(frame, camera.channels, verdicts)),
            met=now_ns <= frame.deadline_ns,
            problem=_code(problem),
            profile=self._profile,
        )
        seen = Seen(taken_ns(camera, frame), known=sight.verdict is not Verdict.UNKNOWN, sight=sight)
        for answer in camera.matcher.see(seen, now_ns):
            self._answer(frame.camera, answer)

    def tick(self, now_ns: int) -> None:
        """Take triggers, and answer those that nothing came for."""
        self._take_in()
        for name, camera in self._cameras.items():
            for answer in camera.matcher.tick(now_ns):
                self._answer(name, answer)

    def _take_in(self) -> None:
        for trigger in self._take():
            camera = self._cameras.get(trigger.camera)
            asker = Asker(trigger.correlation, trigger.told_wall_ns)
            ahead_ns = 0 if trigger.told_wall_ns is None else trigger.told_wall_ns - trigger.received_wall_ns
            asked = Asked(trigger.part, trigger.received_ns + ahead_ns, trigger.received_ns, asker)
            if trigger.problem is not None:
                self._answer(trigger.camera, Answer(asked, Outcome.UNKNOWN), trigger.problem)
            elif camera is None:
                self._answer(trigger.camera, Answer(asked, Outcome.UNKNOWN), "camera_gone")
            else:
                self._ask(camera, asked)

    def _ask(self, camera: _Camera, asked: Asked[Asker]) -> None:
        for answer in camera.matcher.ask(asked, self._clock.monotonic_ns()):
            self._answer(camera.settings.id, answer)

    def _asked(self, request: Request, now_ns: int, now_wall_ns: int) -> Reply | None:
        """The command: the answer comes when a frame fits, or none can any more."""
        command = request.command
        name = command.camera or (next(iter(self._cameras)) if len(self._cameras) == 1 else None)
        if name is None or name not in self._cameras:
            return refuse(
                command, "bad_request", f"name the camera that sees the part: {', '.join(self._cameras) or 'none'}"
            )
        told_wall_ns = None if command.at is None else plausible(wall_ns_of(command.at), now_wall_ns)
        if command.at is not None and told_wall_ns is None:
            return refuse(
                command, "bad_request", f"at {command.at!a} is no time with an offset, or that of a clock that is wrong"
            )
        try:
            part = None if command.part is None else part_of(command.part)
        except RejectedInput as error:
            return refuse(command, "bad_request", error.detail)
        at_ns = now_ns if told_wall_ns is None else now_ns + told_wall_ns - now_wall_ns
        self._ask(self._cameras[name], Asked(part, at_ns, now_ns, Asker(command.request_id, told_wall_ns, request)))
        return None

    def _answer(self, camera: str, answer: Answer[Asker, Sight], reason: str = "") -> None:
        """Publish an answer, and give it to who asked by a command."""
        message = self._message(camera, answer, reason)
        again = answer.outcome in {Outcome.DUPLICATE, Outcome.BUSY}
        self._count(camera, answer.outcome.value, None if again else message.verdict.value)
        self._publisher.inspection(message)
        request = answer.asked.asker.request
        if request is not None:
            self._later(request, _reply(request, message))

    def _message(self, camera: str, answer: Answer[Asker, Sight], reason: str) -> Inspection:
        asked, sight = answer.asked, None if answer.seen is None else answer.seen.sight
        frame, told_wall_ns = None if sight is None else sight.frame, asked.asker.told_wall_ns
        shown = None if frame is None else frame.captured_wall_ns
        return Inspection(
            ts=timestamp(self._clock.wall_ns()),
            session=self._session,
            cam=camera,
            part=asked.part,
            correlation=asked.asker.correlation,
            outcome=answer.outcome.value,
            first=None if answer.first is None or answer.first is Outcome.DUPLICATE else answer.first.value,
            verdict=Verdict.UNKNOWN if sight is None else sight.verdict,
            reason=(reason or REASONS[answer.first or answer.outcome]) if sight is None else sight.reason,
            q=Quality.BAD if sight is None else sight.quality,
            faults={} if sight is None else {one.fault: _fault(one) for one in sight.found},
            frame_seq=None if frame is None else frame.seq,
            frame_ts=None if shown is None else timestamp(shown),
            received=None if frame is None else timestamp(frame.received_wall_ns),
            met=None if sight is None else sight.met,
            trigger_ts=None if told_wall_ns is None else timestamp(told_wall_ns),
            offset_ms=None if answer.seen is None else round((answer.seen.at_ns - asked.at_ns) / NS_PER_MS, 3),
            lat_ms=round(max(0, self._clock.monotonic_ns() - asked.received_ns) / NS_PER_MS, 3),
            times=answer.times,
            profile=self._profile if sight is None else sight.profile,
            model=None if self._model is None else self._model.name,
            model_sha256=None if self._model is None else self._model.sha256,
        )


def window_of(settings: TriggerSettings) -> Window:
    """Settings in the matcher's own terms."""
    return Window(
        round(settings.before_ms * NS_PER_MS),
        round(settings.after_ms * NS_PER_MS),
        round(settings.timeout_ms * NS_PER_MS),
        round(settings.repeat_s * NS_PER_S),
    )


def taken_ns(camera: _Camera, frame: Frame) -> int:
    """When a frame was taken, as far as is known, monotonic ns: by its own time, unless the site has those ignored."""
    if frame.captured_wall_ns is None or camera.settings.max_age_ms == 0:
        return frame.received_ns
    return frame.received_ns - (frame.received_wall_ns - frame.captured_wall_ns)


def _found(frame: Frame, channels: Sequence[Channel], verdicts: Verdicts) -> list[Found]:
    """Every fault of the camera; one of which not all was seen on this very frame is unknown: it may show the part before."""
    judged = {channel.spec.id: evidence for channel, evidence in verdicts}
    found = []
    for channel in channels:
        evidence = judged.get(channel.spec.id)
        if evidence is None or channel.seen_ns != frame.received_ns:
            found.append(Found(channel.spec.id, Verdict.UNKNOWN, None, Quality.STALE, NOT_SEEN))
        else:
            score = None if evidence.score is None else round(evidence.score, 4)
            found.append(Found(channel.spec.id, evidence.verdict, score, evidence.quality, ""))
    return found


def _fault(one: Found) -> FaultFound:
    return FaultFound(verdict=one.verdict, score=one.score, q=one.quality, reason=one.reason)


def _code(problem: Exception | None) -> str:
    if problem is None:
        return ""
    return problem.reason if isinstance(problem, RejectedInput) else "not_judged"


def _reply(request: Request, message: Inspection) -> Reply:
    """The answer to a command; ok only where a verdict was given."""
    given = (message.first or message.outcome) == Outcome.JUDGED.value
    code = "ok" if given else "busy" if message.outcome == Outcome.BUSY.value else "not_judged"
    why = f", {message.reason}" if message.reason else ""
    about = "no part" if message.part is None else f"part {message.part}"
    seen = "" if message.frame_seq is None else f", frame {message.frame_seq} of {message.cam}"
    return Reply(
        request_id=request.command.request_id,
        ok=given,
        code=code,
        detail=f"{about}: {message.outcome}, {message.verdict.value}{why}{seen}",
        inspection=message,
    )

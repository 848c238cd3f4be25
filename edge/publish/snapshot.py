"""Sends a camera's newest picture, or that of an alarm's moment, on request: only where the site allows it, limited in size and rate, never retained.

A picture can show people and what a plant makes, and not every reader of the topics may see it. So each camera has to be allowed by
its site file; the picture goes out once, not retained, and every request is journalled with its user like any other command.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping

from edge.beside import Beside, Handler, Verdicts
from edge.errors import RejectedInput
from edge.frame import Frame
from edge.site.settings import Site
from edge.units import NS_PER_S
from edge.wire.command import Request, refuse, refuse_unknown_alarm
from edge.wire.envelope import Outgoing
from edge.wire.message import timestamp
from edge.wire.requests import Command, Reply, Snapshot
from edge.wire.topics import SNAPSHOT, content_type
from edge.wire.verbs import Verb

MAX_MOMENTS = 16  # pictures of moments that are held: a storm of alarms must not fill the memory


class Snapshots(Beside):
    """Holds the newest judged frame of each camera that may be asked for one, and the one on which each alarm was raised, and sends it.

    Args:
        site: which cameras are allowed, and the limits.
        send: hands a message to the broker connection; None means that it could not.
        subject: the camera that an alarm is about and its newest occurrence; None: there is no such alarm.
    """

    name = "snapshot"

    def __init__(
        self,
        site: Site,
        send: Callable[[Outgoing], int | None],
        subject: Callable[[str], tuple[str | None, str | None] | None],
    ) -> None:
        self._prefix = site.prefix()
        self._cameras = {camera.id: camera.snapshot for camera in site.cameras}
        self._max_bytes = site.commands.snapshot_max_bytes
        self._interval_ns = round(site.commands.snapshot_interval_s * NS_PER_S)
        self._send = send
        self._subject = subject
        self._newest: dict[str, Frame] = {}
        # by alarm: its occurrence, and what it was raised on
        self._moments: OrderedDict[str, tuple[str, Frame]] = OrderedDict()
        self._sent_ns: dict[str, int] = {}

    @property
    def verbs(self) -> Mapping[Verb, Handler]:
        """The command for a picture."""
        return {Verb.SNAPSHOT: self._asked}

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """A frame was decoded, unless it was rejected; then its bytes are a picture."""
        del verdicts
        if self._cameras[frame.camera] and not isinstance(problem, RejectedInput):
            self._newest[frame.camera] = frame

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> None:
        """Keep the picture of that moment: minutes later the newest one shows something else."""
        del now_ns
        subject = self._subject(alarm_id)
        frame = None if subject is None or subject[0] is None else self._newest.get(subject[0])
        self._moments.pop(alarm_id, None)
        if frame is not None:
            self._moments[alarm_id] = occurrence_id, frame
        if len(self._moments) > MAX_MOMENTS:
            self._moments.popitem(last=False)

    def _asked(self, request: Request, now_ns: int, _now_wall_ns: int) -> Reply:
        command = request.command
        if command.alarm_id is None:
            return self._publish(command, command.camera, None, now_ns)
        subject = self._subject(command.alarm_id)
        if subject is None:
            return refuse_unknown_alarm(command)
        camera, occurrence_id = subject
        return self._publish(command, command.camera or camera, occurrence_id, now_ns)

    def _publish(self, command: Command, camera: str | None, occurrence_id: str | None, now_ns: int) -> Reply:
        """Publish the newest picture of a camera, or answer why not; the occurrence is what it is asked for, if one is."""
        if camera is None or camera not in self._cameras:
            known = ", ".join(self._cameras) or "none"
            return refuse(command, "bad_request", f"name a camera, or an alarm of one; there are {known}")
        if not self._cameras[camera]:
            return refuse(
                command, "not_allowed", f"the site file does not allow pictures of {camera} (snapshot = true)"
            )
        frame, last_ns = self._picture(camera, command.alarm_id, occurrence_id), self._sent_ns.get(camera)
        if frame is None:
            return refuse(command, "not_allowed", f"{camera} has shown no picture yet")
        if len(frame.encoded) > self._max_bytes:
            detail = f"the picture has {len(frame.encoded)} bytes; commands.snapshot_max_bytes is {self._max_bytes}"
            return refuse(command, "not_allowed", detail)
        if last_ns is not None and now_ns - last_ns < self._interval_ns:
            return refuse(command, "busy", f"at most one picture of {camera} in {self._interval_ns / NS_PER_S:g} s")
        snapshot = self._snapshot(frame, command.alarm_id, occurrence_id, now_ns)
        properties = {key: f"{value}" for key, value in snapshot.model_dump().items() if value is not None}
        outgoing = SNAPSHOT.outgoing(
            self._prefix, frame.encoded, camera, {"request_id": command.request_id} | properties
        )
        if self._send(outgoing) is None:
            return refuse(command, "busy", "the broker connection does not take it: see `unpublished` in the heartbeat")
        self._sent_ns[camera] = now_ns
        return Reply(request_id=command.request_id, ok=True, code="ok", snapshot=snapshot)

    def _picture(self, camera: str, alarm_id: str | None, occurrence_id: str | None) -> Frame | None:
        """The picture on which this occurrence was raised, while it is held; else the newest one."""
        held = self._moments.get(alarm_id or "")
        if held is not None and held[0] == occurrence_id and held[1].camera == camera:
            return held[1]
        return self._newest.get(camera)

    def _snapshot(self, frame: Frame, alarm_id: str | None, occurrence_id: str | None, now_ns: int) -> Snapshot:
        return Snapshot(
            topic=SNAPSHOT.at(self._prefix, frame.camera),
            camera=frame.camera,
            frame_seq=frame.seq,
            received=timestamp(frame.received_wall_ns),
            age_ms=round(max(0, now_ns - frame.received_ns) / 1e6),
            captured=None if frame.captured_wall_ns is None else timestamp(frame.captured_wall_ns),
            alarm_id=alarm_id,
            occurrence_id=occurrence_id,
            size_bytes=len(frame.encoded),
            sha256=hashlib.sha256(frame.encoded).hexdigest(),
            content_type=content_type(frame.encoded),
        )

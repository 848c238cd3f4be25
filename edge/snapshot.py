"""The newest picture of a camera, on request: only where the site allows it, only so large and so often, never kept by the broker.

A picture can show people and what a plant makes, and whoever may read topics may not be meant to see it. So each camera has to be allowed by
its site file; the picture goes out once, not retained, and every request is journalled with its user like any other command.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from edge.command import refuse
from edge.envelope import Outgoing
from edge.frame import Frame
from edge.messages import Command, Reply, Snapshot, timestamp
from edge.settings import Site
from edge.topics import SNAPSHOT, content_type


class Snapshots:
    """Holds the newest judged frame of each camera that may be asked for one, and sends it.

    Args:
        site: which cameras are allowed, and the limits.
        send: hands a message to the broker connection; None means that it could not.
    """

    def __init__(self, site: Site, send: Callable[[Outgoing], int | None]) -> None:
        self._prefix = site.prefix()
        self._cameras = {camera.id: camera.snapshot for camera in site.cameras}
        self._max_bytes = site.commands.snapshot_max_bytes
        self._interval_ns = round(site.commands.snapshot_interval_s * 1e9)
        self._send = send
        self._newest: dict[str, Frame] = {}
        self._sent_ns: dict[str, int] = {}

    def seen(self, frame: Frame) -> None:
        """A frame was decoded, so its bytes are a picture."""
        if self._cameras[frame.camera]:
            self._newest[frame.camera] = frame

    def send(
        self, command: Command, camera: str | None, alarm_id: str | None, occurrence_id: str | None, now_ns: int
    ) -> Reply:
        """Send the newest picture of a camera, or say why not; the alarm is what the picture is asked for, if one is."""
        if camera is None or camera not in self._cameras:
            known = ", ".join(self._cameras) or "none"
            return refuse(command, "bad_request", f"say which camera, or an alarm of one; there are {known}")
        if not self._cameras[camera]:
            return refuse(
                command, "not_allowed", f"the site file does not allow pictures of {camera} (snapshot = true)"
            )
        frame, last_ns = self._newest.get(camera), self._sent_ns.get(camera)
        if frame is None:
            return refuse(command, "not_allowed", f"{camera} has shown no picture yet")
        if len(frame.encoded) > self._max_bytes:
            told = f"the picture has {len(frame.encoded)} bytes; commands.snapshot_max_bytes is {self._max_bytes}"
            return refuse(command, "not_allowed", told)
        if last_ns is not None and now_ns - last_ns < self._interval_ns:
            return refuse(command, "busy", f"at most one picture of {camera} in {self._interval_ns / 1e9:g} s")
        snapshot = self._snapshot(frame, alarm_id, occurrence_id)
        told_of = {key: f"{value}" for key, value in snapshot.model_dump().items() if value is not None}
        outgoing = SNAPSHOT.outgoing(self._prefix, frame.encoded, camera, {"request_id": command.request_id} | told_of)
        if self._send(outgoing) is None:
            return refuse(command, "busy", "the broker connection does not take it: see `unpublished` in the heartbeat")
        self._sent_ns[camera] = now_ns
        return Reply(request_id=command.request_id, ok=True, code="ok", snapshot=snapshot)

    def _snapshot(self, frame: Frame, alarm_id: str | None, occurrence_id: str | None) -> Snapshot:
        return Snapshot(
            topic=SNAPSHOT.at(self._prefix, frame.camera),
            camera=frame.camera,
            frame_seq=frame.seq,
            received=timestamp(frame.received_wall_ns),
            captured=None if frame.captured_wall_ns is None else timestamp(frame.captured_wall_ns),
            alarm_id=alarm_id,
            occurrence_id=occurrence_id,
            size_bytes=len(frame.encoded),
            sha256=hashlib.sha256(frame.encoded).hexdigest(),
            content_type=content_type(frame.encoded),
        )

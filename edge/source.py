"""An MQTT message becomes a Frame or Readings, stamped once, or a counted refusal; nothing that comes in makes it raise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.envelope import Incoming, Subscription
from edge.errors import RejectedInput
from edge.frame import Frame, Reading
from edge.frame_payload import picture_of
from edge.payload import believed, shown, wall_ns_of
from edge.sections import CameraSettings, SensorSettings
from edge.sensor_payload import SensorMessage
from edge.settings import Site

_TIME_PROPERTIES = ("ts", "time")  # MQTT 5 user properties; `time` is CloudEvents' binary mode


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message, or one sensor's part of it, was refused; it belongs to a camera, to a sensor, or to neither (a stray)."""

    reason: str
    detail: str
    camera: str | None = None
    sensor: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What one message held; one bad value does not lose the others."""

    frames: tuple[Frame, ...] = ()
    readings: tuple[Reading, ...] = ()
    rejections: tuple[Rejection, ...] = ()


class Source:
    """Routes messages by topic. Not thread-safe: one network thread feeds it.

    A retained message is refused: the broker replays it after any reconnect, and nobody knows how old it is.

    Args:
        site: which topics belong to which cameras and sensors.
        budgets_ms: budget of each camera id, ms; the deadline of a frame is its receipt plus this.
    """

    def __init__(self, site: Site, budgets_ms: Mapping[str, float]) -> None:
        self._cameras: dict[str, list[CameraSettings]] = {}
        self._sensors: dict[str, list[SensorSettings]] = {}
        for camera in site.cameras:
            self._cameras.setdefault(site.frame_topic(camera), []).append(camera)
        for sensor in site.sensors:
            self._sensors.setdefault(site.sensor_topic(sensor), []).append(sensor)
        self._budgets_ns = {camera.id: round(budgets_ms[camera.id] * 1e6) for camera in site.cameras}
        self._seq = dict.fromkeys(self._budgets_ns, 0)

    def succeed(self, before: Source) -> None:
        """Go on counting frames where an earlier source stopped."""
        self._seq |= {camera: seq for camera, seq in before._seq.items() if camera in self._seq}

    def subscriptions(self) -> list[Subscription]:
        """Every topic once: frames at QoS 0 (a resent frame is an old frame), sensors at QoS 1."""
        topics = dict.fromkeys(self._cameras, 0) | dict.fromkeys(self._sensors, 1)
        return [Subscription(topic, qos, no_retained=True) for topic, qos in topics.items()]

    def accept(self, incoming: Incoming) -> Accepted:
        """Read one message; total over everything that can arrive."""
        cameras, sensors = self._cameras.get(incoming.topic, ()), self._sensors.get(incoming.topic, ())
        if not cameras and not sensors:
            return Accepted(rejections=(Rejection("unknown_topic", shown(incoming.topic)),))
        frames: list[Frame] = []
        rejections: list[Rejection] = []
        for camera in cameras:
            try:
                frames.append(self._frame(camera, incoming))
            except RejectedInput as error:
                rejections.append(Rejection(error.reason, error.detail, camera=camera.id))
        readings = self._readings(sensors, incoming, rejections) if sensors else ()
        return Accepted(tuple(frames), tuple(readings), tuple(rejections))

    def _frame(self, camera: CameraSettings, incoming: Incoming) -> Frame:
        _refuse_retained(incoming)
        encoded, told_wall_ns = picture_of(
            incoming.payload,
            max_bytes=camera.max_bytes,
            pointer=camera.image_pointer,
            received_wall_ns=incoming.received_wall_ns,
        )
        self._seq[camera.id] += 1
        return Frame(
            camera=camera.id,
            seq=self._seq[camera.id],
            encoded=encoded,
            received_ns=incoming.received_ns,
            received_wall_ns=incoming.received_wall_ns,
            deadline_ns=incoming.received_ns + self._budgets_ns[camera.id],
            captured_wall_ns=_property_time(incoming) or told_wall_ns,
        )

    @staticmethod
    def _readings(
        sensors: list[SensorSettings] | tuple[()], incoming: Incoming, rejections: list[Rejection]
    ) -> list[Reading]:
        """One value for each sensor of the topic that the message speaks of.

        Where several sensors share a topic, sources send only what changed: a sensor that is not mentioned is no error as long as
        another one is.
        """
        try:
            _refuse_retained(incoming)
            message = SensorMessage(incoming.payload, incoming.content_type, incoming.received_wall_ns)
        except RejectedInput as error:
            rejections += [Rejection(error.reason, error.detail, sensor=sensor.id) for sensor in sensors]
            return []
        readings: list[Reading] = []
        refused: list[Rejection] = []
        for sensor in sensors:
            try:
                value = message.value(sensor)
            except RejectedInput as error:
                refused.append(Rejection(error.reason, error.detail, sensor=sensor.id))
                continue
            told_wall_ns = value.source_wall_ns or _property_time(incoming)
            readings.append(Reading(sensor.id, value.number, incoming.received_ns, told_wall_ns))
        mentioned = bool(readings) or any(item.reason != "missing" for item in refused)
        rejections += [item for item in refused if item.reason != "missing" or not mentioned]
        return readings


def _refuse_retained(incoming: Incoming) -> None:
    if incoming.retained:
        raise RejectedInput("retained", "the broker replayed an old message: publish without the retain flag")


def _property_time(incoming: Incoming) -> int | None:
    """The source's time in an MQTT 5 user property, if believable."""
    for name, value in incoming.user_properties:
        if name in _TIME_PROPERTIES:
            told = believed(wall_ns_of(value), incoming.received_wall_ns)
            if told is not None:
                return told
    return None

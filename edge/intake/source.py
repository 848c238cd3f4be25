"""Turns an MQTT message into a Frame or Readings, stamped once, or a counted rejection; no input makes it raise."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge.errors import RejectedInput
from edge.frame import Frame, Quality, Reading, Recipe, Trigger
from edge.intake.availability import online, trouble
from edge.intake.checksum import verify
from edge.intake.frame_payload import picture_of
from edge.intake.freshness import Stream
from edge.intake.readers import plausible, shown, wall_ns_of
from edge.intake.sensor_payload import Neighbours, SensorMessage, Value
from edge.intake.share import Shares
from edge.intake.trigger_payload import MAX_PART, trigger_of, word_of
from edge.site.inputs import CameraSettings, SensorSettings
from edge.site.settings import Site
from edge.site.trigger import TriggerSettings
from edge.units import NS_PER_MS
from edge.wire.camera import CameraTrouble
from edge.wire.envelope import Incoming, Subscription

_TIME_PROPERTIES = ("ts", "time")  # MQTT 5 user properties; `time` is CloudEvents' binary mode
DEVICE_NS = 600_000_000_000  # so long a topic is one of two devices after a value of the second
_WITHOUT_VALUE = frozenset(("missing", "retained", "flooded"))  # refusals of messages that had no value of the sensor
_TAIL_BYTES = 1024  # of a picture: two that agree in it, in length and in time are the same


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message, or one sensor's part of it, was refused; it belongs to a camera, to a sensor, or to neither (a stray)."""

    reason: str
    detail: str
    camera: str | None = None
    sensor: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What one message held; one bad value does not lose the others.

    `readings_in_order` has every reading in the order of its time, also the bad ones: a value that was present and refused, with its own rejection.
    `lost` are cameras whose gateway reports that it is offline.
    """

    frames: tuple[Frame, ...] = ()
    readings_in_order: tuple[Reading, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    lost: tuple[str, ...] = ()
    cameras: tuple[
        tuple[str, CameraTrouble | None], ...
    ] = ()  # what `edge-camera` reports of a camera; None: pictures come
    recipe: Recipe | None = None  # which product is made now
    triggers: tuple[Trigger, ...] = ()  # also those that cannot be read: each is answered

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Those with a value."""
        return tuple(reading for reading in self.readings_in_order if reading.quality is not Quality.BAD)


class Source:
    """Routes messages by topic. Not thread-safe: one network thread feeds it.

    A retained message is refused: the broker replays it after any reconnect, and its age is unknown.

    Args:
        site: which topics belong to which cameras and sensors.
        budgets_ms: budget of each camera id, ms; the deadline of a frame is its receipt plus this.
        cpu_ns: processor time of the thread that feeds it.
    """

    def __init__(
        self, site: Site, budgets_ms: Mapping[str, float], cpu_ns: Callable[[], int] = time.thread_time_ns
    ) -> None:
        self._cpu_ns = cpu_ns
        self._shares = Shares()
        self._cameras: dict[str, list[CameraSettings]] = {}
        self._sensors: dict[str, list[SensorSettings]] = {}
        for camera in site.cameras:
            self._cameras.setdefault(site.frame_topic(camera), []).append(camera)
        for sensor in site.sensors:
            self._sensors.setdefault(site.sensor_topic(sensor), []).append(sensor)
        self._neighbours = {
            sensor.id: _neighbours(sensor, sensors) for sensors in self._sensors.values() for sensor in sensors
        }
        self._guarded: dict[str, list[CameraSettings | SensorSettings]] = {}
        sources: list[CameraSettings | SensorSettings] = [*site.cameras, *site.sensors]
        for source in sources:
            if source.availability_topic is not None:
                self._guarded.setdefault(source.availability_topic, []).append(source)
        self._watched = {site.camera_topic(camera): camera for camera in site.cameras if camera.source is not None}
        self._triggered: dict[str, list[tuple[str, TriggerSettings]]] = {}
        for camera in site.cameras:
            if camera.trigger is not None:
                self._triggered.setdefault(site.trigger_topic(camera), []).append((camera.id, camera.trigger))
        self._changeover = site.changeover
        self._streams = {
            (kind, item.id): Stream(round(item.oldest_ms() * NS_PER_MS))
            for kind, items in (("camera", site.cameras), ("sensor", site.sensors))
            for item in items
        }
        self._devices: dict[str, dict[tuple[tuple[str, str], ...], int]] = {}  # by sensor: whose values came, and when
        self._budgets_ns = {camera.id: round(budgets_ms[camera.id] * NS_PER_MS) for camera in site.cameras}
        self._seq = dict.fromkeys(self._budgets_ns, 0)

    def succeed(self, before: Source) -> None:
        """Continue where an earlier source stopped: the count of frames, and the last value of each source."""
        self._seq |= {camera: seq for camera, seq in before._seq.items() if camera in self._seq}
        for name, stream in self._streams.items():
            if name in before._streams:
                stream.succeed(before._streams[name])

    def subscriptions(self) -> list[Subscription]:
        """Every topic once: frames at QoS 0 (a resent frame is an old frame), sensors at QoS 1.

        The last availability of a gateway or of `edge-camera` is wanted at once: it is a state, and retained.
        """
        changeover = () if self._changeover.topic is None else (self._changeover.topic,)
        states = (*self._guarded, *self._watched, *changeover)
        topics = dict.fromkeys(self._cameras, 0) | dict.fromkeys((*self._sensors, *self._triggered, *states), 1)
        return [Subscription(topic, qos, no_retained=topic not in states) for topic, qos in topics.items()]

    def is_subscribed(self, topic: str) -> bool:
        """Whether a topic is one of the site's inputs."""
        inputs = (self._cameras, self._sensors, self._guarded, self._watched, self._triggered)
        return topic == self._changeover.topic or any(topic in topics for topics in inputs)

    def accept(self, incoming: Incoming) -> Accepted:
        """Read one message; total over everything that can arrive."""
        cameras, sensors = self._cameras.get(incoming.topic, ()), self._sensors.get(incoming.topic, ())
        guarded = self._guarded.get(incoming.topic, ())
        watched = self._watched.get(incoming.topic)
        if not self.is_subscribed(incoming.topic):
            return Accepted(rejections=(Rejection("unknown_topic", shown(incoming.topic)),))
        if self._shares.used_up(incoming.topic, incoming.received_ns):
            bad = (*sensors, *(item for item in guarded if isinstance(item, SensorSettings)))
            return _flooded(cameras, bad, [camera for camera, _ in self._triggered.get(incoming.topic, ())])
        began_ns = self._cpu_ns()
        if watched is None:
            accepted = self._read(incoming, cameras, sensors, guarded)
        else:
            accepted = _camera_status(watched.id, incoming.payload)
        cost_ns = self._cpu_ns() - began_ns
        taken = accepted.frames or accepted.readings or accepted.cameras or accepted.triggers or accepted.recipe
        self._shares.spend(incoming.topic, incoming.received_ns, cost_ns, refused=not taken)
        return accepted

    def _read(
        self,
        incoming: Incoming,
        cameras: Sequence[CameraSettings],
        sensors: Sequence[SensorSettings],
        guarded: Sequence[CameraSettings | SensorSettings],
    ) -> Accepted:
        frames: list[Frame] = []
        rejections: list[Rejection] = []
        for camera in cameras:
            try:
                frames.append(self._frame(camera, incoming))
            except RejectedInput as error:
                rejections.append(Rejection(error.reason, error.detail, camera=camera.id))
        readings = self._readings(sensors, incoming, rejections) if sensors else []
        lost: tuple[str, ...] = ()
        if guarded and _offline(guarded, incoming, rejections):
            readings += [_bad(source.id, incoming) for source in guarded if isinstance(source, SensorSettings)]
            lost = tuple(source.id for source in guarded if isinstance(source, CameraSettings))
        triggers = tuple(self._triggers(incoming, rejections))
        recipe = self._recipe(incoming, rejections) if incoming.topic == self._changeover.topic else None
        return Accepted(tuple(frames), tuple(readings), tuple(rejections), lost, triggers=triggers, recipe=recipe)

    def _recipe(self, incoming: Incoming, rejections: list[Rejection]) -> Recipe | None:
        """Which product the plant says is made; also what the broker kept, because it is a state."""
        try:
            return Recipe(word_of(incoming.payload, self._changeover.pointer), incoming.retained)
        except RejectedInput as error:
            rejections.append(Rejection(error.reason, f"changeover: {error.detail}"))
            return None

    def _triggers(self, incoming: Incoming, rejections: list[Rejection]) -> Iterable[Trigger]:
        """A trigger for each camera that this topic triggers; one that cannot be read is counted, and is a trigger all the same."""
        for camera, settings in self._triggered.get(incoming.topic, ()):
            part, told_wall_ns, problem = None, None, None
            try:
                _refuse_retained(incoming)
                part, told_wall_ns = trigger_of(
                    incoming.payload, settings.pointer, settings.time_pointer, incoming.received_wall_ns
                )
            except RejectedInput as error:
                rejections.append(Rejection(error.reason, f"trigger of {camera}: {error.detail}"))
                problem = error.reason
            if not incoming.retained:
                yield Trigger(
                    camera,
                    part,
                    incoming.received_ns,
                    incoming.received_wall_ns,
                    told_wall_ns,
                    None if incoming.correlation is None else incoming.correlation.decode(errors="replace")[:MAX_PART],
                    problem,
                )

    def _frame(self, camera: CameraSettings, incoming: Incoming) -> Frame:
        _refuse_retained(incoming)
        verify(incoming.payload, incoming.user_properties, required=camera.checksum == "required")
        encoded, told_wall_ns = picture_of(
            incoming.payload,
            max_bytes=camera.max_bytes,
            pointer=camera.image_pointer,
            received_wall_ns=incoming.received_wall_ns,
        )
        captured_wall_ns = told_wall_ns or _property_time(incoming)
        (age,) = self._streams["camera", camera.id].judge(
            [(captured_wall_ns, (len(encoded), encoded[-_TAIL_BYTES:]))],
            incoming.received_ns,
            incoming.received_wall_ns,
        )
        if isinstance(age, str):
            raise RejectedInput(age, _no_news(age, captured_wall_ns, incoming.received_wall_ns))
        self._seq[camera.id] += 1
        return Frame(
            camera=camera.id,
            seq=self._seq[camera.id],
            encoded=encoded,
            received_ns=incoming.received_ns,
            received_wall_ns=incoming.received_wall_ns,
            deadline_ns=incoming.received_ns + self._budgets_ns[camera.id],
            captured_wall_ns=captured_wall_ns,
        )

    def _readings(
        self, sensors: Sequence[SensorSettings], incoming: Incoming, rejections: list[Rejection]
    ) -> list[Reading]:
        """The values in the message of each sensor of the topic, in the order of their time.

        Where several sensors share a topic, sources send only what changed: a sensor that is not mentioned is no error as long as
        another one is. A value that was present and refused is a bad reading.
        """
        try:
            _refuse_retained(incoming)
            message = SensorMessage(incoming.payload, incoming.content_type, incoming.received_wall_ns)
        except RejectedInput as error:
            rejections += [Rejection(error.reason, error.detail, sensor=sensor.id) for sensor in sensors]
            return [] if error.reason in _WITHOUT_VALUE else [_bad(sensor.id, incoming) for sensor in sensors]
        found: list[Reading] = []
        unsaid: list[Rejection] = []
        for sensor in sensors:
            try:
                values = message.values(sensor, self._neighbours[sensor.id])
            except RejectedInput as error:
                if error.reason in _WITHOUT_VALUE:
                    unsaid.append(Rejection(error.reason, error.detail, sensor=sensor.id))
                    continue
                values = [Value(math.nan, None, Quality.BAD, error)]
            found += self._news(sensor, self._own(sensor, values, incoming.received_ns), incoming, rejections)
        if len(unsaid) == len(sensors):
            rejections += unsaid
        return found

    def _own(self, sensor: SensorSettings, values: Sequence[Value], now_ns: int) -> list[Value]:
        """Values of one device only: of two, it is unknown which is the sensor's, unless the site sets `where`."""
        devices = {value.device for value in values if value.device}
        if sensor.where or not devices:
            return list(values)
        before = {device: at for device, at in self._devices.get(sensor.id, {}).items() if now_ns - at < DEVICE_NS}
        known = before | dict.fromkeys(devices, now_ns)
        self._devices[sensor.id] = dict(list(known.items())[-2:])
        if len(known) == 1:
            return list(values)
        named = " and ".join(", ".join(f"{key} {name}" for key, name in device)[:80] for device in list(known)[-2:])
        refusal = RejectedInput("ambiguous", f"the topic has values of {named!a}: choose one with `where`")
        return [Value(math.nan, values[-1].source_wall_ns, Quality.BAD, refusal)]

    def _news(
        self, sensor: SensorSettings, values: Sequence[Value], incoming: Incoming, rejections: list[Rejection]
    ) -> Iterable[Reading]:
        """What of a message is new of this sensor, as readings; all that is refused is counted."""
        timed = [
            (value.source_wall_ns if value.source_wall_ns is not None else _property_time(incoming), value.number)
            for value in values
        ]
        records = [(wall_ns, str(number)) for wall_ns, number in timed]  # a NaN equals no other
        ages = self._streams["sensor", sensor.id].judge(records, incoming.received_ns, incoming.received_wall_ns)
        for value, (wall_ns, number), age in zip(values, timed, ages, strict=True):
            if isinstance(age, str):
                detail = _no_news(age, wall_ns, incoming.received_wall_ns)
                rejections.append(Rejection(age, detail, sensor=sensor.id))
                continue
            if value.refusal is not None:
                rejections.append(Rejection(value.refusal.reason, value.refusal.detail, sensor=sensor.id))
            yield Reading(sensor.id, number, incoming.received_ns, wall_ns, age, value.quality)


def _neighbours(sensor: SensorSettings, topic: Sequence[SensorSettings]) -> Neighbours:
    others = [other for other in topic if other is not sensor]
    return Neighbours(
        frozenset(other.senml_name or other.id for other in others),
        any(other.pointer == sensor.pointer and not other.where for other in others),
    )


def _bad(sensor: str, incoming: Incoming) -> Reading:
    return Reading(sensor, math.nan, incoming.received_ns, quality=Quality.BAD)


def _offline(
    guarded: Sequence[CameraSettings | SensorSettings], incoming: Incoming, rejections: list[Rejection]
) -> bool:
    """Whether a gateway reports that it is gone: nothing is known then of what comes over it.

    A sensor's part is counted with the sensor. A camera's is a stray: no frame came that would have to be accounted for.
    """
    try:
        if online(incoming.payload):
            return False
        refusal = RejectedInput("offline", "its gateway reports that it is offline")
    except RejectedInput as error:
        refusal = error
    for source in guarded:
        sensor = source.id if isinstance(source, SensorSettings) else None
        detail = refusal.detail if sensor else f"camera {source.id}: {refusal.detail}"
        rejections.append(Rejection(refusal.reason, detail, sensor=sensor))
    return refusal.reason == "offline"


def _camera_status(camera: str, payload: bytes) -> Accepted:
    """The status of a camera from `edge-camera`."""
    try:
        found = trouble(payload)
    except RejectedInput as error:
        return Accepted(rejections=(Rejection(error.reason, error.detail),))  # no frame of the camera's was refused
    return Accepted(cameras=((camera, found),), lost=() if found is None else (camera,))


def _no_news(reason: str, wall_ns: int | None, received_wall_ns: int) -> str:
    """Why something is no news, for people."""
    if reason != "too_old" or wall_ns is None:
        return "a newer one came before it" if reason == "replaced" else "the same again, with the same time"
    age_s = (received_wall_ns - wall_ns) / 1e9
    return f"its own time is {age_s:.1f} s ago: set the clock of its source, or raise max_age_ms"


def _flooded(
    cameras: Sequence[CameraSettings], sensors: Sequence[SensorSettings], triggered: Sequence[str] = ()
) -> Accepted:
    """A message that is not read, because its topic has had its share of the processor."""
    detail = (
        "reading this topic's messages took its share of each second: they are refused unread until that is paid off"
    )
    return Accepted(
        rejections=(
            *(Rejection("flooded", detail, camera=camera.id) for camera in cameras),
            *(Rejection("flooded", detail, sensor=sensor.id) for sensor in sensors),
            *(Rejection("flooded", f"trigger of {camera}: {detail}") for camera in triggered),
        )
    )


def _refuse_retained(incoming: Incoming) -> None:
    if incoming.retained:
        raise RejectedInput("retained", "the broker replayed an old message: publish without the retain flag")


def _property_time(incoming: Incoming) -> int | None:
    """The source's time in an MQTT 5 user property, if believable."""
    for name, value in incoming.user_properties:
        if name in _TIME_PROPERTIES:
            time_ns = plausible(wall_ns_of(value), incoming.received_wall_ns)
            if time_ns is not None:
                return time_ns
    return None

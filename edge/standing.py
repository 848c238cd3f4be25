"""The alarms that a site has: those of its faults, and those that the daemon brings along about its own eyes and ears.

Pure. A system alarm's condition is evidence like any other, so missing data, delays and acknowledgement work the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge.alarm.state import AlarmSpec
from edge.annunciator import AlarmEntry, Ne107
from edge.channel import ChannelSpec
from edge.errors import ConfigError
from edge.frame import Evidence, Quality, Verdict
from edge.lens import Trouble
from edge.sections import AlarmSettings
from edge.settings import Site

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
TWIN_NS = 300 * NS_PER_S  # a twin that left did so at most so long ago


class Concern(StrEnum):
    """What a system alarm is about; the second part of its id."""

    SILENT = "silent"  # a camera without usable frames, or a sensor without values
    LATE = "late"  # frames come, but no verdict is in budget
    STORAGE = "storage"  # the journal is not safe on the disk
    TWIN = "twin"  # somebody else connects to the broker under our name
    CLOCK = "clock"  # the system clock is not synchronised
    REFUSED = "refused"  # the broker refuses what we say, what we want to hear, or us


@dataclass(frozen=True, slots=True)
class SystemAlarm:
    """Texts and severity of one kind of system alarm; `{id}` is the camera or sensor."""

    severity: int
    ne107: Ne107
    message: str
    operator_action: str
    consequence: str


CAMERA_ALARMS = {
    Concern.SILENT: SystemAlarm(
        severity=700,
        ne107="F",
        message="Camera {id} gives no usable picture",
        operator_action="Check the camera, its power and network, and the lens; watch the asset by other means until it is back",
        consequence="Faults that only this camera shows stay unseen",
    ),
    Concern.LATE: SystemAlarm(
        severity=500,
        ne107="S",
        message="Verdicts of camera {id} miss their deadline",
        operator_action="Lower the camera's frame rate or free the processor; see the heartbeat's stages for where the time goes",
        consequence="Faults are flagged later than the plant was designed for",
    ),
}
_UNSEEN = "Faults that only this camera shows are unknown until its pictures are good again"
PICTURE_ALARMS = {
    Trouble.FROZEN: SystemAlarm(
        severity=700,
        ne107="S",
        message="Camera {id} repeats one picture",
        operator_action="Restart the camera or its gateway; watch the asset by other means until it moves again",
        consequence=_UNSEEN,
    ),
    Trouble.DARK: SystemAlarm(
        severity=600,
        ne107="S",
        message="Camera {id} sees nothing but dark",
        operator_action="Check the lamps, the shutter and what may cover the lens",
        consequence=_UNSEEN,
    ),
    Trouble.DAZZLED: SystemAlarm(
        severity=600,
        ne107="S",
        message="Camera {id} is dazzled",
        operator_action="Check the exposure and keep sun and lamps out of the lens",
        consequence=_UNSEEN,
    ),
    Trouble.BLURRED: SystemAlarm(
        severity=600,
        ne107="S",
        message="Camera {id} is out of focus",
        operator_action="Clean the lens, check its focus and its mount; after a wanted change of view take this alarm out of service and put it back",
        consequence=_UNSEEN,
    ),
    Trouble.COVERED: SystemAlarm(
        severity=600,
        ne107="S",
        message="Something covers the view of camera {id}",
        operator_action="Take away what covers the view; after a wanted change of view take this alarm out of service and put it back",
        consequence=_UNSEEN,
    ),
}
SENSOR_ALARMS = {
    Concern.SILENT: SystemAlarm(
        severity=500,
        ne107="S",
        message="Sensor {id} gives no values",
        operator_action="Check the sensor and its gateway",
        consequence="Rules on this sensor can neither show a fault nor its absence",
    )
}


NODE = "node"  # what an alarm about the device itself is named after
NODE_ALARMS = {
    Concern.STORAGE: SystemAlarm(
        severity=500,
        ne107="M",
        message="Storage: the journal is not safe on the disk",
        operator_action="Make room in node.state_dir or repair its disk; the heartbeat's journal says what is wrong",
        consequence="Alarms go on, but their states and what was not yet heard are lost at a restart, or were lost at the last one",
    ),
    Concern.TWIN: SystemAlarm(
        severity=700,
        ne107="F",
        message="Another client uses this device's name at the broker",
        operator_action="Find the other device or program with the same node.id and give it another; each takes the connection from the other",
        consequence="Flags and alarms come late or from the wrong device, and frames are missed",
    ),
    Concern.CLOCK: SystemAlarm(
        severity=400,
        ne107="S",
        message="The clock of the device is not known to be synchronised",
        operator_action="Check its time service (timedatectl) and the way to the time server, and whether the daemon may ask the kernel (adjtimex)",
        consequence="Stamps of flags and alarms cannot be compared with those of other devices",
    ),
    Concern.REFUSED: SystemAlarm(
        severity=700,
        ne107="F",
        message="The broker refuses what this device says or asks to hear",
        operator_action="Mend the broker's access rules for this device; its state and its log say what is refused",
        consequence="Flags, alarms, events or commands on those topics reach nobody",
    ),
}


def alarm_id(source: str, concern: Concern | Trouble) -> str:
    """Id of a system alarm, e.g. ``cam1-silent``."""
    return f"{source}-{concern.value}"


def site_alarms(site: Site, channels: Sequence[ChannelSpec]) -> list[AlarmEntry]:
    """Every alarm of a site; a fault that is not armed has none.

    Raises:
        ConfigError: two of them would have the same id.
    """
    _refuse_same_ids(site, channels)
    entries = [_process(channel, channel.alarm) for channel in channels if channel.alarm is not None and channel.armed]
    for camera in site.cameras:
        kinds = CAMERA_ALARMS | PICTURE_ALARMS
        entries += [_system(camera.id, concern, kind, camera=camera.id) for concern, kind in kinds.items()]
    for sensor in site.sensors:
        entries += [_system(sensor.id, concern, kind, camera=None) for concern, kind in SENSOR_ALARMS.items()]
    wanted = {
        Concern.STORAGE: site.node.state_dir is not None,
        Concern.TWIN: True,
        Concern.CLOCK: site.node.require_synchronised_clock,
        Concern.REFUSED: True,
    }
    return entries + [
        _system(NODE, concern, kind, camera=None) for concern, kind in NODE_ALARMS.items() if wanted[concern]
    ]


def _refuse_same_ids(site: Site, channels: Sequence[ChannelSpec]) -> None:
    """An alarm's id is its topic and its name in every command, so no two may share one; that of a flag may not be a system alarm's either."""
    owners: dict[str, str] = {alarm_id(NODE, concern): "the daemon itself" for concern in NODE_ALARMS}
    claims = [
        (alarm_id(camera.id, kind), f"camera {camera.id}")
        for camera in site.cameras
        for kind in CAMERA_ALARMS | PICTURE_ALARMS
    ]
    claims += [(alarm_id(sensor.id, kind), f"sensor {sensor.id}") for sensor in site.sensors for kind in SENSOR_ALARMS]
    claims += [(channel.id, f"fault {channel.id}") for channel in channels]
    for name, owner in claims:
        if name in owners:
            raise ConfigError(f"the alarm {name} would be that of {owners[name]} and of {owner}: rename one of them")
        owners[name] = owner


def silence(age_ns: int | None, uptime_ns: int, stale_after_ns: int) -> Evidence:
    """Whether a source is silent: so long since it last gave something usable; None: never yet, so the uptime counts."""
    silent_ns = uptime_ns if age_ns is None else age_ns
    if silent_ns > stale_after_ns:
        return Evidence(Verdict.FAULT, 1.0, Quality.GOOD)
    if age_ns is None:
        return Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN)
    return Evidence(Verdict.OK, 0.0, Quality.GOOD)


def lateness(arrived_age_ns: int | None, in_budget_age_ns: int | None, uptime_ns: int, stale_after_ns: int) -> Evidence:
    """Whether frames arrive while none is judged in budget; without frames nothing is known of it."""
    if arrived_age_ns is None or arrived_age_ns > stale_after_ns:
        return Evidence(Verdict.UNKNOWN, None, Quality.STALE)
    return silence(in_budget_age_ns, uptime_ns, stale_after_ns)


def unsafe(storage: str, set_aside: int) -> Evidence:
    """Whether the journal is not safe on the disk, or was not at this start; both as in the heartbeat."""
    safe = storage == "ok" and set_aside == 0
    return Evidence(Verdict.OK, 0.0, Quality.GOOD) if safe else Evidence(Verdict.FAULT, 1.0, Quality.GOOD)


def doubled(taken_over_age_ns: int | None) -> Evidence:
    """Whether somebody else connects under our name: so long ago it last took the connection from us; None: never."""
    if taken_over_age_ns is None or taken_over_age_ns > TWIN_NS:
        return Evidence(Verdict.OK, 0.0, Quality.GOOD)
    return Evidence(Verdict.FAULT, 1.0, Quality.GOOD)


def adrift(synchronised: bool | None) -> Evidence:  # noqa: FBT001 - it is the reading itself
    """Whether the clock is not known to be synchronised; None: the kernel does not say, and a site that asks for it has not got it then."""
    return Evidence(Verdict.OK, 0.0, Quality.GOOD) if synchronised else Evidence(Verdict.FAULT, 1.0, Quality.GOOD)


def denied(refused: Sequence[str] | None) -> Evidence:
    """Whether the broker refuses something; None: nothing was said to it yet."""
    if refused is None:
        return Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN)
    return Evidence(Verdict.FAULT, 1.0, Quality.GOOD) if refused else Evidence(Verdict.OK, 0.0, Quality.GOOD)


def _process(channel: ChannelSpec, alarm: AlarmSettings) -> AlarmEntry:
    return AlarmEntry(
        spec=AlarmSpec(
            id=channel.id,
            severity=alarm.severity,
            on_delay_ns=round(alarm.on_delay_ms * NS_PER_MS),
            off_delay_ns=round(alarm.off_delay_ms * NS_PER_MS),
            n=alarm.n_of_m[0],
            m=alarm.n_of_m[1],
            latching=alarm.latching,
            auto_ack=alarm.auto_ack,
            re_alarm_ns=round(alarm.re_alarm_s * NS_PER_S),
            max_shelve_ns=round(alarm.max_shelve_s * NS_PER_S),
            chatter_shelve_ns=round(alarm.chatter_shelve_s * NS_PER_S),
        ),
        kind="process",
        message=alarm.message,
        operator_action=alarm.operator_action,
        consequence=alarm.consequence,
        camera=channel.camera,
        threshold=channel.fault.threshold if channel.fault else None,
        group=alarm.group,
    )


def _system(source: str, concern: Concern | Trouble, kind: SystemAlarm, camera: str | None) -> AlarmEntry:
    return AlarmEntry(
        spec=AlarmSpec(id=alarm_id(source, concern), severity=kind.severity),
        kind="system",
        message=kind.message.format(id=source),
        operator_action=kind.operator_action,
        consequence=kind.consequence,
        camera=camera,
        threshold=None,
        ne107=kind.ne107,
    )

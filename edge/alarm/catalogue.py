"""The alarms that a site has: those of its faults, and those about the daemon's own cameras, sensors and health.

Pure. A system alarm's condition is evidence like any other, so missing data, delays and acknowledgement work the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from edge.alarm.entry import AlarmEntry, Ne107
from edge.alarm.state import AlarmSpec
from edge.errors import ConfigError
from edge.frame import Trouble
from edge.site.alarms import AlarmSettings
from edge.site.gateways import Gateway, frozen_gateways, site_gateways
from edge.site.inputs import SensorSettings
from edge.site.settings import Site
from edge.units import NS_PER_MS, NS_PER_S
from edge.verdict.channel import ChannelSpec


class Concern(StrEnum):
    """What a system alarm is about; the second part of its id."""

    SILENT = "silent"  # a camera without usable frames, or a sensor without values
    FROZEN = "frozen"  # a sensor that repeats one value; a camera's is a Trouble
    LATE = "late"  # frames come, but no verdict is in budget
    STORAGE = "storage"  # the journal is not safe on the disk
    TWIN = "twin"  # another client connects to the broker under our client id
    CLOCK = "clock"  # the system clock is not synchronised, or differs from that of who commands
    REFUSED = "refused"  # the broker rejects our messages, our subscriptions, or our connection
    SLOW = "slow"  # the machine did not keep the budget when it was measured at the start
    WEAKER = "weaker"  # the bundle that runs watches less closely than the one before it, or than it says
    OVERBOUND = "overbound"  # a fault is raised falsely more often than was promised
    DRIFT = "drift"  # the scores of normal frames are not what they were when their limit was set
    INTERNAL = "internal"  # a fault of this program itself, which continues to run


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
        operator_action="Check the camera, its power and network, the lens, and that its pictures are not larger than broker.max_packet_bytes, which the broker "
        "drops without a word; watch the asset by other means until it is back",
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
    ),
    Concern.FROZEN: SystemAlarm(
        severity=500,
        ne107="S",
        message="Sensor {id} repeats one value",
        operator_action="Check the sensor and whether its gateway repeats an old value; if the process is as steady as that, raise frozen_after_ms",
        consequence="Rules on this sensor can neither show a fault nor its absence",
    ),
}

FAULT_ALARMS = {
    Concern.OVERBOUND: SystemAlarm(
        severity=500,
        ne107="M",
        message="The alarm {id} comes more often than its bound on false alarms allows",
        operator_action="Label its occurrences (ack --true or --false); if most were false, record normal operation again and export, or change its limit or delay",
        consequence="Operators stop believing the alarm, and true ones are missed",
    ),
    Concern.DRIFT: SystemAlarm(
        severity=400,
        ne107="M",
        message="What the camera sees of {id} scores no longer as normal did when its limit was set",
        operator_action="Look at the camera, its light and what changed on the line; if that is to stay, collect normal pictures again and export",
        consequence="False alarms become more frequent, or faults score too low to be raised",
    ),
}

GATEWAY_SILENT = SystemAlarm(
    severity=600,
    ne107="S",
    message="None of the {members} of {words} gives values",
    operator_action="Check the gateway, its power and network; the alarms of its sensors are suppressed until it is back",
    consequence="Rules on these sensors can neither show a fault nor its absence",
)
GATEWAY_BLIND = SystemAlarm(
    severity=700,
    ne107="F",
    message="None of the {members} of {words} gives pictures or values",
    operator_action="Check the gateway or switch, its power and network; the alarms of what comes over it are suppressed until it is back",
    consequence="Faults that only these show stay unseen",
)
GATEWAY_FROZEN = SystemAlarm(
    severity=600,
    ne107="S",
    message="Each of the {members} of {words} repeats one value",
    operator_action="Check whether the gateway goes on sending old values, and restart it; the alarms of its sensors are suppressed until one changes",
    consequence="Rules on these sensors can neither show a fault nor its absence",
)

NODE = "node"  # what an alarm about the device itself is named after
NODE_ALARMS = {
    Concern.STORAGE: SystemAlarm(
        severity=500,
        ne107="M",
        message="Storage: the journal is not safe on the disk",
        operator_action="Make room in node.state_dir or repair its disk; `journal` of the heartbeat gives the reason",
        consequence="Alarms go on, but their states and events not yet delivered are lost at a restart, or were lost at the last one",
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
        message="The clock of the device is not known to be right",
        operator_action="Check its time service (timedatectl), the way to the time server, and the clock of the client that sends commands; with "
        "node.require_synchronised_clock also whether the daemon may ask the kernel (adjtimex)",
        consequence="Commands are refused as expired, and stamps of flags and alarms cannot be compared with those of other devices",
    ),
    Concern.REFUSED: SystemAlarm(
        severity=700,
        ne107="F",
        message="The broker rejects or loses messages or subscriptions of this device",
        operator_action="Correct the broker's access rules for this device; its state and its log name what is rejected",
        consequence="Flags, alarms, events or commands on those topics are not delivered",
    ),
    Concern.SLOW: SystemAlarm(
        severity=600,
        ne107="S",
        message="The device is too slow for the budget of its cameras",
        operator_action="Free its processor, raise budget_ms, or export a smaller model; it is measured again by itself",
        consequence="Faults are flagged later than the plant was designed for, and frames are left out",
    ),
    Concern.WEAKER: SystemAlarm(
        severity=600,
        ne107="S",
        message="The bundle that runs watches less closely than the one before it, or than it says",
        operator_action="See the event `watches less closely` for which faults and why; acknowledge it if that is meant, else load another bundle",
        consequence="Faults that people rely on may go unseen",
    ),
    Concern.INTERNAL: SystemAlarm(
        severity=700,
        ne107="F",
        message="A part of the daemon failed, which is a fault of this program",
        operator_action="Report the traceback in its log; update or restart it if the alarm stays",
        consequence="What failed is unknown, uncertain or not published: see the reasons of the state and internal_errors in the heartbeat",
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
    wanted_of = {fault.id: fault.alarm for fault in site.faults}
    entries = [
        _process(channel, alarm)
        for channel in channels
        if channel.armed and (alarm := wanted_of.get(channel.id)) is not None
    ]
    for camera in site.cameras:
        kinds = CAMERA_ALARMS | PICTURE_ALARMS
        entries += [_system(camera.id, concern, kind, camera=camera.id) for concern, kind in kinds.items()]
    for sensor in site.sensors:
        entries += [_system(sensor.id, concern, SENSOR_ALARMS[concern], camera=None) for concern in _concerns(sensor)]
    entries += [
        _gateway(gateway, Concern.SILENT, GATEWAY_BLIND if gateway.cameras else GATEWAY_SILENT)
        for gateway in site_gateways(site)
    ]
    entries += [_gateway(gateway, Concern.FROZEN, GATEWAY_FROZEN) for gateway in frozen_gateways(site)]
    for channel in channels:
        entries += [
            _system(channel.id, concern, FAULT_ALARMS[concern], camera=channel.camera)
            for concern in _promises(site, channel)
        ]
    wanted = {
        Concern.STORAGE: site.node.state_dir is not None,
        Concern.TWIN: True,
        Concern.CLOCK: True,
        Concern.REFUSED: True,
        Concern.SLOW: bool(site.cameras),
        Concern.WEAKER: True,
        Concern.INTERNAL: True,
    }
    return entries + [
        _system(NODE, concern, kind, camera=None) for concern, kind in NODE_ALARMS.items() if wanted[concern]
    ]


def _concerns(sensor: SensorSettings) -> tuple[Concern, ...]:
    """What a sensor's alarms are about: whether a steady value is a stuck one, only its site knows."""
    return (Concern.SILENT, Concern.FROZEN) if sensor.frozen_after_ms > 0 else (Concern.SILENT,)


def _promises(site: Site, channel: ChannelSpec) -> tuple[Concern, ...]:
    """What is promised of a fault and the daemon watches: its bound, and that normal scores as it did."""
    bounds = {fault.id: fault.alarm.bound for fault in site.faults if fault.alarm is not None}
    wanted = {
        Concern.OVERBOUND: channel.armed and bounds.get(channel.id) is not None,
        Concern.DRIFT: site.drift.enabled and channel.fault is not None and len(channel.fault.normal) > 0,
    }
    return tuple(concern for concern, is_wanted in wanted.items() if is_wanted)


def _refuse_same_ids(site: Site, channels: Sequence[ChannelSpec]) -> None:
    """An alarm's id is its topic and its name in every command, so no two may share one; that of a flag may not be a system alarm's either."""
    owners: dict[str, str] = {alarm_id(NODE, concern): "the daemon itself" for concern in NODE_ALARMS}
    claims = [
        (alarm_id(camera.id, kind), f"camera {camera.id}")
        for camera in site.cameras
        for kind in CAMERA_ALARMS | PICTURE_ALARMS
    ]
    claims += [(alarm_id(gateway.id, Concern.SILENT), gateway.words) for gateway in site_gateways(site)]
    claims += [(alarm_id(gateway.id, Concern.FROZEN), gateway.words) for gateway in frozen_gateways(site)]
    claims += [
        (alarm_id(sensor.id, kind), f"sensor {sensor.id}") for sensor in site.sensors for kind in _concerns(sensor)
    ]
    claims += [(channel.id, f"fault {channel.id}") for channel in channels]
    claims += [
        (alarm_id(channel.id, concern), f"the promise of fault {channel.id}")
        for channel in channels
        for concern in _promises(site, channel)
    ]
    for name, owner in claims:
        if name in owners:
            raise ConfigError(f"the alarm {name} would be that of {owners[name]} and of {owner}: rename one of them")
        owners[name] = owner


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


def _gateway(gateway: Gateway, concern: Concern, kind: SystemAlarm) -> AlarmEntry:
    counts = ((len(gateway.cameras), "cameras"), (len(gateway.sensors), "sensors"))
    members = " and ".join(f"{count} {what if count > 1 else what[:-1]}" for count, what in counts if count)
    return replace(
        _system(gateway.id, concern, kind, camera=None),
        message=kind.message.format(members=members, words=gateway.words),
    )


def _system(source: str, concern: Concern | Trouble, kind: SystemAlarm, camera: str | None) -> AlarmEntry:
    return AlarmEntry(
        spec=AlarmSpec(id=alarm_id(source, concern), severity=kind.severity),
        kind="system",
        message=kind.message.replace("{id}", source),
        operator_action=kind.operator_action,
        consequence=kind.consequence,
        camera=camera,
        threshold=None,
        ne107=kind.ne107,
    )

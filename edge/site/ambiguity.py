"""Finds what a site file leaves ambiguous: sensors that their messages may not distinguish; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from edge.site.inputs import SensorSettings
from edge.site.settings import Site


def ambiguities(site: Site) -> Iterator[str]:
    """Each thing that is ambiguous, in a sentence that names what to set."""
    topics: dict[str, list[SensorSettings]] = {}
    for sensor in site.sensors:
        topics.setdefault(site.sensor_topic(sensor), []).append(sensor)
    frames = {site.frame_topic(camera): camera.id for camera in site.cameras}
    for topic, sensors in topics.items():
        if topic in frames:
            yield f"camera {frames[topic]} and sensor {sensors[0].id} share the topic {topic}: each refuses what is the other's"
        yield from _not_distinguished(topic, sensors)
        yield from (_by_place(sensor) for sensor in sensors if _is_by_place(sensor))


def _not_distinguished(topic: str, sensors: Sequence[SensorSettings]) -> Iterator[str]:
    for one, other in combinations(sensors, 2):
        if one.where != other.where and one.where and other.where:
            continue
        if one.pointer is not None and one.pointer == other.pointer:
            yield (
                f"sensors {one.id} and {other.id} share the topic {topic} and the pointer {one.pointer}: a message counts only for the one that it "
                "names; set senml_name to what each is called there, or `where`"
            )
        elif one.pointer is None and other.pointer is None and _name(one) == _name(other):
            yield (
                f"sensors {one.id} and {other.id} share the topic {topic} and the name {_name(one)!r}: both take the same value; set `where`, or another "
                "senml_name"
            )
    plain = [
        sensor.id for sensor in sensors if sensor.pointer is None and not sensor.where and sensor.format != "senml"
    ]
    if len(sensors) > 1 and plain:
        yield (
            f"sensors {', '.join(plain)} share the topic {topic} with others and have neither pointer nor `where`: they are found by name only, a plain "
            "`value` or a bare number is refused"
        )


def _by_place(sensor: SensorSettings) -> str:
    return (
        f"sensor {sensor.id} is found by its place in a list ({sensor.pointer}): gateways that send only what changed put another value there; set "
        "`where`, or senml_name without a pointer"
    )


def _is_by_place(sensor: SensorSettings) -> bool:
    return not sensor.where and any(part.isdigit() for part in (sensor.pointer or "").split("/"))


def _name(sensor: SensorSettings) -> str:
    return sensor.senml_name or sensor.id

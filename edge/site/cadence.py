"""Finds delays and spans that are too short for how often their sensors are sent; pure."""

from __future__ import annotations

from collections.abc import Iterator

from edge.site.alarms import FaultSettings
from edge.site.inputs import SensorSettings
from edge.site.rules import RuleSettings
from edge.site.settings import Site

MS_PER_S = 1_000.0
LEAST_PERIODS = {"std": 2, "range": 2, "slope": 3}  # of a span: it must hold so many readings to be usable


def haste(site: Site) -> Iterator[str]:
    """Each thing that comes too soon for its sensor, in a sentence that says what to set; of sensors without `period_ms` nothing is known."""
    sensors = {sensor.id: sensor for sensor in site.sensors}
    for sensor in site.sensors:
        if sensor.period_ms is not None and sensor.stale_after_ms <= sensor.period_ms:
            yield (
                f"sensor {sensor.id} comes every {sensor.period_ms:g} ms and is stale after {sensor.stale_after_ms:g} ms: it is unknown between two values; "
                "set stale_after_ms to several periods"
            )
    rules = {rule.id: rule for rule in site.rules}
    for rule in site.rules:
        yield from _short_span(rule, _slowest(rule, sensors))
    for fault in site.faults:
        yield from _short_delay(fault, {name: _slowest(rules[name], sensors) for name in fault.rules})


def _slowest(rule: RuleSettings, sensors: dict[str, SensorSettings]) -> float:
    """The longest period of the sensors that a rule reads, ms; 0: none is declared."""
    names = (rule.sensor,) if rule.other is None else (rule.sensor, rule.other)
    return max(sensors[name].period_ms or 0.0 for name in names)


def _short_span(rule: RuleSettings, period_ms: float) -> Iterator[str]:
    needed_s = LEAST_PERIODS.get(rule.of, 1) * period_ms / MS_PER_S
    if rule.over_s is not None and rule.over_s < needed_s:
        yield (
            f"rule {rule.id}: a span of {rule.over_s:g} s holds too few readings of a sensor that comes every {period_ms:g} ms: set over_s to "
            f"{needed_s:g} or more"
        )


def _short_delay(fault: FaultSettings, periods_ms: dict[str, float]) -> Iterator[str]:
    """An on-delay that ends before the next reading is served by one reading, so it holds back no single wrong one."""
    if fault.alarm is None or not fault.alarm.on_delay_ms > 0.0:
        return
    for name, period_ms in periods_ms.items():
        if fault.alarm.on_delay_ms < period_ms and fault.alarm.n_of_m == (1, 1):
            yield (
                f"fault {fault.id}: an on-delay of {fault.alarm.on_delay_ms:g} ms is shorter than the {period_ms:g} ms between two readings of rule {name}, "
                "so a single wrong reading raises it: set a longer on_delay_ms, or n_of_m = [2, 3]"
            )

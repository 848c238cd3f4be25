"""A backtest's alarms over many thresholds and delays as data, for a slider; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge.plan import Plan
from edge.replay.judgement import DELAYS_S, NS_PER_DAY, observed_ns, previews, rate_interval, thresholds_to_try
from edge.replay.simulation import Outcome

MOST, LEAST = 41, 7  # thresholds of a fault
STEPS = 500_000  # flags that are judged again for all faults together, at some 10 us each


def sweep(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """Each fault of a camera with its thresholds, and under each delay the alarms, the days they came in and the exact interval of their rate."""
    return {"schema": "edge.thresholds/1", "title": plan.title, "faults": list(_faults(plan, outcome))}


def _faults(plan: Plan, outcome: Outcome) -> Iterator[dict[str, Any]]:
    specs = {entry.spec.id: entry.spec for entry in plan.alarms}
    judged = sum(len(flags) for flags in outcome.flags.values()) * len(DELAYS_S)
    count = max(LEAST, min(MOST, STEPS // max(1, judged)))
    for channel in plan.channels:
        flags, spec = outcome.flags.get(channel.id, []), specs.get(channel.id)
        if spec is None or channel.fault is None or not flags:
            continue
        now, days = channel.fault.threshold, observed_ns(flags) / NS_PER_DAY
        found = previews(flags, channel, spec, thresholds_to_try(flags, now, count))
        yield {
            "id": channel.id,
            "title": channel.title,
            "armed": channel.armed,
            "threshold": round(now, 4),
            "days": days,
            "flags": len(flags),
            "unknown": sum(flag.verdict == "unknown" for flag in flags),
            "rows": [
                [one.threshold, one.on_delay_s, one.alarms, *(rate_interval(one.alarms, days) if days else (0.0, 0.0))]
                for one in found
            ],
        }

"""A backtest for people: Markdown with what would have been raised, why not, what other settings would give, and what another bundle changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from edge.alarm.state import AlarmSpec
from edge.plan import Plan
from edge.replay.judgement import (
    NS_PER_DAY,
    Preview,
    Stretch,
    observed_ns,
    previews,
    rate_interval,
    stretches,
    thresholds_to_try,
)
from edge.replay.recorded import Recorded
from edge.replay.simulation import Outcome, Seen
from edge.units import NS_PER_S
from edge.verdict.channel import ChannelSpec
from edge.wire.message import timestamp

LEAST_DAYS = 1 / 24  # of watched time, below which a rate a day would be an invention
MOST_LINES = 40  # of stretches and differences; the figures above count all


def backtest_lines(plan: Plan, recorded: Recorded, outcome: Outcome) -> Iterator[str]:
    """The report of one bundle."""
    seconds = outcome.span_ns / NS_PER_S
    yield f"# Backtest: {plan.title}"
    yield ""
    yield f"{len(recorded.pictures)} pictures and {len(recorded.values)} readings over {seconds / 3600:.2f} hours. No figure of time here is about latency."
    yield ""
    yield "A rate a day stands with its exact 95 % interval, as if alarms came independently of each other; those that come in bursts make it less sure."
    for note in recorded.passed_over:
        yield f"- passed over: {note}"
    for reason, count in sorted(outcome.refused.items()):
        yield f"- without a verdict: {count} pictures, {reason}"
    for place, count in sorted(outcome.internal_errors.items()):
        yield f"- INTERNAL ERROR in {place}: {count} times; the figures below are not to be relied on"
    specs = {entry.spec.id: entry for entry in plan.alarms}
    for channel in plan.channels:
        entry = specs.get(channel.id)
        yield from _channel_lines(channel, None if entry is None else entry.spec, outcome)
    others = [
        change
        for change in outcome.changes
        if change.raised and change.alarm in specs and specs[change.alarm].kind == "system"
    ]
    if others:
        yield ""
        yield "## Alarms of the device itself"
        yield ""
        for name, changes in groupby(sorted(others, key=lambda one: one.alarm), key=lambda one: one.alarm):
            yield f"- `{name}`: {len(list(changes))}"


def _channel_lines(channel: ChannelSpec, alarm: AlarmSpec | None, outcome: Outcome) -> Iterator[str]:
    flags = outcome.flags.get(channel.id, [])
    changes = [change for change in outcome.changes if change.alarm == channel.id]
    found = stretches(flags, changes, alarm)
    raised = sum(change.raised for change in changes)
    days = observed_ns(flags) / NS_PER_DAY
    unknown = sum(flag.verdict == "unknown" for flag in flags)
    yield ""
    yield f"## {channel.title} (`{channel.id}`)"
    yield ""
    low, high = rate_interval(raised, days) if days else (0.0, 0.0)
    rate = f", {raised / days:.1f} a day of watched time ({low:.1f} to {high:.1f})" if days >= LEAST_DAYS else ""
    yield f"{len(flags)} flags, {sum(flag.verdict == 'fault' for flag in flags)} faulty, {unknown} unknown; **{raised} alarms**{rate}."
    if found:
        yield ""
        yield "| from | s | faulty frames | highest score | alarm |"
        yield "|---|---|---|---|---|"
        for item in found[:MOST_LINES]:
            yield _stretch_line(item)
        if len(found) > MOST_LINES:
            yield f"| {len(found) - MOST_LINES} more | | | | |"
    if alarm is not None and channel.fault is not None and flags:
        tried = previews(flags, channel, alarm, thresholds_to_try(flags, channel.fault.threshold))
        yield from _preview_lines(tried, channel.fault.threshold, days)


def _stretch_line(item: Stretch) -> str:
    peak = "" if item.peak is None else f"{item.peak:.3f}"
    outcome = f"raised at {timestamp(item.alarm_ns)}" if item.alarm_ns is not None else f"none: {item.why}"
    return f"| {timestamp(item.first_ns)} | {item.seconds:.1f} | {item.frames} | {peak} | {outcome} |"


def _count(item: Preview, days: float) -> str:
    return f"{item.alarms} ({item.per_day:.1f})" if days >= LEAST_DAYS else f"{item.alarms}"


def _preview_lines(found: Sequence[Preview], now: float, days: float) -> Iterator[str]:
    if not found:
        return
    delays = sorted({item.on_delay_s for item in found})
    yield ""
    yield "Alarms if the threshold and `on_delay_ms` were others" + (
        " (a day of watched time in brackets):" if days >= LEAST_DAYS else ":"
    )
    yield ""
    yield "| threshold | " + " | ".join(f"{delay * 1000:g} ms" for delay in delays) + " |"
    yield "|---" * (len(delays) + 1) + "|"
    for threshold, row in groupby(found, key=lambda item: item.threshold):
        mark = " (now)" if abs(threshold - round(now, 4)) < 1e-9 else ""
        yield f"| {threshold:.4f}{mark} | " + " | ".join(_count(item, days) for item in row) + " |"


def comparison_lines(plan: Plan, other: Plan, outcome: Outcome, against: Outcome) -> Iterator[str]:
    """What another bundle changes on the same recording."""
    yield ""
    yield f"# Against {other.title}"
    yield ""
    yield "| fault | alarms now | alarms then | flags that differ |"
    yield "|---|---|---|---|"
    differing: list[tuple[str, Seen, Seen]] = []
    for channel in plan.channels:
        pairs = list(zip(outcome.flags.get(channel.id, ()), against.flags.get(channel.id, ()), strict=False))
        unlike = [(channel.id, one, two) for one, two in pairs if one.verdict != two.verdict]
        differing += unlike
        alarms = [
            sum(change.raised and change.alarm == channel.id for change in one.changes) for one in (outcome, against)
        ]
        yield f"| `{channel.id}` | {alarms[0]} | {alarms[1]} | {len(unlike)} of {len(pairs)} |"
    missing = {channel.id for channel in plan.channels} ^ {channel.id for channel in other.channels}
    if missing:
        yield ""
        yield f"Faults of one of the two only: {', '.join(f'`{name}`' for name in sorted(missing))}."
    if differing:
        yield ""
        for name, one, two in differing[:MOST_LINES]:
            yield f"- {timestamp(one.at_ns)} `{name}`: {_short(one)} now, {_short(two)} then"


def _short(flag: Seen) -> str:
    return flag.verdict if flag.score is None else f"{flag.verdict} {flag.score:.3f}"


def as_plain(outcome: Outcome) -> dict[str, Any]:
    """The outcome as data for JSON: equal for equal recordings, however many processes computed it."""
    return {
        "span_s": outcome.span_ns / NS_PER_S,
        "refused": dict(sorted(outcome.refused.items())),
        "flags": {
            name: [[flag.at_ns, flag.verdict, flag.score, flag.quality] for flag in flags]
            for name, flags in sorted(outcome.flags.items())
        },
        "changes": [[change.at_ns, change.alarm, change.what, change.occurrence] for change in outcome.changes],
    }

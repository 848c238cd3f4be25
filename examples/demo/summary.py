"""The closing summary: what was injected, flagged, missed and false, how fast it was, and whether the demo worked. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.units import percentile
from examples.demo.match import Match, match
from examples.demo.story import Criteria
from examples.demo.watch import Watch


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The text of the summary, and the checks that decide the exit status."""

    lines: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def worked(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    def text(self) -> str:
        """The whole summary."""
        marks = [f"  {'✔' if check.holds else '✘'} {check.text}" for check in self.checks]
        end = "It worked." if self.worked else "It did not work: see the lines marked ✘."
        return "\n".join([*self.lines, "", *marks, "", end])


def summarise(
    watch: Watch,
    criteria: Criteria,
    *,
    acknowledged: bool | None,
    daemon_status: int | None,
    problem: str | None = None,
) -> Summary:
    """Everything that the run showed.

    Args:
        watch: what was seen.
        criteria: what must hold.
        acknowledged: whether the operator's acknowledgement was accepted; None: no alarm was active.
        daemon_status: exit status of the daemon after SIGTERM; None: it never started.
        problem: what broke the run off, if anything did.
    """
    found = matched(watch, criteria)
    vision = found.of(channel.id for channel in watch.channels if channel.vision)
    lines = [
        "",
        f"Summary of {len(watch.sent)} frames, {_seconds(watch):.0f} s of line (seed {watch.line.settings.seed})",
        "",
        *_table(watch, found),
        "",
        f"  flagged: the channel reported fault between a fault's first frame and {criteria.grace_s:g} s after its last; false: a stay at fault",
        "  (gaps under 0.5 s aside) that touches no such interval, on a good part or (wrong name) on a part with another fault.",
        "",
        *_latency(watch),
    ]
    checks = [
        Check(problem is None and daemon_status == 0, _alive(problem, daemon_status)),
        *_accounting(watch),
        *_quality(watch, vision, criteria),
        Check(acknowledged is True, _acknowledged(acknowledged)),
    ]
    return Summary(tuple(lines), tuple(checks))


def matched(watch: Watch, criteria: Criteria) -> Match:
    """Flags against injections, as far as the line got."""
    truth = {channel.id: channel.truth for channel in watch.channels}
    return match(watch.line.injections, watch.samples, truth, criteria.grace_s, until_s=_seconds(watch))


def _seconds(watch: Watch) -> float:
    return len(watch.sent) / watch.line.settings.fps


def _table(watch: Watch, found: Match) -> list[str]:
    heading = f"  {'channel':<18}{'injected':>9}{'flagged':>9}{'missed':>8}{'false on good':>15}{'wrong name':>12}{'flagged after':>16}"
    rows = [_row(channel.title, found.of([channel.id])) for channel in watch.channels if channel.vision]
    vision = found.of(channel.id for channel in watch.channels if channel.vision)
    rule = "  " + "─" * (len(heading) - 2)
    sensors = [_row(f"({channel.title})", found.of([channel.id])) for channel in watch.channels if not channel.vision]
    return [heading, *rows, rule, _row("all that is seen", vision), *sensors]


def _row(title: str, found: Match) -> str:
    total, flagged = len(found.outcomes), found.flagged
    good = sum(not other for _, other in found.false)
    delays = sorted(outcome.delay_s for outcome in found.outcomes if outcome.delay_s is not None)
    median = f"{delays[len(delays) // 2] * 1e3:.0f} ms" if delays else "-"
    return f"  {title:<18}{total:>9}{flagged:>9}{total - flagged:>8}{good:>15}{len(found.false) - good:>12}{median:>16}"


def _latency(watch: Watch) -> list[str]:
    """Percentiles over the frames whose flags were published (a changed verdict at once, others five times a second); misses over all frames."""
    camera = watch.camera
    inside = [judged.lat_ms for judged in watch.judged.values()]
    heading = f"  {'latency, ms':<60}{'p50':>7}{'p95':>7}{'p99':>7}{'max':>7}"
    rows = [
        f"  {'in the daemon: frame received → last flag handed over':<60}{_percentiles(inside)}",
        f"  {'end to end: camera hands it over → SCADA has its last flag':<60}{_percentiles(watch.end_to_end_ms())}",
    ]
    if camera is None or not inside:
        return [heading, *rows]
    budget, p99 = camera.budget_ms, percentile(sorted(inside), 0.99)
    kept = "within" if p99 <= budget else "over the budget (a busy or slow machine), not within"
    return [
        heading,
        *rows,
        f"  {camera.verdicts - camera.misses} of {camera.verdicts} verdicts in their budget of {budget:g} ms, the slowest of all took {watch.worst_ms:.1f} ms;",
        f"  the daemon's p99 is {kept} the budget. Scheduling of its inference thread: {watch.heartbeat.realtime if watch.heartbeat else '?'}.",
    ]


def _percentiles(values: Sequence[float]) -> str:
    if not values:
        return f"{'-':>7}" * 4
    return "".join(f"{percentile(sorted(values), share):>7.1f}" for share in (0.5, 0.95, 0.99)) + f"{max(values):>7.1f}"


def _alive(problem: str | None, daemon_status: int | None) -> str:
    if problem is not None:
        return problem
    if daemon_status != 0:
        return f"the daemon ended with status {daemon_status} after SIGTERM, not 0"
    return "broker, daemon and plant stayed alive, and the daemon stopped cleanly when asked"


def _accounting(watch: Watch) -> list[Check]:
    camera = watch.camera
    if camera is None:
        return [Check(holds=False, text="no heartbeat came, so no frame is accounted for")]
    dropped = sum(camera.dropped.values())
    reasons = ", ".join(f"{reason} {count}" for reason, count in camera.dropped.items() if count) or "none"
    sent = len(watch.sent)
    return [
        Check(
            sent > 0 and sent == camera.received == camera.verdicts + dropped,
            f"every frame is accounted for: {sent} sent, {camera.received} received = {camera.verdicts} verdicts + {dropped} dropped ({reasons}); {camera.misses} verdicts late",
        ),
        Check(
            watch.flags_lost() == 0 and len(watch.flag_numbers) > 0,
            f"every flag arrived here: {len(watch.flag_numbers)} came, {watch.flags_lost()} are missing",
        ),
    ]


def _quality(watch: Watch, vision: Match, criteria: Criteria) -> list[Check]:
    total, flagged = len(vision.outcomes), vision.flagged
    minutes = _seconds(watch) / 60.0
    rate = len(vision.false) / minutes if minutes else 0.0
    return [
        Check(
            total > 0 and flagged >= criteria.detection_least * total,
            f"flagged {flagged} of {total} injected faults; at least {criteria.detection_least:.0%} are asked for",
        ),
        Check(
            rate <= criteria.false_most_per_minute,
            f"{len(vision.false)} false flags, {rate:.1f} a minute on {sum(bool(c.vision) for c in watch.channels)} channels; at most {criteria.false_most_per_minute:g} are allowed",
        ),
    ]


def _acknowledged(acknowledged: bool | None) -> str:  # noqa: FBT001 - three-valued: None is no alarm
    if acknowledged is None:
        return "no alarm was active that the operator could acknowledge"
    return (
        "the operator's acknowledgement was accepted"
        if acknowledged
        else "the operator's acknowledgement was not accepted"
    )

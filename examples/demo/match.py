"""Ground truth against flags: which injected faults were flagged, which were missed, and which flags were false.

The definition, as the summary states it: an injected fault counts as *flagged* when its channel reports fault at least once between its first
frame and `grace_s` after its last. A *false flag* is an unbroken stay of a channel at fault that touches no such interval of its own faults;
stays less than `GAP_S` apart are one; it is a *wrong name* when another fault was on the line then. Pure; times are seconds of the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge.frame import Verdict
from examples.line.line import Injection

GAP_S = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """A channel's verdict at the moment `t_s` of the line."""

    t_s: float
    verdict: Verdict
    score: float | None


@dataclass(frozen=True, slots=True)
class Episode:
    """An unbroken stay of one channel at fault, from its first such sample to its last."""

    channel: str
    start_s: float
    end_s: float
    peak: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One injection in the eyes of one channel; `delay_s` is None when it was missed."""

    injection: Injection
    channel: str
    delay_s: float | None

    @property
    def flagged(self) -> bool:
        """Whether the channel reported fault in time."""
        return self.delay_s is not None


@dataclass(frozen=True, slots=True)
class Match:
    """All outcomes, and all false flags as (episode, whether another fault was on the line)."""

    outcomes: tuple[Outcome, ...]
    false: tuple[tuple[Episode, bool], ...]

    def of(self, channels: Iterable[str]) -> Match:
        """The same for some channels only."""
        wanted = set(channels)
        return Match(
            tuple(outcome for outcome in self.outcomes if outcome.channel in wanted),
            tuple(item for item in self.false if item[0].channel in wanted),
        )

    @property
    def flagged(self) -> int:
        """How many injections were flagged."""
        return sum(outcome.flagged for outcome in self.outcomes)


def episodes(channel: str, samples: Iterable[Sample]) -> list[Episode]:
    """The stays of a channel at fault; samples in the order of time. Unknown neither begins nor ends one: no frame showed the end."""
    found: list[Episode] = []
    inside = False
    for sample in samples:
        if sample.verdict is Verdict.UNKNOWN:
            continue
        if sample.verdict is Verdict.OK:
            inside = inside and sample.t_s - found[-1].end_s < GAP_S
        elif inside:
            last = found[-1]
            found[-1] = Episode(channel, last.start_s, sample.t_s, _higher(last.peak, sample.score))
        else:
            inside = True
            found.append(Episode(channel, sample.t_s, sample.t_s, sample.score))
    return found


def match(
    injections: Sequence[Injection],
    samples: Mapping[str, Sequence[Sample]],
    truth: Mapping[str, frozenset[str]],
    grace_s: float,
    *,
    until_s: float = float("inf"),
) -> Match:
    """Hold the flags against the injections.

    Args:
        injections: what was really wrong, and when.
        samples: each channel's verdicts, in the order of time.
        truth: for each channel the faults that make it true.
        grace_s: how long after its end a fault may still be flagged, s.
        until_s: injections that begin later are left out, because no frame of them has been judged yet, s.
    """
    begun = [injection for injection in injections if injection.start_s < until_s]
    outcomes, false = [], []
    for channel, faults in truth.items():
        channel_samples = samples.get(channel, ())
        own = [injection for injection in begun if injection.fault in faults]
        outcomes += [Outcome(injection, channel, _delay_s(injection, channel_samples, grace_s)) for injection in own]
        for episode in episodes(channel, channel_samples):
            if not any(_touches(episode, injection, grace_s) for injection in own):
                others = any(_touches(episode, injection, grace_s) for injection in begun if injection not in own)
                false.append((episode, others))
    return Match(
        tuple(sorted(outcomes, key=lambda outcome: outcome.injection.start_s)),
        tuple(sorted(false, key=lambda item: item[0].start_s)),
    )


def _delay_s(injection: Injection, channel_samples: Sequence[Sample], grace_s: float) -> float | None:
    for sample in channel_samples:
        if injection.start_s <= sample.t_s <= injection.end_s + grace_s and sample.verdict is Verdict.FAULT:
            return sample.t_s - injection.start_s
    return None


def _touches(episode: Episode, injection: Injection, grace_s: float) -> bool:
    return episode.start_s <= injection.end_s + grace_s and episode.end_s >= injection.start_s


def _higher(first: float | None, second: float | None) -> float | None:
    known = [value for value in (first, second) if value is not None]
    return max(known, default=None)

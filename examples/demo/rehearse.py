"""The demo without its network: the line straight through the daemon's own stages, for many seeds, to see what a bundle can do.

``python -m examples.demo.rehearse --seeds 1-8``. Same pictures, same stages, same rules of matching; only time is simulated.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.assembly import load_engine
from edge.bundle import Bundle, open_bundle
from edge.errors import EdgeError
from edge.frame import Reading
from edge.inference.preprocess import Preprocessor
from edge.plan import resolve_channels, resolve_rules
from edge.site.settings import Site
from edge.verdict.channel import Channel
from edge.verdict.rules import Rule
from examples.demo.match import Match, Sample, match
from examples.demo.site import site_document
from examples.demo.story import CRITERIA, channels_for, line_settings
from examples.line.line import Line

NS_PER_S = 1_000_000_000
SENSOR_INTERVAL_S = 0.1


def rehearse(bundle: Bundle, *, seed: int, fps: float, seconds: float, faults: Sequence[str] = ()) -> Match:
    """One run of the line through preprocess, infer and decide; returns flags held against injections.

    ``faults`` are those that the line shows and the bundle is asked for, so that two bundles can be held against each other on the same frames;
    none: all that the bundle knows.
    """
    plans = channels_for(faults or [fault.id for fault in bundle.manifest.faults])
    site = Site(**site_document(bundle.path.resolve(), plans, host="127.0.0.1", port=1))
    rules = resolve_rules(site)
    channels = [Channel(spec, rules) for spec in resolve_channels(site, bundle.manifest)]
    preprocessor, engine = Preprocessor(bundle.manifest.frame_input), load_engine(bundle)
    line = Line(line_settings(plans, seed=seed, fps=fps), round(seconds * fps))
    samples: dict[str, list[Sample]] = defaultdict(list)
    _rest(rules, Line(line_settings(plans, seed=seed, fps=fps), 1))
    read_s = 0.0
    for frame in line:
        now_ns = round((1.0 + frame.t_s) * NS_PER_S)
        if frame.t_s >= read_s:
            read_s += SENSOR_INTERVAL_S
            _read(rules, frame.readings, now_ns)
        scores = engine.run(preprocessor.prepare(frame.jpeg)).tolist()
        for channel in channels:
            if channel.spec.vision is not None:
                channel.see(scores[channel.spec.vision], now_ns, late=False)
            evidence = channel.evidence(now_ns)
            samples[channel.spec.id].append(Sample(frame.t_s, evidence.verdict, evidence.score))
    truth = {plan.id: plan.truth for plan in plans}
    return match(line.injections, samples, truth, CRITERIA.grace_s, until_s=seconds)


def _rest(rules: Mapping[str, Rule], line: Line) -> None:
    """A second of readings before the line starts, as in the demo: rates need history."""
    readings = next(iter(line)).readings
    for tenth in range(10):
        _read(rules, readings, tenth * NS_PER_S // 10)


def _read(rules: Mapping[str, Rule], readings: Mapping[str, float], now_ns: int) -> None:
    for rule in rules.values():
        rule.update(Reading(rule.spec.sensor, readings[rule.spec.sensor], now_ns))


def _row(name: str, found: Match) -> str:
    good = sum(not other for _, other in found.false)
    return f"{name:<20}{len(found.outcomes):>9}{found.flagged:>9}{good:>15}{len(found.false) - good:>12}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo.rehearse", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path(__file__).parents[1] / "bundles" / "line")
    parser.add_argument("--seeds", default="1-4", help="first and last seed (default %(default)s)")
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument(
        "--faults",
        nargs="*",
        default=[],
        metavar="FAULT",
        help="show and ask for these only (default: all that the bundle knows)",
    )
    parser.add_argument("--seconds", type=float, default=45.0)
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("-")
    try:
        bundle = open_bundle(options.bundle)
    except EdgeError as error:
        print(f"rehearse: {error}", file=sys.stderr)
        return 1
    runs = {
        seed: rehearse(bundle, seed=seed, fps=options.fps, seconds=options.seconds, faults=options.faults)
        for seed in range(int(first), int(last or first) + 1)
    }
    plans = channels_for(options.faults or [fault.id for fault in bundle.manifest.faults])
    seen = [plan.id for plan in plans if plan.vision]
    print(f"{'':<20}{'injected':>9}{'flagged':>9}{'false on good':>15}{'wrong name':>12}")
    for seed, found in runs.items():
        print(_row(f"seed {seed}", found.of(seen)))
    everything = Match(
        tuple(outcome for found in runs.values() for outcome in found.outcomes),
        tuple(item for found in runs.values() for item in found.false),
    )
    for plan in plans:
        print(_row(plan.id if plan.vision else f"({plan.id})", everything.of([plan.id])))
    total = everything.of(seen)
    minutes = len(runs) * options.seconds / 60.0
    print(_row("all that is seen", total) + f"   {len(total.false) / minutes:.1f} false a minute")
    return 0


if __name__ == "__main__":
    sys.exit(main())

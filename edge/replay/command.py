"""`backtest`: what a bundle would have flagged and raised over a recording, and why.

Both commands have it: an engineer thinks of the bundle, an operator of the site. Imports happen inside, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for what add_subparsers returns


def add_backtest_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add `backtest`."""
    parser = commands.add_parser(
        "backtest", help="what a bundle would have raised over recorded pictures and readings, and why"
    )
    parser.add_argument("bundle", type=Path, help="bundle folder")
    parser.add_argument(
        "--recording",
        type=Path,
        required=True,
        metavar="DIR",
        help="what `record` or evidence left, or any folder of pictures",
    )
    parser.add_argument(
        "--config",
        type=Path,
        help="site.toml, for its alarms, delays and rules; default: every fault, alarms without delay",
    )
    parser.add_argument("--profile", metavar="ID", help="a profile of the site file that holds; default: its first")
    parser.add_argument("--against", type=Path, metavar="BUNDLE", help="another bundle: what it would change")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that compute scores; default: %(default)s"
    )
    parser.add_argument(
        "--ray",
        metavar="HOST:PORT",
        help="a Ray cluster that computes them in place of processes here; needs the extra `ray`",
    )
    parser.add_argument(
        "--fps", type=float, default=1.0, help="rate of pictures whose names have no time; default: %(default)s"
    )
    parser.add_argument(
        "--gate",
        type=float,
        metavar="BAND",
        help="prove the change gate of tiles: replay with it and with every tile computed; ends with 1 where a verdict differs and the scores by more than BAND",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report there; default: print it")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write the report there too, as one page with the highest-scored pictures",
    )
    parser.add_argument(
        "--thresholds",
        type=Path,
        metavar="FILE",
        help="write alarms at many thresholds and delays there too, as JSON; edge-page has a slider for it",
    )
    parser.add_argument("--json", action="store_true", help="every flag and transition as JSON, in place of the report")
    parser.set_defaults(command=_backtest, run=_backtest)  # the two programs name it differently


def _backtest(options: argparse.Namespace) -> int:
    from functools import partial

    from edge.bundle import open_bundle
    from edge.errors import ConfigError
    from edge.plan import make_plan
    from edge.replay.cluster import score_on_cluster
    from edge.replay.gate import LEVELS, gate_lines, level_lines, prove_gate
    from edge.replay.page import backtest_page
    from edge.replay.recorded import read_folder
    from edge.replay.report import as_plain, backtest_lines, comparison_lines
    from edge.replay.scores import score_all
    from edge.replay.setup import at_level, backtest, site_for, under_profile, ungated
    from edge.replay.sweep import sweep

    if options.html is not None and options.json:
        raise ConfigError("--html is the report as a page, and --json is in place of the report: choose one")
    if options.workers < 1 or not 0 < options.fps <= 1000:
        raise ConfigError("--workers must be at least 1, and --fps above 0")
    if options.ray is not None and options.workers > 1:
        raise ConfigError("--workers are processes of this machine, and --ray is a cluster: choose one")
    if options.gate is not None and (options.json or not 0 <= options.gate <= 1):
        raise ConfigError("--gate BAND is a difference of scores, 0 to 1, and is not given together with --json")
    bundles = [open_bundle(path) for path in (options.bundle, options.against) if path is not None]
    sites = [under_profile(site_for(bundle, options.config), options.profile) for bundle in bundles]
    recorded = read_folder(options.recording, [camera.id for camera in sites[0].cameras], options.fps)
    scoring = (
        partial(score_all, workers=options.workers)
        if options.ray is None
        else partial(score_on_cluster, address=options.ray)
    )
    outcomes = [backtest(site, bundle, recorded, scoring) for site, bundle in zip(sites, bundles, strict=True)]
    plans = [make_plan(site, bundle) for site, bundle in zip(sites, bundles, strict=True)]
    holds = True
    if options.thresholds is not None:
        _write(options.thresholds, json.dumps(sweep(plans[0], outcomes[0])).encode())
    if options.json:
        text = json.dumps([as_plain(outcome) for outcome in outcomes], indent=1)
    else:
        lines = list(backtest_lines(plans[0], recorded, outcomes[0]))
        if len(plans) > 1:
            lines += comparison_lines(plans[0], plans[1], outcomes[0], outcomes[1])
        if options.gate is not None:
            full = backtest(ungated(sites[0]), bundles[0], recorded)
            proof = prove_gate(outcomes[0], full, options.gate)
            tried = {level: backtest(at_level(sites[0], level), bundles[0], recorded) for level in LEVELS}
            proofs = {level: prove_gate(outcome, full, options.gate) for level, outcome in tried.items()}
            lines = [*gate_lines(proof, options.gate), *level_lines(proofs, options.gate), "", *lines]
            holds = proof.holds
        text = "\n".join(lines)
        if options.html is not None:
            _write(options.html, backtest_page(text, plans[0], recorded, outcomes[0]))
    if options.out is None:
        print(text)
    else:
        _write(options.out, f"{text}\n".encode())
    return 0 if holds else 1


def _write(path: Path, content: bytes) -> None:
    from edge.errors import EdgeError

    try:
        path.write_bytes(content)
    except OSError as error:
        raise EdgeError(f"cannot write {path}: {error.strerror}") from error

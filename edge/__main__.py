"""`edge-daemon`: parse the command line, and run, check or measure.

Imports happen inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.errors import BundleError, ConfigError, EdgeError

EXIT_OK, EXIT_FAILED, EXIT_CONFIG, EXIT_BUNDLE = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 fine, 1 failed, 2 the configuration is wrong, 3 the bundle may not go live."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=options.log.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ConfigError as error:
        print(f"configuration: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except BundleError as error:
        print(f"bundle: {error}", file=sys.stderr)
        return EXIT_BUNDLE
    except EdgeError as error:
        print(f"failed: {error}", file=sys.stderr)
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-daemon",
        description="Flags faults on camera frames and sensor messages from MQTT, inside a latency budget.",
    )
    parser.add_argument(
        "--log", default="info", choices=["debug", "info", "warning", "error"], help="what is logged to standard error"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="watch until stopped")
    run.add_argument("--config", type=Path, required=True, help="site.toml")
    run.set_defaults(command=_run)
    check = commands.add_parser(
        "check", help="validate a site file and its bundle on this machine, and say what would be watched"
    )
    check.add_argument("--config", type=Path, required=True, help="site.toml")
    check.set_defaults(command=_check)
    bench = commands.add_parser("bench", help="latency proof of a bundle on this machine")
    bench.add_argument("bundle", type=Path, help="bundle folder")
    bench.add_argument("--seconds", type=float, default=10.0, help="how long to measure, s")
    bench.add_argument(
        "--fps", type=float, default=25.0, help="pace of the frames, as a camera sends them; 0: as fast as possible"
    )
    bench.add_argument("--threads", type=int, help="threads inside one operator; default: as the bundle was measured")
    bench.add_argument("--json", action="store_true", help="print figures as JSON")
    bench.set_defaults(command=_bench)
    settings = commands.add_parser("settings", help="print the reference of all settings as Markdown")
    settings.set_defaults(command=_settings)
    schema = commands.add_parser("schema", help="print a JSON Schema")
    schema.add_argument("name", nargs="?", help="a message's schema, e.g. edge.flag/1, or 'bundle'; default: list them")
    schema.set_defaults(command=_schema)
    return parser


def _run(options: argparse.Namespace) -> int:
    from edge.bundle import open_bundle
    from edge.daemon import Daemon
    from edge.realtime import make_realtime
    from edge.settings import load_site

    site = load_site(options.config)
    if site.runtime.realtime_priority > 0:
        # Threads started from here inherit this: suspended with the interpreter lock, one would hold up the inference thread.
        make_realtime(priority=max(1, site.runtime.realtime_priority - 1))
    daemon = Daemon(site, open_bundle(site.bundle))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.request_stop())
    try:
        daemon.start()
        _log_ready(daemon.summary())
        daemon.wait()
    finally:
        daemon.stop()
    return EXIT_OK


def _check(options: argparse.Namespace) -> int:
    from edge.bundle import open_bundle
    from edge.inspection import check_site
    from edge.settings import load_site

    site = load_site(options.config)
    for line in check_site(site, open_bundle(site.bundle)):
        print(line)
    return EXIT_OK


def _bench(options: argparse.Namespace) -> int:
    from edge.bundle import open_bundle
    from edge.inspection import bench_bundle

    report = bench_bundle(
        open_bundle(options.bundle), seconds=options.seconds, fps=options.fps, threads=options.threads
    )
    print(report.model_dump_json(indent=1) if options.json else report.text())
    return EXIT_OK


def _settings(_options: argparse.Namespace) -> int:
    from edge.settings_reference import reference_markdown

    print(reference_markdown(), end="")
    return EXIT_OK


def _schema(options: argparse.Namespace) -> int:
    from edge.bundle import manifest_schema
    from edge.messages import json_schemas

    schemas = {"bundle": manifest_schema()} | json_schemas()
    if options.name is None:
        print("\n".join(schemas))
        return EXIT_OK
    if options.name not in schemas:
        raise ConfigError(f"no schema {options.name!r}; there are {', '.join(schemas)}")
    print(json.dumps(schemas[options.name], indent=1))
    return EXIT_OK


def _log_ready(summary: str) -> None:
    logging.getLogger("edge").info("ready: %s", summary)


if __name__ == "__main__":
    sys.exit(main())

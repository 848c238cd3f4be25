"""`edge-daemon`: parses the command line, then runs, checks or measures a site, or queries a running daemon.

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

from edge.console.exits import EXIT_BUNDLE, EXIT_CONFIG, EXIT_FAILED, EXIT_OK, status_of
from edge.console.operator import add_operator_commands, write_file
from edge.console.recording import add_recording_command
from edge.console.records import add_record_commands
from edge.errors import ConfigError
from edge.replay.command import add_backtest_command
from edge.system.logs import add_log_options, set_up
from edge.system.unwinding import unwinding
from edge.system.version import ShowVersion

__all__ = ["EXIT_BUNDLE", "EXIT_CONFIG", "EXIT_FAILED", "EXIT_OK", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 fine, 1 failed, 2 the configuration is wrong, 3 the bundle may not go live."""
    options = _parser().parse_args(arguments)
    level = options.log or ("info" if options.command in {_run, _check, _bench} else "warning")
    set_up(level, options.log_format)
    return status_of(unwinding()(options.command), options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-daemon",
        description="Flags faults on camera frames and sensor messages from MQTT, inside a latency budget.",
    )
    parser.add_argument("--version", action=ShowVersion, help="print the version and end")
    add_log_options(parser, default="info, for the client commands warning")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="watch until stopped")
    run.add_argument("--config", type=Path, required=True, help="site.toml")
    run.set_defaults(command=_run)
    check = commands.add_parser(
        "check", help="validate a site file and its bundle on this machine, and list what would be watched"
    )
    check.add_argument("--config", type=Path, required=True, help="site.toml")
    check.add_argument(
        "--connect",
        action="store_true",
        help="also ask the broker, topic by topic, and look at clock, disk and real-time scheduling; publishes empty messages",
    )
    check.set_defaults(command=_check)
    bench = commands.add_parser("bench", help="latency proof of a bundle on this machine")
    bench.add_argument("bundle", type=Path, help="bundle folder")
    bench.add_argument("--seconds", type=float, default=10.0, help="how long to measure, s")
    bench.add_argument(
        "--fps", type=float, default=25.0, help="pace of the frames, as a camera sends them; 0: as fast as possible"
    )
    bench.add_argument("--threads", type=int, help="threads inside one operator; default: as the bundle was measured")
    bench.add_argument(
        "--provider",
        choices=["CPUExecutionProvider", "OpenVINOExecutionProvider"],
        help="execution provider of ONNX Runtime; default: as the bundle was measured",
    )
    bench.add_argument("--json", action="store_true", help="print figures as JSON")
    bench.set_defaults(command=_bench)
    add_operator_commands(commands)
    add_record_commands(commands)
    add_recording_command(commands)
    add_backtest_command(commands)
    settings = commands.add_parser("settings", help="print the reference of all settings as Markdown")
    settings.set_defaults(command=_settings)
    schema = commands.add_parser("schema", help="print a JSON Schema")
    schema.add_argument("name", nargs="?", help="a message's schema, e.g. edge.flag/1, or 'bundle'; default: list them")
    schema.set_defaults(command=_schema)
    completion = commands.add_parser("completion", help="print a script that completes commands and options in bash")
    completion.set_defaults(command=_completion)
    integration = commands.add_parser(
        "integration", help="print a SCADA tool's own file for this site's alarms, see docs/integrations.md"
    )
    integration.add_argument(
        "tool",
        choices=["ignition", "node-red", "fuxa", "mosquitto"],
        help="which tool reads it; mosquitto: the broker's access rules",
    )
    integration.add_argument("--config", type=Path, required=True, help="site.toml")
    integration.add_argument("--out", type=Path, metavar="FILE", help="write it there; default: print it")
    integration.set_defaults(command=_integration)
    return parser


def _run(options: argparse.Namespace) -> int:
    from edge.daemon import Daemon
    from edge.plan import site_bundle
    from edge.site.settings import STATES_ARE_LOST, load_site
    from edge.system.memory import one_heap, spare_sweeps
    from edge.system.realtime import make_realtime, switch_promptly

    one_heap()
    switch_promptly()
    site = load_site(options.config)
    if site.runtime.realtime_priority > 0:
        # Threads started from here inherit this: suspended with the interpreter lock, one would hold up the inference thread.
        make_realtime(priority=max(1, site.runtime.realtime_priority - 1))
    daemon = Daemon(site, site_bundle(site), reread=lambda: load_site(options.config))
    signal.signal(signal.SIGHUP, lambda *_: daemon.hang_up())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.request_stop())
    try:
        daemon.start()
        spare_sweeps()
        if site.loses_states():
            logging.getLogger("edge").warning(STATES_ARE_LOST)
        _log_ready(daemon.summary())
        daemon.wait()
    finally:
        daemon.stop()
    return EXIT_OK


def _check(options: argparse.Namespace) -> int:
    from edge.console.inspection import check_site
    from edge.console.readiness import finding_lines, readiness
    from edge.plan import site_bundle
    from edge.site.settings import load_site

    site = load_site(options.config)
    for line in check_site(site, site_bundle(site)):
        print(line)
    if not options.connect:
        return EXIT_OK
    findings = list(readiness(site))
    print("\n".join(["", *finding_lines(findings)]))
    return EXIT_FAILED if any(one.verdict == "FAILED" for one in findings) else EXIT_OK


def _bench(options: argparse.Namespace) -> int:
    from edge.bundle import open_bundle
    from edge.console.inspection import bench_bundle

    report = bench_bundle(
        open_bundle(options.bundle),
        seconds=options.seconds,
        fps=options.fps,
        threads=options.threads,
        provider=options.provider,
    )
    print(report.model_dump_json(indent=1) if options.json else report.text())
    return EXIT_OK


def _settings(_options: argparse.Namespace) -> int:
    from edge.site.reference import reference_markdown

    print(reference_markdown(), end="")
    return EXIT_OK


def _schema(options: argparse.Namespace) -> int:
    from edge.manifest import manifest_schema
    from edge.wire.messages import json_schemas

    schemas = {"bundle": manifest_schema()} | json_schemas()
    if options.name is None:
        print("\n".join(schemas))
        return EXIT_OK
    if options.name not in schemas:
        raise ConfigError(f"no schema {options.name!r}; there are {', '.join(schemas)}")
    print(json.dumps(schemas[options.name], indent=1))
    return EXIT_OK


def _completion(_options: argparse.Namespace) -> int:
    from edge.system.completion import bash_completion

    print(bash_completion(_parser()), end="")
    return EXIT_OK


def _integration(options: argparse.Namespace) -> int:
    from edge.integrations.fuxa import fuxa_project
    from edge.integrations.ignition import ignition_tags
    from edge.integrations.mosquitto import access_rules
    from edge.integrations.node_red import node_red_flow
    from edge.integrations.plan import SiteTags, site_tags
    from edge.plan import site_bundle
    from edge.site.settings import load_site

    tools: dict[str, Callable[[SiteTags], object]] = {
        "ignition": ignition_tags,
        "node-red": node_red_flow,
        "fuxa": fuxa_project,
    }
    site = load_site(options.config, recording=options.tool == "mosquitto")  # the first rules come before a bundle
    if options.tool == "mosquitto":
        text = access_rules(site)
    else:
        bundle = site_bundle(site)
        tags = site_tags(site, None if bundle is None else bundle.manifest)
        text = json.dumps(tools[options.tool](tags), indent=1) + "\n"
    if options.out is None:
        print(text, end="")
        return EXIT_OK
    write_file(options.out, text.encode())
    return EXIT_OK


def _log_ready(summary: str) -> None:
    logging.getLogger("edge").info("ready: %s", summary)


if __name__ == "__main__":
    sys.exit(main())

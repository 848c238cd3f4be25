"""`edge-daemon`: parse the command line, and run, check, measure, or talk to a daemon that runs.

Imports happen inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import BundleError, ConfigError, EdgeError

if TYPE_CHECKING:
    from edge.client import Client

CLIENT_VERBS = {  # verb: what it does, whether it is about one alarm
    "ack": ("acknowledge an alarm", True),
    "reset": ("release a latched alarm whose condition is gone", True),
    "shelve": ("hide an alarm for a while", True),
    "unshelve": ("show a shelved alarm again", True),
    "out_of_service": ("take an alarm out of service, for maintenance", True),
    "in_service": ("put an alarm back into service", True),
    "suppress": ("suppress an alarm by design", True),
    "unsuppress": ("end the suppression by design", True),
    "explain": ("have a standing alarm put into a sentence, and show it", True),
    "rebirth": ("have the daemon say its state, alarms and flags again", False),
    "snapshot": ("have the daemon send a camera's newest picture, if its site file allows it", False),
    "reload": ("have the daemon read its site file again, or try another bundle", False),
    "replay": ("have the daemon say the journal's window again, as history", False),
}
EXIT_OK, EXIT_FAILED, EXIT_CONFIG, EXIT_BUNDLE = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 fine, 1 failed, 2 the configuration is wrong, 3 the bundle may not go live."""
    options = _parser().parse_args(arguments)
    level = options.log or ("warning" if options.command in {_alarms, _command} else "info")
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
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
        "--log",
        choices=["debug", "info", "warning", "error"],
        help="what is logged to standard error; default: info, for the client commands warning",
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
    _add_client(commands)
    settings = commands.add_parser("settings", help="print the reference of all settings as Markdown")
    settings.set_defaults(command=_settings)
    schema = commands.add_parser("schema", help="print a JSON Schema")
    schema.add_argument("name", nargs="?", help="a message's schema, e.g. edge.flag/1, or 'bundle'; default: list them")
    schema.set_defaults(command=_schema)
    integration = commands.add_parser(
        "integration", help="print a SCADA tool's own file for this site's alarms, see docs/integrations.md"
    )
    integration.add_argument("tool", choices=["ignition", "node-red", "fuxa"], help="which tool reads it")
    integration.add_argument("--config", type=Path, required=True, help="site.toml")
    integration.add_argument("--out", type=Path, metavar="FILE", help="write it there; default: print it")
    integration.set_defaults(command=_integration)
    return parser


def _add_client(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands of `edge.client`: see docs/alarm-client.md."""
    where = argparse.ArgumentParser(add_help=False)
    node = where.add_argument_group("which daemon, over which broker")
    node.add_argument("--config", type=Path, help="its site.toml; or else:")
    node.add_argument("--broker", default="127.0.0.1:1883", metavar="HOST[:PORT]", help="default: %(default)s")
    node.add_argument("--node", help="its node.id")
    node.add_argument("--root", default="edge/v1", help="first part of its topics; default: %(default)s")
    node.add_argument("--username", help="user name at the broker; also over --config")
    node.add_argument("--password-file", type=Path, help="file holding the password; also over --config")
    node.add_argument("--ca-file", type=Path, help="authority of the broker's certificate: TLS")
    node.add_argument("--cert-file", type=Path, help="our certificate (mTLS)")
    node.add_argument("--key-file", type=Path, help="our key (mTLS)")
    alarms = commands.add_parser("alarms", parents=[where], help="show the alarms of a running daemon")
    alarms.add_argument(
        "--stats", action="store_true", help="also how well the alarm system does, from the next heartbeat"
    )
    alarms.add_argument("--json", action="store_true", help="print JSON")
    alarms.set_defaults(command=_alarms)
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("alarm", metavar="ALARM", help="alarm id, see `alarms`")
    said = argparse.ArgumentParser(add_help=False)
    said.add_argument("--user", help="who asks; default: who is logged in")
    said.add_argument("--reason", default="", help="goes into the journal; needed to shelve and to take out of service")
    for verb, (about, needs_alarm) in CLIENT_VERBS.items():
        parents = [where, said, one] if needs_alarm else [where, said]
        parser = commands.add_parser(verb.replace("_", "-"), parents=parents, help=about)
        parser.set_defaults(command=_command, verb=verb)
        if verb == "ack":
            parser.add_argument("--occurrence", help="occurrence id that is meant; default: the one that is shown now")
        if verb == "reload":
            parser.add_argument(
                "--bundle",
                metavar="NAME",
                help="another bundle, until the next restart: a folder beside the site file's own",
            )
        if verb == "snapshot":
            what = parser.add_mutually_exclusive_group(required=True)
            what.add_argument("--camera", help="whose picture")
            what.add_argument("--alarm", help="picture of the camera that this alarm is about")
            parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the picture")
        if verb == "shelve":
            length = parser.add_mutually_exclusive_group(required=True)
            length.add_argument("--for", dest="duration", metavar="30m", help="for how long: 90s, 30m, 8h")
            length.add_argument("--one-shot", action="store_true", help="until the alarm returns")


def _run(options: argparse.Namespace) -> int:
    from edge.bundle import open_bundle
    from edge.daemon import Daemon
    from edge.realtime import make_realtime, one_heap, spare_sweeps
    from edge.settings import FORGETS, load_site

    one_heap()
    site = load_site(options.config)
    if site.runtime.realtime_priority > 0:
        # Threads started from here inherit this: suspended with the interpreter lock, one would hold up the inference thread.
        make_realtime(priority=max(1, site.runtime.realtime_priority - 1))
    daemon = Daemon(site, open_bundle(site.bundle), reread=lambda: load_site(options.config))
    signal.signal(signal.SIGHUP, lambda *_: daemon.hang_up())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.request_stop())
    try:
        daemon.start()
        spare_sweeps()
        if site.forgets():
            logging.getLogger("edge").warning(FORGETS)
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


def _integration(options: argparse.Namespace) -> int:
    from edge.bundle import open_bundle
    from edge.integrations.fuxa import fuxa_project
    from edge.integrations.ignition import ignition_tags
    from edge.integrations.node_red import node_red_flow
    from edge.integrations.plan import Plan, plan_for
    from edge.settings import load_site

    tools: dict[str, Callable[[Plan], object]] = {
        "ignition": ignition_tags,
        "node-red": node_red_flow,
        "fuxa": fuxa_project,
    }
    site = load_site(options.config)
    text = json.dumps(tools[options.tool](plan_for(site, open_bundle(site.bundle).manifest)), indent=1) + "\n"
    if options.out is None:
        print(text, end="")
        return EXIT_OK
    _write(options.out, text.encode())
    return EXIT_OK


def _client(options: argparse.Namespace) -> Client:
    """The connection that the options ask for."""
    from edge.client import Client
    from edge.sections import BrokerSettings
    from edge.settings import load_site

    given: dict[str, object] = {"username": options.username, "password_file": options.password_file}
    if options.config is not None:
        site = load_site(options.config)
        broker = site.broker.model_copy(update={key: value for key, value in given.items() if value is not None})
        return Client(broker, site.prefix())
    if options.node is None:
        raise ConfigError("say which daemon: --config site.toml, or --node (and --broker, --root)")
    host, _, port = options.broker.rpartition(":") if ":" in options.broker else (options.broker, "", "1883")
    if not port.isdigit():
        raise ConfigError(f"--broker {options.broker}: say HOST or HOST:PORT")
    if options.ca_file is not None:
        given["tls"] = {"ca_file": options.ca_file, "cert_file": options.cert_file, "key_file": options.key_file}
    broker = BrokerSettings.model_validate({"host": host, "port": int(port), "root": options.root} | given)
    return Client(broker, f"{options.root}/{options.node}")


def _alarms(options: argparse.Namespace) -> int:
    from edge.client import alarm_lines, stats_lines

    with _client(options) as client:
        state, alarms = client.state(), client.alarms()
        heartbeat = client.heartbeat() if options.stats else None
    if options.json:
        print(json.dumps({"state": state, "alarms": alarms, "heartbeat": heartbeat}, indent=1))
        return EXIT_OK
    print("\n".join(alarm_lines(state, alarms)))
    if heartbeat is not None:
        print("\n".join(["", *stats_lines(heartbeat)]))
    return EXIT_OK


def _command(options: argparse.Namespace) -> int:
    from edge.client import outcome_line, parse_duration_s
    from edge.command import Verb

    verb = Verb(options.verb)
    duration = getattr(options, "duration", None)
    duration_s = None if duration is None else parse_duration_s(duration)
    out: Path | None = getattr(options, "out", None)
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"cannot write {out}: there is no folder {out.absolute().parent}")
    with _client(options) as client:
        reply = client.command(
            verb,
            user=options.user or _who(),
            comment=options.reason,
            alarm_id=getattr(options, "alarm", None),
            occurrence_id=getattr(options, "occurrence", None),
            duration_s=duration_s,
            one_shot=getattr(options, "one_shot", False),
            camera=getattr(options, "camera", None),
            bundle=getattr(options, "bundle", None),
        )
        if reply["snapshot"] is not None and out is not None:
            _write(out, client.picture(reply["snapshot"]))
        print(outcome_line(verb, reply))
        if verb is Verb.EXPLAIN and reply["ok"]:
            print(client.explanation(options.alarm)["text"])
    return EXIT_OK if reply["ok"] else EXIT_FAILED


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error


def _who() -> str:
    """Who is logged in; a container's user may have a number and no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"uid {os.getuid()}"


def _log_ready(summary: str) -> None:
    logging.getLogger("edge").info("ready: %s", summary)


if __name__ == "__main__":
    sys.exit(main())

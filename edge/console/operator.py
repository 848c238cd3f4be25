"""The operator's commands: what the command line of a node's client looks like, and what each command of it does.

Imports happen inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from edge.console.exits import EXIT_FAILED, EXIT_OK
from edge.errors import ConfigError, EdgeError
from edge.wire.verbs import VERBS, Verb

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for what add_subparsers returns


def add_operator_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add `alarms`, `show` and every verb; see docs/alarm-client.md."""
    where = _where()
    alarms = commands.add_parser("alarms", parents=[where], help="show the alarms of a running daemon")
    alarms.add_argument("--all", action="store_true", help="also those that are normal")
    alarms.add_argument(
        "--stats", action="store_true", help="also how well the alarm system does, from the next heartbeat"
    )
    alarms.add_argument("--json", action="store_true", help="print JSON, with all alarms")
    alarms.set_defaults(command=_alarms)
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("alarm", metavar="ALARM", help="alarm id, see `alarms`")
    show = commands.add_parser("show", parents=[where, one], help="show one alarm with all that is known of it")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(command=_show)
    who = argparse.ArgumentParser(add_help=False)
    who.add_argument("--user", help="who asks; default: who is logged in")
    who.add_argument("--reason", default="", help="goes into the journal; needed to shelve and to take out of service")
    for verb, info in VERBS.items():
        parents = [where, who] if info.about == "node" else [where, who, one]
        parser = commands.add_parser(verb.replace("_", "-"), parents=parents, help=info.does)
        parser.set_defaults(command=_command, verb=verb)
        _add_verb_options(verb, parser)


def _where() -> argparse.ArgumentParser:
    """Which daemon, over which broker; see `edge.console.address`."""
    where = argparse.ArgumentParser(add_help=False)
    node = where.add_argument_group("which daemon, over which broker; each option overrides --config")
    node.add_argument("--config", type=Path, help="its site.toml; or else:")
    node.add_argument("--broker", metavar="HOST[:PORT]", help="default: 127.0.0.1:1883")
    node.add_argument("--node", help="its node.id")
    node.add_argument("--root", help="first part of its topics; default: edge/v1")
    node.add_argument("--username", help="user name at the broker")
    node.add_argument("--password-file", type=Path, help="file holding the password")
    node.add_argument("--ca-file", type=Path, help="authority of the broker's certificate: TLS")
    node.add_argument("--cert-file", type=Path, help="our certificate (mTLS)")
    node.add_argument("--key-file", type=Path, help="our key (mTLS)")
    return where


def _add_verb_options(verb: Verb, parser: argparse.ArgumentParser) -> None:
    if verb is Verb.ACK:
        parser.add_argument("--occurrence", help="occurrence id that is meant; default: the one that is shown now")
        label = parser.add_mutually_exclusive_group()
        label.add_argument(
            "--true", dest="valid", action="store_const", const=True, help="the fault was there; kept as a label"
        )
        label.add_argument(
            "--false", dest="valid", action="store_const", const=False, help="it was a false alarm; kept as a label"
        )
    if verb is Verb.RELOAD:
        parser.add_argument(
            "--bundle",
            metavar="NAME",
            help="another bundle, until the next restart: a folder beside the site file's own",
        )
        parser.add_argument(
            "--weaker",
            metavar="FAULT",
            action="append",
            default=[],
            help="a fault of the bundle that may be watched less closely than now (gone, disarmed, a higher threshold); may be repeated",
        )
    if verb is Verb.SNAPSHOT:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--camera", help="whose picture")
        what.add_argument("--alarm", help="picture of the camera that this alarm is about")
        parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the picture")
    if verb is Verb.INSPECT:
        parser.add_argument("--camera", help="what sees the part; default: the only camera")
        parser.add_argument("--part", help="the part's id")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
    if verb is Verb.PROFILE:
        parser.add_argument("profile", metavar="PROFILE", help="id of the profile, or what the plant calls it")
    if verb is Verb.SHELVE:
        length = parser.add_mutually_exclusive_group(required=True)
        length.add_argument("--for", dest="duration", metavar="30m", help="for how long: 90s, 30m, 8h")
        length.add_argument("--one-shot", action="store_true", help="until the alarm returns")


def _alarms(options: argparse.Namespace) -> int:
    from edge.console.address import connect
    from edge.console.view import alarm_lines, stats_lines

    with connect(options) as client:
        state, alarms, hidden = client.state(), client.alarms(), client.hidden()
        heartbeat = client.heartbeat() if options.stats else None
    if options.json:
        print(json.dumps({"state": state, "alarms": alarms, "heartbeat": heartbeat}, indent=1))
    else:
        print("\n".join(alarm_lines(state, alarms, datetime.now(UTC), everything=options.all)))
    if heartbeat is not None and not options.json:
        print("\n".join(["", *stats_lines(heartbeat)]))
    return _warn_of(hidden)


def _show(options: argparse.Namespace) -> int:
    from edge.console.address import connect
    from edge.console.view import alarm_details

    with connect(options) as client:
        found = [alarm for alarm in client.alarms() if alarm["id"] == options.alarm]
        hidden = client.hidden()
    if not found:
        raise EdgeError(f"no alarm {options.alarm!r}; `alarms --all` lists them" + (f" ({hidden})" if hidden else ""))
    print(json.dumps(found[0], indent=1) if options.json else "\n".join(alarm_details(found[0], datetime.now(UTC))))
    return EXIT_OK


def _warn_of(hidden: str | None) -> int:
    """An incomplete list is no answer: name what is missing, and fail."""
    if hidden is None:
        return EXIT_OK
    print(
        f"failed: this list is not complete: {hidden}. The broker's access rules hide it from this account, or it lost it: "
        "use an account that may read it (--cert-file and --key-file, or --username), or ask the daemon with `rebirth`",
        file=sys.stderr,
    )
    return EXIT_FAILED


def _command(options: argparse.Namespace) -> int:
    from edge.console.address import connect
    from edge.console.view import fault_lines, outcome_line, parse_duration_s

    verb: Verb = options.verb
    duration = getattr(options, "duration", None)
    duration_s = None if duration is None else parse_duration_s(duration)
    out: Path | None = getattr(options, "out", None)
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"cannot write {out}: there is no folder {out.absolute().parent}")
    with connect(options) as client:
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
            weaker=tuple(getattr(options, "weaker", ())),
            valid=getattr(options, "valid", None),
            part=getattr(options, "part", None),
            profile=getattr(options, "profile", None),
        )
        if reply["snapshot"] is not None and out is not None:
            write_file(out, client.picture(reply["snapshot"]))
        if reply.get("inspection") is not None and options.json:
            print(json.dumps(reply["inspection"], indent=1))
        else:
            print("\n".join([outcome_line(verb, reply), *fault_lines(reply)]))
        if verb is Verb.EXPLAIN and reply["ok"]:
            print(client.explanation(options.alarm)["text"])
    return EXIT_OK if reply["ok"] else EXIT_FAILED


def write_file(file: Path, content: bytes) -> None:
    """Write a file that the user asked for.

    Raises:
        ConfigError: it cannot be written.
    """
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

"""`history`, `evidence` and `backup`: what the device's own state folder holds, read on the device, whether or not the daemon runs.

Imports happen inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge.console.exits import EXIT_OK
from edge.errors import ConfigError

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for what add_subparsers returns


def add_record_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add `history`, `evidence` and `backup`."""
    where = argparse.ArgumentParser(add_help=False)
    folder = where.add_mutually_exclusive_group(required=True)
    folder.add_argument("--config", type=Path, help="the device's site.toml, for its node.state_dir")
    folder.add_argument("--state-dir", type=Path, metavar="DIR", help="the state folder itself, or a backup of it")
    history = commands.add_parser("history", parents=[where], help="show the events that the device's journal holds")
    history.add_argument(
        "--since", metavar="2h", help="only newer ones: 90s, 30m, 2h, 7d ago, or a time as the events show it"
    )
    history.add_argument(
        "--labels", action="store_true", help="operators' labels of alarms, true or false, in place of events"
    )
    form = history.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument("--json", action="store_true", help="print JSON")
    history.set_defaults(command=_history)
    evidence = commands.add_parser(
        "evidence", parents=[where], help="list what is kept around alarms, or fetch it as a zip"
    )
    evidence.add_argument(
        "alarm",
        nargs="?",
        metavar="ALARM",
        help="alarm id, for its newest occurrence, or an occurrence id; none: list all",
    )
    evidence.add_argument(
        "--out", type=Path, metavar="FILE", help="zip to write; default: the alarm's id with .zip, here"
    )
    evidence.add_argument("--json", action="store_true", help="print the list as JSON")
    evidence.set_defaults(command=_evidence)
    backup = commands.add_parser("backup", parents=[where], help="copy the state folder while the daemon runs")
    backup.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    backup.set_defaults(command=_backup)


def _history(options: argparse.Namespace) -> int:
    from edge.alarm.labels import KEPT_LABEL
    from edge.console.view import event_csv, event_lines, label_csv, label_lines
    from edge.publish.backup import events_of, kept_of

    since = None if options.since is None else moment(options.since, datetime.now(UTC))
    folder = _state_dir(options)
    found, when = (
        (list(kept_of(folder, KEPT_LABEL).values()), "raised") if options.labels else (events_of(folder), "ts")
    )
    shown = [item for item in found if since is None or _time(item[when]) >= since]
    if options.json:
        print(json.dumps(shown, indent=1))
    elif options.csv:
        print((label_csv if options.labels else event_csv)(shown), end="")
    else:
        print("\n".join((label_lines if options.labels else event_lines)(shown)))
    return EXIT_OK


def _evidence(options: argparse.Namespace) -> int:
    from edge.evidence.archive import FOLDER, find, recordings
    from edge.evidence.export import as_json, listing, write_zip

    folder = _state_dir(options) / FOLDER
    if options.alarm is None:
        found = list(recordings(folder))
        print(as_json(found) if options.json else listing(found))
        return EXIT_OK
    out = options.out or Path(f"{options.alarm}.zip")
    write_zip(find(folder, options.alarm), out)
    print(f"evidence: {out}")
    return EXIT_OK


def _backup(options: argparse.Namespace) -> int:
    from edge.publish.backup import back_up

    back_up(_state_dir(options), options.out)
    print(f"backup: {options.out}")
    return EXIT_OK


def moment(text: str, now: datetime) -> datetime:
    """A moment in the past: a duration before now, or a time; without a zone it is UTC.

    Raises:
        ConfigError: it is neither.
    """
    from edge.console.view import parse_duration_s

    try:
        return _time(text)
    except ValueError:
        pass
    try:
        return now - timedelta(seconds=parse_duration_s(text))
    except (ConfigError, OverflowError) as error:
        raise ConfigError(f"--since {text}: write for example 30m, 2h, 7d, or 2026-11-30T08:00:00Z") from error


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _state_dir(options: argparse.Namespace) -> Path:
    from edge.site.settings import load_site

    if options.state_dir is not None:
        folder: Path = options.state_dir
        return folder
    site = load_site(options.config)
    if site.node.state_dir is None:
        raise ConfigError(
            f"{options.config} names no node.state_dir; where systemd made the folder, pass --state-dir /var/lib/edge-daemon"
        )
    return site.node.state_dir

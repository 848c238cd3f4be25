"""`edge-page`: serves the operators' page, or changes who may sign in; a process of its own without rights on the daemon."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.console.exits import EXIT_OK, status_of
from edge.errors import ConfigError
from edge.system.logs import add_log_options, set_up
from edge.system.version import ShowVersion

ROLES = ("read-only", "operator", "engineer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 fine, 1 failed, 2 the configuration is wrong."""
    options = _parser().parse_args(arguments)
    set_up(options.log or "info", options.log_format)
    return status_of(options.command, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-page",
        description="The operators' page: alarms, flags, evidence and history of a site, in a browser.",
    )
    parser.add_argument("--version", action=ShowVersion, help="print the version and end")
    add_log_options(parser, default="info")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--config", type=Path, required=True, help="page.toml")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", parents=[where], help="serve the page until stopped")
    run.set_defaults(command=_run)
    check = commands.add_parser("check", parents=[where], help="read page.toml and the users, and say what is wrong")
    check.set_defaults(command=_check)
    user = commands.add_parser("user", help="change who may sign in")
    verbs = user.add_subparsers(required=True, metavar="WHAT")
    add = verbs.add_parser("add", parents=[where], help="add a user, or give one another password or role")
    add.add_argument("name", metavar="NAME", help="letters, digits, . _ @ -")
    add.add_argument("--role", choices=ROLES, required=True, help="what the user may do")
    add.add_argument("--password-file", type=Path, help="file holding the password; default: ask, or read a pipe")
    add.set_defaults(command=_add)
    remove = verbs.add_parser("remove", parents=[where], help="take a user away; a session of his ends at once")
    remove.add_argument("name", metavar="NAME", help="see `user list`")
    remove.set_defaults(command=_remove)
    listed = verbs.add_parser("list", parents=[where], help="show names and roles")
    listed.set_defaults(command=_list)
    return parser


def _run(options: argparse.Namespace) -> int:
    try:
        from edge.page.server import run
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: install the extra `page`") from error
    from edge.page.settings import load_page
    from edge.system.memory import one_heap

    one_heap()
    run(load_page(options.config))
    return EXIT_OK


def _check(options: argparse.Namespace) -> int:
    from edge.page.settings import load_page
    from edge.page.users import read_users

    settings = load_page(options.config)
    users = read_users(settings.users_file)
    print(f"page.toml is fine: {len(users)} users, nodes {', '.join(settings.nodes) or 'all'}")
    if settings.workshop is not None:
        from edge.page.workshop import Workshop

        workshop = Workshop(settings.workshop)
        for one in workshop.sorting.progress():
            print(f"source {one['id']}: {one['why'] or '{pictures} pictures, {sorted} sorted'.format(**one)}")
        print(f"builds: {workshop.obstacle() or 'possible here'}")
    return EXIT_OK


def _add(options: argparse.Namespace) -> int:
    from edge.page.settings import load_page
    from edge.page.users import NAME, Role, User, hashed, read_users, refuse_password, write_users

    path = load_page(options.config).users_file
    if NAME.fullmatch(options.name) is None:
        raise ConfigError(f"{options.name!r} is no name: letters, digits, . _ @ - and at most 64 of them")
    users = read_users(path) if path.exists() else {}
    password = _password(options)
    refuse_password(password, options.name)
    users[options.name] = User(options.name, Role(options.role), hashed(password))
    write_users(path, users)
    print(f"{options.name} may sign in as {options.role}")
    return EXIT_OK


def _remove(options: argparse.Namespace) -> int:
    from edge.page.settings import load_page
    from edge.page.users import read_users, write_users

    path = load_page(options.config).users_file
    users = read_users(path)
    if users.pop(options.name, None) is None:
        raise ConfigError(f"there is no user {options.name}; there are: {', '.join(sorted(users)) or 'none'}")
    write_users(path, users)
    print(f"{options.name} may not sign in any more")
    return EXIT_OK


def _list(options: argparse.Namespace) -> int:
    from edge.page.settings import load_page
    from edge.page.users import read_users

    for user in read_users(load_page(options.config).users_file).values():
        print(f"{user.name}\t{user.role}")
    return EXIT_OK


def _password(options: argparse.Namespace) -> str:
    from edge.broker.credentials import secret_text

    if options.password_file is not None:
        return secret_text(options.password_file, "--password-file")
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("password: ")
    if getpass.getpass("again: ") != first:
        raise ConfigError("the two passwords differ")
    return first


if __name__ == "__main__":
    sys.exit(main())

"""`edge-camera`: brings one camera's pictures to the broker, or looks at what an address gives; a process of its own for each camera."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.console.exits import EXIT_OK, status_of
from edge.errors import ConfigError, EdgeError
from edge.system.logs import add_log_options, set_up
from edge.system.version import ShowVersion

if TYPE_CHECKING:
    from edge.site.source import SourceSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 fine, 1 failed, 2 the configuration is wrong."""
    options = _parser().parse_args(arguments)
    set_up(options.log or "info", options.log_format)
    return status_of(options.command, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-camera",
        description="Brings the pictures of one camera to the broker: the newest one only, for edge-daemon to judge.",
    )
    parser.add_argument("--version", action=ShowVersion, help="print the version and end")
    add_log_options(parser, default="info")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="publish the pictures of one camera until stopped")
    run.add_argument("camera", help="id of the camera in the site file; it needs a table [cameras.source] there")
    run.add_argument("--config", type=Path, required=True, help="site.toml")
    run.set_defaults(command=_run)
    probe = commands.add_parser("probe", help="look at what an address gives, and print its block for the site file")
    probe.add_argument("url", help="e.g. rtsp://camera1/stream, without user and password")
    probe.add_argument("--id", default="cam1", help="id of the camera in the block; default: %(default)s")
    probe.add_argument("--username", help="user name, if the camera wants one")
    probe.add_argument("--password-file", type=Path, help="file holding the password; must not be readable by others")
    probe.add_argument("--ca-file", type=Path, help="PEM file of the authority that signed the camera's certificate")
    probe.add_argument("--transport", choices=["tcp", "udp"], help="how RTSP carries pictures; default: tcp")
    probe.add_argument("--video-size", help="size to ask a USB camera for, e.g. 1920x1080")
    probe.add_argument("--seconds", type=float, default=3.0, help="how long to look; default: %(default)s")
    probe.set_defaults(command=_probe)
    return parser


def _run(options: argparse.Namespace) -> int:
    from edge.camera.process import CameraProcess
    from edge.site.settings import load_site
    from edge.system.memory import one_heap

    one_heap()
    process = CameraProcess(load_site(options.config, recording=True), options.camera)  # pictures come before a bundle
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.request_stop())
    process.run()
    return EXIT_OK


def _probed(options: argparse.Namespace) -> SourceSettings:
    """The source that the options describe.

    Raises:
        ConfigError: it cannot be opened like that; the text holds nothing of the address.
    """
    from pydantic import TypeAdapter, ValidationError

    from edge.site.kinds import Identifier
    from edge.site.source import SourceSettings

    names = ("url", "username", "password_file", "ca_file", "transport", "video_size")
    given = {name: getattr(options, name) for name in names}
    absolute = {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in given.items()}
    try:
        TypeAdapter(Identifier).validate_python(options.id)
        return SourceSettings.model_validate({name: value for name, value in absolute.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(
            "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors(include_input=False))
        ) from None


def _probe(options: argparse.Namespace) -> int:
    from edge.camera.probe import block, look
    from edge.camera.shot import SourceFailed
    from edge.camera.sources import source_of
    from edge.frame import MAX_BYTES
    from edge.wire.camera import TROUBLE_TEXTS

    source = _probed(options)
    try:
        found = look(source_of(source, MAX_BYTES, None), source.quality, options.seconds)
    except SourceFailed as error:
        raise EdgeError(f"{TROUBLE_TEXTS[error.trouble]} ({error})") from error
    for line in block(options.id, source, found):
        print(line)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())

"""`record`: pictures and readings of a site to files, for a plant that has no bundle yet.

Imports happen inside the command, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from edge.console.exits import EXIT_FAILED, EXIT_OK
from edge.errors import ConfigError

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for what add_subparsers returns


def add_recording_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add `record`."""
    record = commands.add_parser("record", help="write what cameras and sensors send to a folder; needs no bundle")
    record.add_argument("--config", type=Path, required=True, help="site.toml; it may leave out `bundle` and faults")
    record.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder; a sub-folder for each camera, and readings"
    )
    record.add_argument(
        "--camera", action="append", metavar="ID", help="only this camera; may be repeated; default: all"
    )
    record.add_argument(
        "--every", default="2s", metavar="2s", help="at most one picture of a camera in so long; default: %(default)s"
    )
    record.add_argument(
        "--novelty", type=float, default=1.0, metavar="N",
        help="least mean difference of a picture from the last kept one, of 255; 0 keeps whatever is no exact copy; default: %(default)s",
    )  # fmt: skip
    record.add_argument(
        "--max-mb",
        type=int,
        default=2000,
        metavar="N",
        help="of each camera, and of readings, MB; default: %(default)s",
    )
    record.add_argument(
        "--regions",
        action="store_true",
        help="of a camera with regions, keep a crop for each of them, as PNG, in place of the picture",
    )
    record.add_argument(
        "--format",
        choices=("csv", "parquet"),
        default="csv",
        help="of the readings; Parquet needs the extra `record`, and an hour becomes Parquet when it is over; default: %(default)s",
    )
    record.add_argument("--for", dest="duration", metavar="8h", help="end after so long; default: until stopped")
    record.set_defaults(command=_record)


def _record(options: argparse.Namespace) -> int:
    from edge.console.view import parse_duration_s
    from edge.record import parquet
    from edge.record.pictures import Choice
    from edge.record.recorder import Recorder
    from edge.site.settings import load_site
    from edge.units import NS_PER_S

    site = load_site(options.config, recording=True)
    if options.camera is not None:
        unknown = set(options.camera) - {camera.id for camera in site.cameras}
        if unknown:
            raise ConfigError(
                f"no camera {min(unknown)!r} in {options.config}; there are {[camera.id for camera in site.cameras]}"
            )
        site = site.model_copy(update={"cameras": tuple(one for one in site.cameras if one.id in options.camera)})
    if options.max_mb < 1 or options.novelty < 0:
        raise ConfigError("--max-mb must be at least 1, and --novelty not negative")
    if options.format == "parquet" and (why := parquet.obstacle()) is not None:
        raise ConfigError(why)
    every_s = parse_duration_s(options.every)
    duration_s = None if options.duration is None else parse_duration_s(options.duration)
    recorder = Recorder(
        site,
        options.out,
        Choice(round(every_s * NS_PER_S), options.novelty, options.max_mb * 1_000_000),
        regions=options.regions,
        finish=parquet.of_csv if options.format == "parquet" else None,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    recorder.run(stop, duration_s, lambda lines: print("; ".join(lines), file=sys.stderr, flush=True))
    print("\n".join(recorder.summary()))
    return EXIT_OK if recorder.kept_something else EXIT_FAILED

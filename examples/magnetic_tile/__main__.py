"""Real parts, from recipe to flags: export a bundle for magnetic tiles, replay tiles it never saw through Mosquitto, say how good it is.

Run from the repository root: ``python -m examples.magnetic_tile``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.board import machine_facts
from edge.bundle import open_bundle
from examples.magnetic_tile import findings, pictures
from examples.magnetic_tile.pictures import Picture
from examples.magnetic_tile.replay import replay

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples" / "recipes" / "magnetic_tile.toml"
RECIPE_DATA = "${EDGE_DATA}/magnetic_tile/open"
RECIPE_CHECKPOINT = '"../checkpoint/siglip-line-tiny"'


def main() -> int:
    """Export (unless a bundle is given), replay, report."""
    options = _parser().parse_args()
    data = options.data or Path(os.environ.get("EDGE_DATA", "../shared/data")) / "magnetic_tile" / "open"
    if not data.is_dir():
        raise SystemExit(f"{data} is not there: set EDGE_DATA to the folder with the real sets, or give --data")
    options.out.mkdir(parents=True, exist_ok=True)
    bundle = options.bundle or export(data, options)
    shown, fitted = choose(bundle, data, options.test_data)
    result = replay(bundle, shown, options.fps)
    manifest = open_bundle(bundle).manifest
    found = findings.findings(manifest, shown, result, findings.trivial(fitted, shown))
    again = pictures.seen(bundle, shown) if options.test_data else 0
    origin = "a separate folder" if options.test_data else "the held-out part of the export's own split"
    command = shlex.join(["python", "-m", "examples.magnetic_tile", *_shown_arguments(options)])
    lines = [
        f"`{command}` on {machine_facts().name}, load average {os.getloadavg()[0]:.1f}.",
        f"Pictures: {origin}, whole tiles left out, {options.fps:g} fps through Mosquitto.",
        *([f"WARNING: {again} of them have the names of pictures that the bundle was made with."] if again else []),
    ]
    report = findings.text(found, "Magnetic tiles: real faults through the whole path", lines)
    (options.out / "magnetic_tile.md").write_text(report + "\n![scores and ROC](magnetic_tile.png)\n", encoding="utf-8")
    (options.out / "magnetic_tile.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    findings.plot(options.out / "magnetic_tile.png", manifest, shown, result)
    print(report)
    print(f"written to {options.out}")
    return 0


def choose(bundle: Path, data: Path, test_data: Path | None) -> tuple[Sequence[Picture], Sequence[Picture]]:
    """The pictures to replay, in their order, and those that the trivial baselines may learn from."""
    here = data.resolve()
    roots = [here.parent.parent, here.parent, here, RECIPE.parent, bundle]
    if test_data is not None:
        shown = pictures.in_folder(test_data)
        fitted = pictures.in_folder(data)
    else:
        shown = pictures.held_out(bundle, roots)
        tested = {picture.file.resolve() for picture in shown}
        fitted = [picture for picture in pictures.in_folder(data) if picture.file.resolve() not in tested]
    return pictures.shuffled(shown), fitted


def export(data: Path, options: argparse.Namespace) -> Path:
    """Build the bundle with `edge-export`, as a user would; returns its folder."""
    recipe = RECIPE
    if options.data is not None or options.checkpoint is not None:
        text = RECIPE.read_text(encoding="utf-8").replace(RECIPE_DATA, data.resolve().as_posix())
        checkpoint = options.checkpoint or RECIPE.parent.parent / "checkpoint" / "siglip-line-tiny"
        recipe = options.out / "recipe.toml"
        recipe.write_text(text.replace(RECIPE_CHECKPOINT, json.dumps(str(checkpoint.resolve()))), encoding="utf-8")
    environment = os.environ | {"EDGE_DATA": str(data.resolve().parent.parent)}
    command = [sys.executable, "-m", "exporters", "build", str(recipe), "--board", options.board, "--out"]
    done = subprocess.run(
        [*command, str(options.out / "bundles")],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip().splitlines()[-1]).resolve()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.magnetic_tile", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="folder with MT_Free, MT_Crack ... to export from; default: EDGE_DATA's"
    )
    parser.add_argument(
        "--test-data", type=Path, help="folder of the same form to replay instead of the export's own held-out tiles"
    )
    parser.add_argument("--bundle", type=Path, help="a bundle exported before, instead of exporting one now")
    parser.add_argument("--checkpoint", type=Path, help="another checkpoint folder than the recipe's")
    parser.add_argument("--board", default="x86-64-avx2", help="board to export for")
    parser.add_argument("--fps", type=float, default=25.0, help="camera rate")
    parser.add_argument("--out", type=Path, default=Path("build/magnetic_tile"), help="folder for bundle and findings")
    return parser


def _shown_arguments(options: argparse.Namespace) -> list[str]:
    """The command line without folders of this machine."""
    return [
        word
        for name in ("data", "test_data", "bundle", "checkpoint")
        if getattr(options, name) is not None
        for word in (f"--{name.replace('_', '-')}", getattr(options, name).name)
    ]


if __name__ == "__main__":
    sys.exit(main())

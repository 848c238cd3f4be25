"""`edge-export distil`: trains a Lite0-sized student on a larger tower's patch features, with the site's own pictures."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from edge.errors import ConfigError
from edge.inference.preprocess import CALIBRATION, Preprocessor
from edge.manifest import InputSpec
from exporters import load
from exporters.checkpoint.folder import WEIGHTS
from exporters.model import Checkpoint, PixelSpec
from exporters.recipe import find_images
from exporters.towers import facts, learning, loaded
from exporters.towers.backbone import FrameTower
from exporters.towers.efficientnet import EfficientNet, unfolded
from exporters.towers.student import PREFIX, Shape, Student

HELD_SHARE = 0.1  # of the pictures, that the student is judged by; neighbours in name stay together
LEAST_PICTURES = 20


def distil(
    teacher: Path,
    trunk: Path,
    out: Path,
    *,
    pictures: Sequence[str],
    size: int,
    steps: int,
    seed: int,
    work: Path,
    log: Callable[[str], None],
) -> list[str]:
    """Distil, write the checkpoint's folder, and describe it, line by line.

    Args:
        teacher: folder of a pretrained tower.
        trunk: folder of an EfficientNet, whose weights the student starts from.
        out: folder to make; it must not exist.
        pictures: patterns of pictures, as in a recipe.
        size: edge of the student's frame, px.
        steps: of training.
        seed: of order and start.
        work: folder for the teacher's features and the state of a stopped run.
        log: takes a line of progress.

    Raises:
        ConfigError: the folders or pictures are not what is needed.
        ExportError: something does not load or train.
    """
    if out.exists():
        raise ConfigError(f"{out} exists; give a new folder, or remove it.")
    taught_by, seen = _tower(teacher)
    started, spec = _tower(trunk)
    tensors, variant = loaded.trunk(trunk, started.config)
    files = find_images(pictures, Path.cwd())
    if len(files) < LEAST_PICTURES:
        raise ConfigError(f"{len(files)} pictures are too few to learn from; give at least {LEAST_PICTURES}.")
    section = taught_by.config["tower"]
    layers = tuple(section["layers"])
    backbone = loaded.load(teacher, taught_by.config, seen.height, seen.width).backbone
    reads = facts.usual_layers(facts.stages(started.shapes, "efficientnet"), "efficientnet")
    shape = Shape(reads, tuple(backbone.widths()[layer] for layer in layers))
    torch.manual_seed(seed)  # the predictor starts at random
    student = Student(EfficientNet(tensors, variant, max(reads)), shape)
    depth = section.get("depth") or max(layers)
    eyes = FrameTower(backbone, seen.mean, seen.std, layers, depth=depth).eval()
    held = max(1, round(len(files) * HELD_SHARE))
    learnt = _views(files[:-held], eyes, seen, size, work)
    judged = _views(files[-held:], eyes, seen, size, work)
    log(f"{len(files) - held} pictures to learn from, {held} to judge by")
    before = learning.agreement(student, spec.mean, spec.std, judged)
    learning.learn(student, spec.mean, spec.std, learnt, steps=steps, seed=seed, state=work / "student.pt", log=log)
    after = learning.agreement(student, spec.mean, spec.std, judged)
    _write(student, started, taught_by, out, size)
    return [
        f"student of {sum(value.numel() for value in student.parameters()) / 1e6:.1f} M parameters for {size} x {size} px",
        f"cosine to the teacher's features on {held} pictures that it never learnt from: {after:.3f} ({before:.3f} before)",
    ]


def _tower(folder: Path) -> tuple[Checkpoint, PixelSpec]:
    """A tower's files, and what its frames are. Raises ConfigError for any other checkpoint."""
    checkpoint, family = load.inspect(folder)
    if not family.teaches:
        raise ConfigError(f"{folder} is no pretrained tower; make one with edge-export tower.")
    return checkpoint, family.pixels(checkpoint)


def _views(files: Sequence[Path], eyes: FrameTower, seen: PixelSpec, size: int, work: Path) -> learning.Views:
    """The pictures in the student's size, with the teacher's features of them in its own."""
    theirs = _frames(files, seen.height, seen.width)
    return learning.Views(_frames(files, size, size), learning.teach(eyes, theirs, work / "teacher"))


def _frames(files: Sequence[Path], height: int, width: int) -> NDArray[np.uint8]:
    """Pictures as the daemon makes them."""
    prepare = Preprocessor(InputSpec(name="frame", width=width, height=height, resize="stretch"), CALIBRATION)
    return np.concatenate([prepare.prepare(file.read_bytes()) for file in files])


def _write(student: Student, started: Checkpoint, teacher: Checkpoint, out: Path, size: int) -> None:
    tensors = unfolded(student.trunk)
    tensors |= {f"{PREFIX}{name}": value for name, value in student.predictor.state_dict().items()}
    taught = teacher.config["tower"].get("licence", "unknown")
    own = started.config["tower"].get("licence", "unknown")
    section = {
        "layers": [student.layers],
        "depth": student.layers,
        "licence": own if own == taught else f"{taught if taught.startswith('unverified') else own}; teacher: {taught}",
        "student": {"reads": list(student.shape.reads), "widths": list(student.shape.widths)},
    }
    config = {"architecture": started.config["architecture"], "tower": section}
    processor = {**started.preprocessor, "size": {"height": size, "width": size}}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        folder = Path(scratch) / out.name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1) + "\n", encoding="utf-8")
        save_file(
            {name: value.contiguous() for name, value in tensors.items()}, folder / WEIGHTS, metadata={"format": "pt"}
        )
        notice = f"A student: {started.folder.name} trained on to give the patch features of {teacher.folder.name}.\n"
        for source in (started, teacher):
            file = source.folder / "NOTICE"
            notice += file.read_text(encoding="utf-8") if file.is_file() else ""
        (folder / "NOTICE").write_text(notice, encoding="utf-8")
        folder.rename(out)

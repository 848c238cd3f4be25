"""Trains words for the locked Lite0 tower: ``python -m examples.training.lite0.train --out CHECKPOINT``. Resumes where it stopped."""

from __future__ import annotations

import argparse
import json
import math
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from examples.training.common.prepare import prepare
from examples.training.common.run import Run, ahead, learning_rate
from examples.training.common.samples import Row
from examples.training.common.words import CONCEPTS
from examples.training.lite0 import places
from examples.training.lite0.batches import CAPTIONS, MIXTURE, Batch, Batches, kept_caption, learnt_from
from examples.training.lite0.features import EDGE, GROUPS, Features, keep, read_tower, see
from examples.training.lite0.model import Trainee, total
from examples.training.lite0.phrases import TRAINED, Bank, Vectors
from exporters.towers.backbone import FrameTower
from exporters.towers.words import FILE, Sizes, TextSide, text_folder

COUNTS = {"line": 5000, "zoom": 500, "ground": 500}
TOWER = Path(__file__).parents[2] / "towers" / "efficientnet-lite0"
HIDDEN, WIDTH, TEXT = 96, 256, 384
PLACES_RATE = 3e-3
COPIED = ("model.safetensors", "preprocessor_config.json", "LICENSE", "NOTICE")
_PROJECTIONS_NOTICE = "Added: projections to words (words.safetensors), trained in this project, Apache-2.0.\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the command line decides."""

    out: Path
    work: Path
    tower: Path
    epochs: int
    steps: int
    seed: int
    batch: int
    rate: float
    scale: float
    processes: int
    left_out: frozenset[str]


def sizes_of(tower: FrameTower, queries: int) -> Sizes:
    """The form of the image side on a tower."""
    pooled, groups = see(tower, np.zeros((1, EDGE, EDGE, 3), np.uint8))
    return Sizes(
        pooled=int(pooled.shape[1]), groups=GROUPS, widths=tuple(int(group.shape[1]) for group in groups),
        hidden=HIDDEN, queries=queries, width=WIDTH, text=TEXT,
    )  # fmt: skip


def write_checkpoint(tower: Path, model: Trainee, sizes: Sizes, out: Path) -> None:
    """The tower's folder with words: its own files, the projections, and a section of config.json that gives their form."""
    out.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.copyfile(tower / name, out / name)
    (out / "NOTICE").write_text((tower / "NOTICE").read_text(encoding="utf-8") + _PROJECTIONS_NOTICE, encoding="utf-8")
    config = json.loads((tower / "config.json").read_text())
    config["tower"]["words"] = asdict(sizes)
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    tensors = {name: value.detach().contiguous() for name, value in model.projections.state_dict().items()}
    save_file({name: value.half() if value.ndim > 1 else value for name, value in tensors.items()}, out / FILE)


class WordsRun(Run):
    """The second stage, and what trains it. Its progress is counted in steps, so that a loaded machine trains the same."""

    def __init__(self, plan: Plan, sizes: Sizes) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.sizes = plan, sizes
        self.model = Trainee(sizes)
        matrices = [parameter for parameter in self.model.second_stage() if parameter.ndim > 1]
        others = [parameter for parameter in self.model.second_stage() if parameter.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
        super().__init__(plan.work, math.inf, 240.0, self.model, [torch.optim.AdamW(groups, plan.rate)])

    @property
    def progress(self) -> float:
        """Share 0..1 of the steps that are done."""
        return min(1.0, self.step / self.plan.steps)

    def export(self) -> None:
        """Write the checkpoint folder."""
        write_checkpoint(self.plan.tower, self.model, self.sizes, self.plan.out)


def train_step(run: WordsRun, batch: Batch) -> dict[str, float]:
    """One step; returns the losses."""
    for optimiser in run.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(run.progress, run.plan.rate)
        optimiser.zero_grad(set_to_none=True)
    parts = run.model.losses(batch)
    loss = total(parts)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    for optimiser in run.optimisers:
        optimiser.step()
    return {"all": loss.item(), **{name: value.item() for name, value in parts.items()}}


def captions(features: Features, rows: list[Row]) -> list[str]:
    """Every caption that a batch may read."""
    return [
        kept_caption(row, number, mirrored=features.mirrored(row))
        for row in rows
        if row.captions and features.kept(row)
        for number in range(CAPTIONS)
    ]


def _plan(arguments: list[str] | None) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m examples.training.lite0.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/lite0"),
        help="folder for rendered samples, features, vectors of phrases and the resumable state",
    )
    parser.add_argument("--tower", type=Path, default=TOWER, help="checkpoint folder of the locked tower")
    parser.add_argument("--epochs", type=int, default=5, help="passes of the first stage")
    parser.add_argument("--steps", type=int, default=1300, help="of the second stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--rate", type=float, default=4e-3, help="peak learning rate of the second stage")
    parser.add_argument("--processes", type=int, default=2, help="processes that render samples")
    parser.add_argument(
        "--leave-out",
        nargs="*",
        default=[],
        choices=CONCEPTS,
        metavar="CONCEPT",
        help="faults that training must not meet, to measure what names are worth that it never read",
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps on a few samples: does it run?")
    given = parser.parse_args(arguments)
    return Plan(
        out=given.out, work=given.work, tower=given.tower, epochs=1 if given.smoke else given.epochs,
        steps=4 if given.smoke else given.steps, seed=given.seed,
        batch=8 if given.smoke else given.batch, rate=given.rate, scale=0.0 if given.smoke else 1.0,
        processes=given.processes, left_out=frozenset(given.leave_out),
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Prepare samples, features and vectors, train or go on training, and write the checkpoint."""
    plan = _plan(arguments)
    samples, kept = plan.work / "samples", plan.work / "features"
    store = prepare(
        samples,
        seed=plan.seed,
        scale=plan.scale,
        processes=plan.processes,
        counts=COUNTS,
        edges=dict.fromkeys((*MIXTURE, "solar", "screw"), EDGE),
        wanted=lambda name: not name.startswith("validation") and name not in ("real-solar", "real-screw"),
    )
    tower = read_tower(plan.tower)
    keep(tower, samples, kept, seed=plan.seed, log=print)
    trained = tuple(concept for concept in TRAINED if concept not in plan.left_out)
    run = WordsRun(plan, sizes_of(tower, len(trained)))
    features = Features(samples, kept)
    rows = learnt_from(store, features, plan.left_out)
    bank = Bank(plan.seed, 1.0 if plan.scale else 0.0)
    vectors = _vectors(plan, [*bank.all(), *captions(features, rows)], run.model)
    resumed = run.resume()
    print(f"{'going on at step ' + str(run.step) if resumed else 'starting'}: {len(rows)} samples")
    image = run.model.projections.image
    if not resumed:
        places.fit(
            image, store, features, rows, trained, epochs=plan.epochs, rate=PLACES_RATE, seed=plan.seed, log=print
        )
        run.save()
    answered = places.answers(image, features, rows)
    if not resumed:
        run.model.level_answers(answered[1])
    batches = Batches(
        rows, features, answered, bank, vectors, size=plan.batch, seed=plan.seed + run.step, left_out=plan.left_out
    )
    run.train(ahead(batches.batch), partial(train_step, run))
    run.export()
    print(f"wrote {plan.out}")


def _vectors(plan: Plan, phrases: list[str], model: Trainee) -> Vectors:
    text = TextSide(text_folder(plan.tower), model.projections.text)
    found = Vectors(plan.work / "vectors", text)
    found.learn(phrases)
    return found


if __name__ == "__main__":
    main()

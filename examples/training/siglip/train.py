"""Trains the checkpoint within a given number of minutes: ``python -m examples.training.siglip.train --out ... --work ...``."""

from __future__ import annotations

import argparse
import ctypes
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import SiglipModel, SiglipTokenizer

from examples.training.common.optimiser import optimisers
from examples.training.common.prepare import prepare
from examples.training.common.run import Run, ahead, learning_rate
from examples.training.siglip.batches import Batch, Batches
from examples.training.siglip.export import export, tokenise_with
from examples.training.siglip.losses import losses, total
from examples.training.siglip.model import Trainee, choose_patches, config, whiten_patches
from examples.training.siglip.tokens import LENGTH, train_tokenizer

KEPT_PATCHES = ((0.0, 72), (0.4, None))
"""From which share of the time how many patches of a picture are looked at (None: all). Early steps are cheap, the last ones as in use."""

_MMAP_THRESHOLD = -3  # glibc's M_MMAP_THRESHOLD


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of one training run. Times in seconds."""

    out: Path
    work: Path
    seconds: float
    seed: int
    batch: int
    rate: float
    scale: float
    save_every_s: float
    processes: int
    start: Path | None
    threads: int
    half: bool


def patches_to_keep(progress: float) -> int | None:
    """How many patches of a picture a step looks at; None means all."""
    return [count for start, count in KEPT_PATCHES if progress >= start][-1]


class SiglipRun(Run):
    """The towers with their helper heads, and what trains them."""

    def __init__(self, plan: Plan, tokenizer: SiglipTokenizer) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.tokenizer = plan, tokenizer
        self.model = Trainee(config(tokenizer.vocab_size, tokenizer.eos_token_id))
        super().__init__(plan.work, plan.seconds, plan.save_every_s, self.model, optimisers(self.model, plan.rate))
        self.generator = torch.Generator().manual_seed(plan.seed)

    def start_from(self, folder: Path) -> None:
        """Take the towers of a checkpoint folder; the helper heads start from scratch, since no checkpoint holds them."""
        self.model.siglip.load_state_dict(
            SiglipModel.from_pretrained(folder, local_files_only=True).float().state_dict()
        )

    def export(self) -> None:
        """Write the checkpoint folder."""
        export(self.model.siglip, self.tokenizer, self.plan.out)


def _train_step(run: SiglipRun, batch: Batch) -> dict[str, float]:
    count = patches_to_keep(run.progress)
    kept = None if count is None else choose_patches(batch.patches.any(1).flatten(1), count, run.generator)
    for optimiser in run.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(run.progress, run.plan.rate)
        optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=run.plan.half):
        parts = losses(run.model, batch, kept)
        loss = total(parts)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    with torch.autocast("cpu", torch.bfloat16, enabled=run.plan.half):
        for optimiser in run.optimisers:
            optimiser.step()
    with torch.no_grad():
        run.model.siglip.logit_scale.clamp_(max=4.0)
    return {"all": loss.item(), **{name: value.item() for name, value in parts.items()}}


def _plan(arguments: list[str] | None) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m examples.training.siglip.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/checkpoint"),
        help="folder for rendered samples and the resumable state",
    )
    parser.add_argument("--minutes", type=float, default=55.0, help="training time, not counting the preparation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2.2e-3, help="peak learning rate")
    parser.add_argument("--processes", type=int, default=2, help="processes that render samples")
    parser.add_argument("--start", type=Path, help="checkpoint folder whose towers and vocabulary are trained on")
    parser.add_argument("--threads", type=int, default=2, help="threads of the training itself")
    parser.add_argument(
        "--half",
        action="store_true",
        help="matrix products in bfloat16: several times faster where the processor has AMX, slower elsewhere",
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds on a few samples: does it run?")
    given = parser.parse_args(arguments)
    return Plan(
        out=given.out, work=given.work, seconds=4.0 if given.smoke else given.minutes * 60, seed=given.seed, batch=8 if given.smoke else given.batch,
        rate=given.rate, scale=0.0 if given.smoke else 1.0, save_every_s=240.0, processes=given.processes,
        start=given.start, threads=given.threads, half=given.half,
    )  # fmt: skip


def _map_large_blocks() -> None:
    """Have glibc give every large block back when it is freed.

    Left alone it raises that limit above a batch's size; the small texts that the tokeniser remembers then settle in the holes that batches
    leave, no next batch fits, and memory grows by a batch a step: 14 GB after 570 steps, measured.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 20)


def main(arguments: list[str] | None = None) -> None:
    """Prepare the samples, train or go on training, and write the checkpoint."""
    plan = _plan(arguments)
    _map_large_blocks()
    torch.set_num_threads(plan.threads)
    store = prepare(
        plan.work / "samples",
        seed=plan.seed,
        scale=plan.scale,
        processes=plan.processes,
        log=lambda text: print(text, flush=True),
    )
    vocabulary = plan.start or plan.work / "tokenizer"
    if (vocabulary / "spiece.model").exists():
        tokenizer = SiglipTokenizer(str(vocabulary / "spiece.model"), model_max_length=LENGTH)
    else:
        tokenizer = train_tokenizer(vocabulary, plan.seed, 500 if plan.scale == 0 else 12000)
    run = SiglipRun(plan, tokenizer)
    resumed = run.resume()
    if plan.start and not resumed:
        run.start_from(plan.start)
    count = sum(p.numel() for p in run.model.siglip.parameters())
    print(
        f"{'going on at step ' + str(run.step) if resumed else 'starting'}: {count / 1e6:.2f} M parameters, {len(store.where('train'))} samples",
        flush=True,
    )
    batches = Batches(store, tokenise_with(tokenizer), size=plan.batch, seed=plan.seed + run.step)
    if not resumed and not plan.start:
        whiten_patches(run.model.siglip, torch.cat([batches.batch().pixels for _ in range(6)]))
    run.train(ahead(batches.batch), partial(_train_step, run))
    run.export()
    print(f"wrote {plan.out}")


if __name__ == "__main__":
    main()

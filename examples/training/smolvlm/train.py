"""Trains the checkpoint within a given number of minutes: ``python -m examples.training.smolvlm.train --out ... --work ...``.

``--start`` goes on from an exported checkpoint's connector, decoder and vocabulary behind the SigLIP's tower as it is now.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from examples.training.common.optimiser import Muon
from examples.training.common.run import Run, ahead, learning_rate
from examples.training.common.words import CONCEPTS
from examples.training.siglip.losses import known_pairs
from examples.training.smolvlm.batches import UNKNOWN, Batch, Batches
from examples.training.smolvlm.export import export
from examples.training.smolvlm.model import SHUFFLE, Outputs, Trainee, config, take_decoder, take_tower
from examples.training.smolvlm.pictures import pictures
from examples.training.smolvlm.tokens import load_tokenizer, train_tokenizer

SIGLIP = Path(__file__).parents[2] / "checkpoint" / "siglip-line-tiny"
WEIGHTS = {
    "answer": 1.0,
    "short": 0.7,
    "word": 0.25,
    "patch": 0.7,
    "spot": 0.7,
    "look": 0.3,
    "scene": 0.5,
    "meant": 0.5,
}
_PATCH_POSITIVE_WEIGHT = 6.0
_MEANT_POSITIVE_WEIGHT = 40.0
_ONE_SIDED = 0.25
"""Weight of a question that all pictures of a batch answer alike: it teaches how often, not where."""
_TOWER_RATE = 0.5
"""The tower goes on from a trained one, the rest starts from less."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of one training run. Times in seconds."""

    out: Path
    work: Path
    seconds: float
    seed: int
    batch: int
    questions: int
    rate: float
    scale: float
    save_every_s: float
    start: Path | None
    hold: float


def balanced(each: Tensor, right: Tensor, yes: int, no: int) -> Tensor:
    """Mean of a loss over answers that are known, (n, questions), by the token of the right one: a question's yes and no weigh the same.

    So what is left to learn is which of the pictures, not which of the questions, is answered yes more often.
    """
    parts, weights = [], []
    counts = [(right == token).sum(0) for token in (yes, no)]
    both = torch.where((counts[0] > 0) & (counts[1] > 0), 1.0, _ONE_SIDED)
    for token, count in zip((yes, no), counts, strict=True):
        parts.append(both * torch.where(right == token, each, 0.0).sum(0) / count.clamp(min=1))
        weights.append(both * (count > 0))
    return torch.stack(parts).sum() / torch.stack(weights).sum().clamp(min=1e-6)


def answer_loss(logits: Tensor, right: Tensor, yes: int, no: int) -> Tensor:
    """Cross entropy of yes/no answers, logits (n, questions, vocabulary) and tokens (n, questions), balanced."""
    each = cross_entropy(logits.flatten(0, 1), right.flatten(), ignore_index=UNKNOWN, reduction="none")
    return balanced(each.view_as(right), right, yes, no)


def look_loss(looks: Tensor, batch: Batch, yes: int, no: int) -> Tensor:
    """Minus the logarithm of the attention on where the fault is that a question asks for, or on the very first token where there is none.

    So the answer lies in where a question looks. For questions on one concept, and pictures whose patch map is settled for it.
    """
    asked = batch.meant[:, : len(CONCEPTS)] & (batch.meant.sum(1, keepdim=True) == 1)
    asked[:, CONCEPTS.index("normal")] = False
    single = asked.any(1)
    concept = asked[single].int().argmax(1)
    right = batch.targets[:, batch.yes_no][:, single]
    shown = merged(batch.patches)[..., concept]
    settled = batch.known[:, concept] & ((right == no) | shown.any(1))
    looks = looks[:, batch.yes_no][:, single]
    share = torch.where(right == yes, (looks[..., 1:] * shown.mT).sum(-1), looks[..., 0])
    return balanced(-(share + 1e-3).log(), right.masked_fill(~settled, UNKNOWN), yes, no)


def _patch_loss(logits: Tensor, shown: Tensor, known: Tensor) -> Tensor:
    """Which place shows which concept, (n, places, concepts), where ``known`` bool (n, concepts) is where the map is settled."""
    settled = known[:, None, :].expand_as(shown)
    weight = torch.tensor(_PATCH_POSITIVE_WEIGHT)
    return binary_cross_entropy_with_logits(logits.float()[settled], shown[settled].float(), pos_weight=weight)


def merged(patches: Tensor) -> Tensor:
    """The patch map of the image tokens, bool (n, tokens, concepts): what any of a token's patches shows."""
    side = round(patches.shape[1] ** 0.5) // SHUFFLE
    split = patches.reshape(len(patches), side, SHUFFLE, side, SHUFFLE, patches.shape[2])
    return split.any(4).any(2).flatten(1, 2)


def losses(outputs: Outputs, batch: Batch, yes: int, no: int) -> dict[str, Tensor]:
    """Every loss by name, unweighted scalars. All answers compete in the whole vocabulary."""
    logits = outputs.answers.float()
    found = {
        name: answer_loss(logits[:, asked], batch.targets[:, asked], yes, no)
        for name, asked in (("answer", batch.yes_no & ~batch.short), ("short", batch.short))
    }
    found["look"] = look_loss(outputs.looks, batch, yes, no)
    named = batch.targets[:, ~batch.yes_no].flatten()
    if bool((named != UNKNOWN).any()):
        found["word"] = cross_entropy(logits[:, ~batch.yes_no].flatten(0, 1), named, ignore_index=UNKNOWN)
    found["scene"] = known_pairs(outputs.scene.float(), batch.scene)
    found["meant"] = binary_cross_entropy_with_logits(
        outputs.meant.float()[batch.yes_no], batch.meant.float(), pos_weight=torch.tensor(_MEANT_POSITIVE_WEIGHT)
    )
    if bool(batch.known.any()):
        found["patch"] = _patch_loss(outputs.patches, batch.patches, batch.known)
        found["spot"] = _patch_loss(outputs.spots, merged(batch.patches), batch.known)
    return found


def optimisers(model: Trainee, rate: float) -> list[torch.optim.Optimizer]:
    """Muon over the matrices inside both transformers, AdamW over the rest; a group's own share of the rate is in ``share``."""
    muon: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
    rest: list[torch.nn.Parameter] = []
    table = model.smolvlm.model.vision_model.embeddings.position_embedding.weight
    for name, parameter in model.named_parameters():
        if parameter is table:
            continue  # written at the end from the small one
        if parameter.ndim == 2 and ".layers." in name:
            muon["vision_model" in name].append(parameter)
        else:
            rest.append(parameter)
    matrices = Muon(muon[False], lr=rate)
    matrices.add_param_group({"params": muon[True]})
    matrices.param_groups[0]["share"], matrices.param_groups[1]["share"] = 1.0, _TOWER_RATE
    return [
        matrices,
        torch.optim.AdamW([{"params": rest, "share": 1.0}], lr=rate, betas=(0.9, 0.98), weight_decay=0.02),
    ]


class SmolVlmRun(Run):
    """The tower, connector and decoder, and what trains them."""

    def __init__(self, plan: Plan, tokenizer: Any) -> None:  # noqa: ANN401 - transformers ships no types
        torch.manual_seed(plan.seed)
        self.plan, self.tokenizer = plan, tokenizer
        self.model = Trainee(config(len(tokenizer)))
        take_tower(self.model, SIGLIP)
        if plan.start is not None:
            take_decoder(self.model, plan.start)
        super().__init__(plan.work, plan.seconds, plan.save_every_s, self.model, optimisers(self.model, plan.rate))
        self.yes, self.no = (tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No"))

    def export(self) -> None:
        """Write the checkpoint folder."""
        self.model.finish()
        export(self.model.smolvlm, self.tokenizer, self.plan.out)


def train_step(run: SmolVlmRun, batch: Batch) -> dict[str, float]:
    """One step; products in bfloat16, which processors with AMX or AVX-512 do many times faster."""
    for optimiser in run.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(run.progress, run.plan.rate) * group["share"]
        optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = run.model(batch.pixels, batch.packed, hold=run.progress < run.plan.hold)
    parts = losses(outputs, batch, run.yes, run.no)
    loss = torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    torch.nn.utils.clip_grad_norm_([p for p in run.model.parameters() if p.grad is not None], 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        for optimiser in run.optimisers:
            optimiser.step()
    return {name: value.item() for name, value in parts.items()}


def _plan(arguments: list[str] | None) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m examples.training.smolvlm.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument(
        "--work", type=Path, default=Path("build/generative"), help="folder for samples and the resumable state"
    )
    parser.add_argument("--minutes", type=float, default=50.0, help="training time, not counting the preparation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=24, help="pictures of 192 px a step; fewer of larger ones")
    parser.add_argument("--questions", type=int, default=16, help="yes/no questions a step")
    parser.add_argument("--rate", type=float, default=2.0e-3, help="peak learning rate")
    parser.add_argument(
        "--start",
        type=Path,
        help="checkpoint folder whose connector, decoder and vocabulary go on behind the SigLIP's tower",
    )
    parser.add_argument(
        "--hold", type=float, default=0.0, metavar="SHARE", help="of the time in which the tower stays as it is"
    )
    parser.add_argument(
        "--ready", action="store_true", help="train on the samples that are there already, even if not all"
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds on a few samples: does it run?")
    given = parser.parse_args(arguments)
    if not given.ready:
        pictures(given.work / "samples", scale=0.0 if given.smoke else 1.0)
    return Plan(
        out=given.out, work=given.work, seconds=4.0 if given.smoke else given.minutes * 60, seed=given.seed, batch=4 if given.smoke else given.batch,
        questions=given.questions, rate=given.rate, scale=0.0 if given.smoke else 1.0, save_every_s=240.0,
        start=given.start, hold=given.hold,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Prepare the samples, train or go on training, and write the checkpoint."""
    plan = _plan(arguments)
    torch.set_num_threads(1)
    folder = plan.start or plan.work / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        train_tokenizer(folder, 0)
    run = SmolVlmRun(plan, load_tokenizer(folder))
    resumed = run.resume()
    count = sum(p.numel() for p in run.model.smolvlm.parameters())
    print(
        f"{'going on at step ' + str(run.step) if resumed else 'starting'}: {count / 1e6:.2f} M parameters", flush=True
    )
    batches = Batches(
        plan.work / "samples", run.tokenizer, size=plan.batch, questions_each=plan.questions, seed=plan.seed + run.step
    )
    run.model.train()
    run.train(ahead(batches.batch), partial(train_step, run))
    print(f"wrote {plan.out}")


if __name__ == "__main__":
    main()

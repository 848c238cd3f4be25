"""Trains the checkpoint within a given number of minutes: ``python -m examples.generative.train --out ... --work ...``.

``--start`` goes on from an exported checkpoint's connector, decoder and vocabulary behind the SigLIP's tower as it is now.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from examples.checkpoint.losses import known_pairs
from examples.checkpoint.optimiser import Muon
from examples.checkpoint.train import learning_rate
from examples.checkpoint.words import CONCEPTS
from examples.generative.batches import UNKNOWN, Batch, Batches
from examples.generative.export import export
from examples.generative.model import SHUFFLE, Said, Trainee, config, take_decoder, take_tower
from examples.generative.pictures import pictures
from examples.generative.tokens import load_tokenizer, train_tokenizer

SIGLIP = Path(__file__).parents[1] / "checkpoint" / "siglip-line-tiny"
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
    """What one training run is told. Times in seconds."""

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
    """Which place shows which concept, (n, places, concepts), where ``known`` bool (n, concepts) says that the map is settled."""
    settled = known[:, None, :].expand_as(shown)
    weight = torch.tensor(_PATCH_POSITIVE_WEIGHT)
    return binary_cross_entropy_with_logits(logits.float()[settled], shown[settled].float(), pos_weight=weight)


def merged(patches: Tensor) -> Tensor:
    """The patch map of the image tokens, bool (n, tokens, concepts): what any of a token's patches shows."""
    side = round(patches.shape[1] ** 0.5) // SHUFFLE
    split = patches.reshape(len(patches), side, SHUFFLE, side, SHUFFLE, patches.shape[2])
    return split.any(4).any(2).flatten(1, 2)


def losses(said: Said, batch: Batch, yes: int, no: int) -> dict[str, Tensor]:
    """Every loss by name, unweighted scalars. All answers compete in the whole vocabulary."""
    logits = said.answers.float()
    found = {
        name: answer_loss(logits[:, asked], batch.targets[:, asked], yes, no)
        for name, asked in (("answer", batch.yes_no & ~batch.short), ("short", batch.short))
    }
    found["look"] = look_loss(said.looks, batch, yes, no)
    named = batch.targets[:, ~batch.yes_no].flatten()
    if bool((named != UNKNOWN).any()):
        found["word"] = cross_entropy(logits[:, ~batch.yes_no].flatten(0, 1), named, ignore_index=UNKNOWN)
    found["scene"] = known_pairs(said.scene.float(), batch.scene)
    found["meant"] = binary_cross_entropy_with_logits(
        said.meant.float()[batch.yes_no], batch.meant.float(), pos_weight=torch.tensor(_MEANT_POSITIVE_WEIGHT)
    )
    if bool(batch.known.any()):
        found["patch"] = _patch_loss(said.patches, batch.patches, batch.known)
        found["spot"] = _patch_loss(said.spots, merged(batch.patches), batch.known)
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


class Run:
    """The state of a training run; ``save`` and ``resume`` let a later process go on where this one stopped."""

    def __init__(self, plan: Plan, tokenizer: Any) -> None:  # noqa: ANN401 - transformers ships no types
        torch.manual_seed(plan.seed)
        self.plan, self.tokenizer = plan, tokenizer
        self.model = Trainee(config(len(tokenizer)))
        take_tower(self.model, SIGLIP)
        if plan.start is not None:
            take_decoder(self.model, plan.start)
        self.optimisers = optimisers(self.model, plan.rate)
        self.step, self.seen, self.used_s = 0, 0, 0.0
        self.yes, self.no = (tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No"))

    @property
    def progress(self) -> float:
        """Used share 0..1 of the time budget."""
        return min(1.0, self.used_s / self.plan.seconds)

    def save(self) -> None:
        """Write the whole state below the work folder, replacing the last one only when it is complete; and the checkpoint as it is now."""
        target = self.plan.work / "state.pt"
        state = {
            "model": self.model.state_dict(), "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step, "seen": self.seen, "used_s": self.used_s,
        }  # fmt: skip
        torch.save(state, target.with_suffix(".part"))
        target.with_suffix(".part").replace(target)
        self.model.finish()
        export(self.model.smolvlm, self.tokenizer, self.plan.out)

    def resume(self) -> bool:
        """Load the state below the work folder; False when there is none."""
        source = self.plan.work / "state.pt"
        if not source.exists():
            return False
        state = torch.load(source, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seen, self.used_s = state["step"], state["seen"], state["used_s"]
        return True


def train_step(run: Run, batch: Batch) -> dict[str, float]:
    """One step; products in bfloat16, which processors with AMX or AVX-512 do many times faster."""
    for optimiser in run.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(run.progress, run.plan.rate) * group["share"]
        optimiser.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        said = run.model(batch.pixels, batch.packed, hold=run.progress < run.plan.hold)
    parts = losses(said, batch, run.yes, run.no)
    loss = torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    torch.nn.utils.clip_grad_norm_([p for p in run.model.parameters() if p.grad is not None], 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        for optimiser in run.optimisers:
            optimiser.step()
    return {name: value.item() for name, value in parts.items()}


def train(run: Run, batches: Batches) -> None:
    """Go on until the time budget is used, with a progress line each half minute and a saved state each few minutes."""
    last = said = saved = time.monotonic()
    smooth: dict[str, float] = {}
    run.model.train()
    for batch in batches.ahead():
        values = train_step(run, batch)
        smooth |= {name: 0.97 * smooth.get(name, value) + 0.03 * value for name, value in values.items()}
        now = time.monotonic()
        run.step, run.seen, run.used_s, last = run.step + 1, run.seen + len(batch.pixels), run.used_s + now - last, now
        finished = run.progress >= 1
        if finished or now - said > 30:
            said = now
            text = " ".join(f"{name} {value:.3f}" for name, value in smooth.items())
            print(
                f"step {run.step}, {run.seen} pictures, {run.used_s / 60:.1f} min ({100 * run.progress:.0f} %) {text}",
                flush=True,
            )
        if finished or now - saved > run.plan.save_every_s:
            saved = now
            run.save()
        if finished:
            return


def _plan(arguments: list[str] | None) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m examples.generative.train", description=__doc__)
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
    run = Run(plan, load_tokenizer(folder))
    resumed = run.resume()
    count = sum(p.numel() for p in run.model.smolvlm.parameters())
    print(
        f"{'going on at step ' + str(run.step) if resumed else 'starting'}: {count / 1e6:.2f} M parameters", flush=True
    )
    batches = Batches(
        plan.work / "samples", run.tokenizer, size=plan.batch, questions_each=plan.questions, seed=plan.seed + run.step
    )
    train(run, batches)
    print(f"wrote {plan.out}")


if __name__ == "__main__":
    main()

"""The image side keeps small faults, and the losses of its words know what is unknown."""

from __future__ import annotations

import torch

from examples.training.lite0.batches import Batch
from examples.training.lite0.model import Trainee, total
from exporters.towers.words import Group, Sizes, folded

SIZES = Sizes(pooled=6, groups=((1, 2),), widths=(9,), hidden=8, queries=3, width=5, text=7)
ANSWERS = 3  # of the queries


def batch(shown: int) -> Batch:
    """Two pictures and two texts of one concept and its contrary, of which ``shown`` is known of both."""
    torch.manual_seed(0)
    return Batch(
        torch.randn(2, 6), (torch.randn(2, ANSWERS),), torch.nn.functional.normalize(torch.randn(2, 7), dim=-1),
        torch.full((2, 2), shown, dtype=torch.int8), torch.tensor([0]), torch.tensor([1]),
        torch.full((2, 1), shown, dtype=torch.int8),
    )  # fmt: skip


def test_what_is_unknown_teaches_nothing() -> None:
    """No loss, and no gradient, where nobody knows."""
    model = Trainee(SIZES)
    loss = total(model.losses(batch(-1)))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    assert loss.item() == 0
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


def test_what_is_known_teaches_pictures_and_phrases_and_leaves_the_places_alone() -> None:
    """The answers were computed once, so what gave them must not move."""
    model = Trainee(SIZES)
    total(model.losses(batch(1))).backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    image = model.projections.image
    for part in (model.projections.text, image.pooled, image.last):
        assert part.weight.grad is not None
        assert part.weight.grad.any()
    assert all(parameter.grad is None for parameter in image.groups.parameters())
    trained = {id(parameter) for parameter in model.second_stage()}
    assert not trained & {id(parameter) for parameter in image.groups.parameters()}
    assert id(model.projections.scale) in trained


def test_finer_maps_are_folded_without_loss() -> None:
    """Every number of a finer map is still there, on the coarser grid."""
    fine, coarse = torch.arange(32.0).reshape(1, 2, 4, 4), torch.zeros(1, 1, 2, 2)
    laid = folded([fine, coarse])
    assert [tuple(part.shape) for part in laid] == [(1, 8, 2, 2), (1, 1, 2, 2)]
    assert sorted(laid[0].flatten().tolist()) == sorted(fine.flatten().tolist())


def test_one_odd_place_among_many_moves_the_answer_of_its_query() -> None:
    """As much among four hundred places as among four; a mean would forget it."""
    group = Group(9, SIZES)
    direction = group.queries.weight.detach()[0]
    answers = []
    for places in (4, 400):
        state = torch.zeros(1, places, 8)
        state[0, 0] = direction * 40 / direction.norm() ** 2
        answers.append(group.answers(state).detach()[0, 0].item())
    assert abs(answers[0] - answers[1]) < 1e-3

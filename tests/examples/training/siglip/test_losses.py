"""Unknown pairs weigh nothing in a loss; words are tied to places, and attention to small faults."""

from __future__ import annotations

import torch

from examples.training.common.words import CONCEPTS
from examples.training.siglip.batches import Batch
from examples.training.siglip.losses import known_pairs, look_loss, place_labels


def test_unknown_pairs_do_not_count() -> None:
    """Changing the logit of an unknown pair changes nothing."""
    labels = torch.tensor([[1, 0, -1]], dtype=torch.int8)
    first = known_pairs(torch.tensor([[2.0, -1.0, 0.0]]), labels)
    second = known_pairs(torch.tensor([[2.0, -1.0, 9.0]]), labels)
    assert torch.equal(first, second)


def test_true_and_false_pairs_weigh_the_same() -> None:
    """One true pair among many false ones still makes up half of the loss."""
    labels = torch.tensor([[1] + [0] * 9], dtype=torch.int8)
    wrong_true = known_pairs(torch.tensor([[-4.0] + [-4.0] * 9]), labels)
    wrong_false = known_pairs(torch.tensor([[4.0] + [4.0] * 9]), labels)
    assert abs(float(wrong_true - wrong_false)) < 1e-5


def test_nothing_known_is_no_loss() -> None:
    """A batch without any known pair gives zero, not a number that is none."""
    assert float(known_pairs(torch.zeros(2, 2), torch.full((2, 2), -1, dtype=torch.int8))) == 0


def _batch(concepts: torch.Tensor, *, marked: bool) -> Batch:
    nothing = torch.zeros(0)
    return Batch(nothing, nothing, nothing, concepts, nothing, nothing, torch.tensor([marked]), nothing)


def test_a_word_is_true_of_the_patches_that_show_it() -> None:
    """A cracked patch is cracked and not normal, its neighbour is normal, and what nobody settled stays unknown."""
    crack, dent, normal = (CONCEPTS.index(name) for name in ("crack", "dent", "normal"))
    known = torch.zeros(1, len(CONCEPTS), dtype=torch.int8)
    known[0, crack], known[0, dent] = 1, -1
    patches = torch.zeros(1, 2, len(CONCEPTS))
    patches[0, 0, crack] = 1
    named = torch.tensor([crack, dent, normal])
    labels = place_labels(_batch(known, marked=True), patches, named)
    assert labels.tolist() == [[[1, -1, 0], [0, -1, 1]]]
    assert place_labels(_batch(known, marked=False), patches, named).eq(-1).all()


def test_attention_to_a_small_fault_costs_less() -> None:
    """Looking at the fault is better than looking past it; a fault over half of the picture is no place to look at."""
    small, large = torch.zeros(1, 8), torch.zeros(1, 8)
    small[0, 2] = 1
    large[0, :4] = 1
    there, elsewhere = torch.full((1, 8), 0.05), torch.full((1, 8), 0.05)
    there[0, 2] = elsewhere[0, 5] = 0.65
    assert look_loss(there, small) < look_loss(elsewhere, small)
    assert float(look_loss(elsewhere, large)) == 0

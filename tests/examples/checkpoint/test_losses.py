"""Unknown pairs weigh nothing in a loss."""

from __future__ import annotations

import torch

from examples.checkpoint.losses import known_pairs


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

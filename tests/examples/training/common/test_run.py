"""A training run goes on where it stopped, and ends with its time."""

from __future__ import annotations

from itertools import count, islice
from pathlib import Path

import torch
from torch import nn

from examples.training.common.run import Run, ahead


class Line(Run):
    """One weight, trained towards a number."""

    def __init__(self, work: Path) -> None:
        self.model = nn.Linear(1, 1)
        self.exported = 0
        super().__init__(work, 0.2, 60.0, self.model, [torch.optim.SGD(self.model.parameters(), lr=0.01)])

    def export(self) -> None:
        """Count."""
        self.exported += 1


def test_items_come_in_order_from_a_thread_that_works_ahead() -> None:
    """Nothing is skipped or doubled."""
    numbers = count()
    assert list(islice(ahead(lambda: next(numbers)), 5)) == [0, 1, 2, 3, 4]


def test_a_run_ends_with_its_time_saves_its_state_and_writes_its_checkpoint(tmp_path: Path) -> None:
    """The last step saves and exports."""
    run = Line(tmp_path)
    run.train(ahead(lambda: torch.ones(1, 1)), lambda batch: {"loss": float(run.model(batch).detach().sum())})
    assert run.progress == 1.0
    assert run.step > 0
    assert run.exported == 1
    assert (tmp_path / "state.pt").exists()


def test_a_later_process_goes_on_where_this_one_stopped(tmp_path: Path) -> None:
    """Weights, step and used time come back."""
    run = Line(tmp_path)
    run.step, run.used_s = 7, 0.1
    run.save()
    later = Line(tmp_path)
    assert later.resume()
    assert (later.step, later.used_s) == (7, 0.1)
    assert torch.equal(later.model.weight, run.model.weight)


def test_a_run_without_a_saved_state_begins_anew(tmp_path: Path) -> None:
    """Nothing to resume."""
    assert not Line(tmp_path).resume()

"""Faults of the program are counted by place, told once per edge, and over when nothing failed for a minute."""

from __future__ import annotations

import logging

import pytest

from edge.system.internal_errors import FAILING_NS, InternalErrors


class Ledger:
    """The ledger and its clock."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.errors = InternalErrors(lambda: self.now_ns)


def test_each_edge_is_logged_once_and_each_failure_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred failures of one kind are one line with a traceback; after a quiet minute the next one is told again."""
    caplog.set_level(logging.INFO)
    ledger = Ledger()
    for _ in range(100):
        assert not ledger.errors.guarded("rules", lambda: 1 // 0)
    assert ledger.errors.counts() == {"rules": 100}
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert ledger.errors.take_news() == ["rules: ZeroDivisionError: integer division or modulo by zero"]
    assert ledger.errors.take_news() == []
    ledger.now_ns = FAILING_NS
    assert ledger.errors.failing() == ("rules",)
    ledger.now_ns += 1
    assert ledger.errors.failing() == ()
    assert "rules did not fail for a minute" in caplog.text
    ledger.errors.guarded("rules", lambda: 1 // 0)
    assert len(ledger.errors.take_news()) == 1
    assert ledger.errors.counts() == {"rules": 101}


def test_what_works_leaves_no_mark() -> None:
    """Nothing is counted, and the caller knows that it was done."""
    ledger = Ledger()
    done: list[int] = []
    assert ledger.errors.guarded("rules", lambda: done.append(1))
    assert (done, ledger.errors.counts(), ledger.errors.failing()) == ([1], {}, ())


@pytest.mark.parametrize("fatal", [MemoryError, KeyboardInterrupt, SystemExit])
def test_what_must_end_the_program_does(fatal: type[BaseException]) -> None:
    """Nothing that follows it can be trusted, or somebody wants the end."""

    def end() -> None:
        raise fatal

    with pytest.raises(fatal):
        Ledger().errors.guarded("rules", end)

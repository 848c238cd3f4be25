"""An epoch that the broker keeps of an earlier start makes ours higher, once; what is ours, and what is no epoch, does not."""

from __future__ import annotations

import json

import pytest

from edge.health.epoch_witness import LAST_EPOCH, EpochWitness


def alarm(epoch: object) -> bytes:
    """What the broker keeps of the alarm, as far as it matters."""
    return json.dumps({"id": "node-twin", "epoch": epoch, "seq": 3}).encode()


def test_a_clock_that_was_set_back_makes_no_lower_epoch() -> None:
    """Also the same one: two starts may fall into one second of a clock."""
    assert EpochWitness(100).higher(alarm(99)) is None
    assert EpochWitness(100).higher(alarm(100)) == 101
    assert EpochWitness(100).higher(alarm(4_000)) == 4_001


def test_what_this_start_published_itself_raises_nothing() -> None:
    """After a reconnect the broker keeps our own word, in either epoch; of a twin's, or an older one's, the rule is the same."""
    witness = EpochWitness(100)
    assert witness.higher(alarm(4_000)) == 4_001
    witness.link_down()
    assert witness.higher(alarm(100)) is None
    assert witness.higher(alarm(4_001)) is None
    assert witness.higher(alarm(4_002)) == 4_003


def test_our_words_that_come_back_are_known() -> None:
    """Said before or after the change; another's are not."""
    witness = EpochWitness(100)
    witness.higher(alarm(200))
    assert [witness.is_own(alarm(epoch)) for epoch in (100, 200, 201, 7)] == [True, False, True, False]
    assert not witness.is_own(b"")


@pytest.mark.parametrize("kept", [b"", b"{", b"[1]", b"5", alarm("101"), b'{"epoch": true}', alarm(1e300), alarm(-1), alarm(LAST_EPOCH), alarm(None), b"[" * 9_999])  # fmt: skip
def test_what_is_no_epoch_is_ignored(kept: bytes) -> None:
    """Whoever may write there can write anything."""
    assert EpochWitness(100).higher(kept) is None

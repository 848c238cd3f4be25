"""The number of each birth, kept over restarts."""

from __future__ import annotations

from pathlib import Path

from edge.sparkplug.birth_number import BirthNumber


def test_the_birth_number_counts_what_was_sent(tmp_path: Path) -> None:
    """From 0, one more each, 0 after 255, over restarts; a number that was not sent is used the next time."""
    file = tmp_path / "state" / "number"
    numbers = BirthNumber(file)
    assert (numbers.prepare(), numbers.prepare()) == (0, 0)
    for number in range(256):
        assert numbers.prepare() == number
        numbers.sent()
    assert numbers.prepare() == 0
    numbers.sent()
    assert BirthNumber(file).prepare() == 1


def test_an_orderly_end_gives_back_what_was_not_sent(tmp_path: Path) -> None:
    """The next start begins with it, also when it was the very first; after a kill it is passed over, for it may have been sent."""
    file = tmp_path / "number"
    unsent = BirthNumber(file)
    unsent.prepare()
    unsent.put_back()
    again = BirthNumber(file)
    assert again.prepare() == 0
    again.sent()
    again.prepare()
    again.put_back()
    killed = BirthNumber(file)
    assert killed.prepare() == 1
    assert BirthNumber(file).prepare() == 2


def test_a_birth_number_without_a_file_begins_anew(tmp_path: Path) -> None:
    """Also when the file is rubbish, or cannot be written: the node works, and says so."""
    assert BirthNumber(None).prepare() == 0
    file = tmp_path / "number"
    file.write_text("many")
    assert BirthNumber(file).prepare() == 0
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    assert BirthNumber(blocked / "number").prepare() == 0

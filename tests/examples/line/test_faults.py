"""The fault table is complete, consistent and can be spoken."""

from __future__ import annotations

from examples.line.faults import BACKGROUNDS, FAULTS, MATERIALS, PARTS, possible
from examples.line.sensors import CHANNELS


def test_every_fault_can_occur_on_a_named_part_of_a_named_material() -> None:
    """A fault that no part could show would never be injected."""
    for fault in FAULTS.values():
        assert fault.parts <= frozenset(PARTS)
        assert fault.materials <= frozenset(MATERIALS)
        assert any(possible(fault.id, part, material) for part in PARTS for material in MATERIALS)


def test_every_fault_has_words_of_every_kind_and_none_is_shared() -> None:
    """A noun of two faults would make a caption ambiguous."""
    seen: set[str] = set()
    for fault in FAULTS.values():
        assert min(len(fault.nouns), len(fault.clauses), len(fault.normal)) >= 4
        assert fault.adjectives
        words = {*fault.nouns, *fault.adjectives, *fault.clauses, *fault.normal}
        assert not words & seen
        seen |= words
        assert all("{part}" not in phrase for phrase in (*fault.nouns, *fault.normal, fault.words))


def test_signatures_name_known_readings() -> None:
    """What a fault does to a sensor refers to a channel of the model."""
    assert all(set(fault.signature) <= set(CHANNELS) for fault in FAULTS.values())
    assert {reading for fault in FAULTS.values() for reading in fault.signature} == set(CHANNELS)


def test_the_table_holds_the_faults_the_line_promises() -> None:
    """These ids are used by recipes and demos."""
    promised = {"scratch", "crack", "dent", "missing_bolt", "oil_leak", "misaligned_part", "rust", "blocked_lens"}
    assert promised < set(FAULTS)
    assert len(PARTS) >= 4
    assert len(BACKGROUNDS) >= 3
    assert not possible("rust", "flange", "aluminium")
    assert not possible("missing_bolt", "gear", "steel")

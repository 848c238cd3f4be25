"""Words agree with the scene: every fault is named, a good scene is called good, and answers are true."""

from __future__ import annotations

import numpy as np
import pytest

from examples.line.captions import article, caption, normal_phrases, phrases, qa_pairs
from examples.line.faults import FAULTS, PARTS
from examples.line.scene import sample_spec


def _names(fault: str) -> list[str]:
    table = FAULTS[fault]
    clauses = [clause.split("{part}") for clause in table.clauses]
    pieces = [max(pieces, key=len).strip() for pieces in clauses]
    return [table.words, *table.nouns, *table.adjectives, *pieces]


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_caption_names_every_fault_of_the_scene(fault: str) -> None:
    """Alone or beside another fault, a synonym is in the text."""
    rng = np.random.default_rng(4)
    for _ in range(60):
        faults = {fault} if rng.random() < 0.5 else {fault, "crack"}
        spec = sample_spec(rng, faults=faults)
        text = caption(spec, rng)
        for present in faults:
            assert any(name in text for name in _names(present)), (present, text)


def test_a_caption_of_a_good_scene_names_no_fault_as_present() -> None:
    """No clause or adjective of a fault appears, and every noun only inside a phrase of its absence."""
    rng = np.random.default_rng(5)
    absences = [phrase for fault in FAULTS for phrase in normal_phrases(fault)]
    for _ in range(400):
        text = caption(sample_spec(rng, faults=[]), rng)
        for phrase in absences:
            text = text.replace(phrase, "")
        assert not any(noun in text for fault in FAULTS.values() for noun in fault.nouns), text
        assert not any(f" {adjective} " in text for fault in FAULTS.values() for adjective in fault.adjectives), text


def test_captions_are_varied_tidy_and_repeatable() -> None:
    """Hundreds of different sentences without left-over braces or double spaces; the same seed says the same."""

    def spoken(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [caption(sample_spec(rng), rng) for _ in range(500)]

    texts = spoken(1)
    assert texts == spoken(1)
    assert len(set(texts)) > 400
    assert not any("{" in text or "  " in text or text != text.strip() for text in texts)
    assert max(len(text) for text in texts) < 200


def test_captions_name_part_and_material_at_times() -> None:
    """Contrast between parts needs their names in the text."""
    rng = np.random.default_rng(6)
    for part, names in PARTS.items():
        texts = [caption(sample_spec(rng, faults=[], part=part), rng) for _ in range(60)]
        assert sum(any(name in text for name in names) for text in texts) > 40


def test_phrases_are_ready_to_use() -> None:
    """Prompt lists for a recipe: many, without placeholders, and distinct between fault and absence."""
    for fault in FAULTS:
        said, absent = phrases(fault), normal_phrases(fault)
        assert len(said) >= 12
        assert not any("{" in phrase for phrase in (*said, *absent))
        assert not set(said) & set(absent)
    with pytest.raises(KeyError):
        phrases("sadness")


@pytest.mark.parametrize("faults", [(), ("crack",), ("missing_bolt", "rust"), ("blocked_lens",)])
def test_answers_agree_with_the_scene(faults: tuple[str, ...]) -> None:
    """A question on a fault is answered yes exactly when it is there; a question on its absence the other way round."""
    rng = np.random.default_rng(8)
    for _ in range(20):
        spec = sample_spec(rng, faults=faults)
        asked = 0
        for question, answer in qa_pairs(spec, rng):
            assert question[-1] == "?"
            assert "{" not in question
            for fault in FAULTS.values():
                if any(phrase in question for phrase in fault.normal):
                    assert answer == (fault.id not in spec.faults), question
                    asked += 1
                elif any(question.endswith(f"{noun}?") for noun in fault.nouns) and "Is this" not in question:
                    assert answer == (fault.id in spec.faults), question
                    asked += 1
        assert asked >= 10


def test_questions_are_answered_both_ways() -> None:
    """Neither always-yes nor always-no is a good answer."""
    rng = np.random.default_rng(9)
    answers = [answer for _ in range(100) for _, answer in qa_pairs(sample_spec(rng), rng)]
    assert 0.3 < np.mean(answers) < 0.7


def test_whole_scene_questions_follow_the_faults() -> None:
    """Is anything wrong: yes on a faulty scene, no on a good one."""
    rng = np.random.default_rng(10)
    for faults in ([], ["dent"]):
        seen = dict(pair for _ in range(20) for pair in qa_pairs(sample_spec(rng, faults=faults), rng))
        assert seen["Is anything wrong here?"] is bool(faults)
        assert seen["Is everything in order?"] is not bool(faults)


@pytest.mark.parametrize(("phrase", "expected"), [("gear", "a gear"), ("oily valve", "an oily valve")])
def test_article(phrase: str, expected: str) -> None:
    """A vowel takes "an"."""
    assert article(phrase) == expected

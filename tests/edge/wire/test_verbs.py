"""The list of verbs stands once; whoever needs one takes it from there."""

from __future__ import annotations

from edge.__main__ import _parser
from edge.alarm.machine import _COMMANDS
from edge.sparkplug.metrics import _ALARM_TAGS, _READERS
from edge.wire.verbs import STATE_VERBS, VERBS, Verb


def test_every_verb_is_described() -> None:
    """What it is about, and what it does in words."""
    assert set(VERBS) == set(Verb)
    assert all(info.does for info in VERBS.values())


def test_the_state_machine_carries_out_the_verbs_about_state() -> None:
    """These, and no others."""
    assert set(_COMMANDS) == set(STATE_VERBS)


def test_sparkplug_reads_the_metrics_that_the_list_names() -> None:
    """Each is a tag of an alarm, and has its reader."""
    metrics = {info.metric for info in VERBS.values() if info.metric is not None}
    assert set(_READERS) == metrics
    assert metrics <= set(_ALARM_TAGS)


def test_the_command_line_knows_every_verb() -> None:
    """With the words of the list as its help."""
    help_text = " ".join(_parser().format_help().split())
    for verb, info in VERBS.items():
        assert verb.value.replace("_", "-") in help_text
        assert info.does in help_text

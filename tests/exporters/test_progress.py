"""A build says what it does and since when; time is an argument."""

from __future__ import annotations

from exporters.progress import Progress


def test_each_line_has_the_seconds_since_the_start_and_its_stage() -> None:
    """Lines of one stage may be handed to a helper that knows no stage."""
    times = iter([100.0, 100.0, 161.26])
    said: list[str] = []
    step = Progress(said.append, lambda: next(times))
    step("images", "reading")
    step.of("head")("pass 1 of 2")
    assert said == ["[   0.0 s] images     reading", "[  61.3 s] head       pass 1 of 2"]

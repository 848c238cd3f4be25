"""The recording: made once, and read by every check."""

from __future__ import annotations

import pytest

from tests.sparkplug_conformance.recording import Recording
from tests.sparkplug_conformance.scenes import record
from tests.stand.brokers import MOSQUITTO


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Everything that passed between four daemons and their Mosquittos while all scenes were played."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto` to run the broker tests")
    folder = tmp_path_factory.mktemp("sparkplug")
    tape = folder / "tape.jsonl"
    record(folder, tape)
    return Recording.load(tape)

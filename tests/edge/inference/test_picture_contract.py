"""A camera's kind of picture is learned, and another kind is uncertain until it is accepted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import RejectedInput
from edge.frame import Quality
from edge.inference.picture_contract import LEARN_FRAMES, MAX_ACCEPTED, Contract, Kind, from_dict

NS = 1_000_000_000
DAY, NIGHT = Kind(640, 480, colour=True), Kind(640, 480, colour=False)


def tensor(*, colour: bool, seed: int = 0) -> NDArray[np.uint8]:
    """Noise with colour, or the same in grey."""
    grey = np.random.default_rng(seed).integers(0, 200, (1, 96, 96, 1))
    return np.repeat(grey, 3, axis=3).astype(np.uint8) + np.array([0, 20, 40] if colour else 0, np.uint8)


class Camera:
    """A contract with its own time, a frame each second."""

    def __init__(self, accept_after_s: int = 60, accepted: tuple[Kind, ...] = ()) -> None:
        self.contract = Contract(accept_after_s * NS, accepted)
        self.now_ns = 0

    def send(self, kind: Kind, frames: int = 1) -> Quality:
        """Some frames of a kind; the quality of the last."""
        quality = Quality.GOOD
        for _ in range(frames):
            self.now_ns += NS
            quality = self.contract.look(kind.width, kind.height, tensor(colour=kind.colour), self.now_ns)
        return quality

    def happened(self) -> list[str]:
        """What happened since the last call."""
        return [what for what, _ in self.contract.take_news()]


@pytest.mark.parametrize(
    "other",
    [
        Kind(320, 240, colour=True),
        Kind(160, 120, colour=True),
        Kind(640, 360, colour=True),
        Kind(480, 640, colour=True),
        Kind(1280, 960, colour=True),
        NIGHT,
    ],
)
def test_another_size_form_or_colour_is_uncertain_and_told_once(other: Kind) -> None:
    """Half and quarter resolution, 16:9, a turned sensor, infrared; the usual kind is good at once."""
    camera = Camera()
    assert camera.send(DAY, LEARN_FRAMES) is Quality.GOOD
    assert camera.happened() == ["picture learned"]
    assert camera.send(other, 10) is Quality.UNCERTAIN
    assert (camera.contract.changed, camera.happened()) == (True, ["picture changed"])
    assert camera.send(DAY) is Quality.GOOD
    assert (camera.contract.changed, camera.happened()) == (False, [])


def test_what_comes_for_long_is_accepted_beside_the_other() -> None:
    """After the first whole night both day and night are known; a break begins the wait anew."""
    camera = Camera(accept_after_s=60)
    camera.send(DAY, LEARN_FRAMES)
    camera.send(NIGHT, 50)
    camera.send(DAY)
    assert camera.send(NIGHT, 60) is Quality.UNCERTAIN
    assert camera.send(NIGHT) is Quality.GOOD
    assert camera.happened() == ["picture learned", "picture changed", "picture accepted"]
    assert (camera.send(DAY), camera.send(NIGHT)) == (Quality.GOOD, Quality.GOOD)


@pytest.mark.slow
def test_a_site_may_leave_it_to_an_operator() -> None:
    """With 0 nothing is accepted by time; told to forget, the camera is learned anew."""
    camera = Camera(accept_after_s=0)
    camera.send(DAY, LEARN_FRAMES)
    assert camera.send(NIGHT, 100_000 // 10) is Quality.UNCERTAIN
    camera.contract.relearn()
    assert camera.send(NIGHT, LEARN_FRAMES) is Quality.GOOD
    assert camera.contract.accepted == (NIGHT,)


def test_what_was_accepted_survives_a_restart() -> None:
    """As JSON and back: the first frame after a start is compared already."""
    camera = Camera()
    camera.send(DAY, LEARN_FRAMES)
    kept = json.loads(json.dumps(camera.contract.to_dict()))
    again = Camera(accepted=from_dict(kept))
    assert (again.send(DAY), again.send(NIGHT)) == (Quality.GOOD, Quality.UNCERTAIN)


@pytest.mark.parametrize("kept", [{}, {"format": 1}, {"format": 1, "accepted": [[1, 2]]}, {"format": 1, "accepted": 7}])
def test_what_was_not_written_by_us_is_refused(kept: dict[str, object]) -> None:
    """A damaged row is no contract; another format's is none of ours."""
    with pytest.raises(RejectedInput):
        from_dict(kept)
    assert from_dict({"format": 2}) == ()


def test_a_stream_that_never_repeats_itself_takes_no_memory() -> None:
    """Sizes that change with every frame are neither learned nor told without end."""
    camera = Camera()
    for width in range(100, 400):
        camera.send(Kind(width, 100, colour=True))
    assert camera.contract.accepted == ()
    camera.send(DAY, LEARN_FRAMES)
    for width in range(100, 400):
        assert camera.send(Kind(width, 100, colour=True)) is Quality.UNCERTAIN
    assert len(camera.happened()) <= 20


def test_only_so_many_kinds_are_accepted() -> None:
    """The oldest gives way."""
    camera = Camera(accept_after_s=3)
    for width in range(100, 100 + 10 * (MAX_ACCEPTED + 2), 10):
        camera.send(Kind(width, 100, colour=True), 10)
    assert len(camera.contract.accepted) == MAX_ACCEPTED


def test_weak_colour_does_not_flap() -> None:
    """Between no colour and colour it is what it was."""
    camera = Camera()
    camera.send(DAY, LEARN_FRAMES)
    weak = tensor(colour=False) + np.array([0, 1, 2], np.uint8)
    assert camera.contract.look(640, 480, weak, camera.now_ns + NS) is Quality.GOOD

"""What becomes of a picture's size and form is said where it is extreme, once for each kind."""

from __future__ import annotations

import pytest

from edge.inference.picture_scale import scale_notes
from edge.manifest import InputSpec

SPEC = {"name": "frame", "width": 100, "height": 100, "resize": "stretch"}


def notes(*sizes: tuple[int, int], **spec: object) -> list[str]:
    """Of pictures of these sizes."""
    return scale_notes(sizes, InputSpec.model_validate(SPEC | spec))


@pytest.mark.parametrize("size", [(100, 100), (1200, 1200), (200, 100), (640, 480)])
def test_usual_pictures_are_no_note(size: tuple[int, int]) -> None:
    """Up to twelve times shrunk, twice out of form."""
    assert notes(size) == []


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((99, 100), "99x100 px into the graph's 100x100 px: enlarged"),
        ((1201, 1201), "shrunk 12 times"),
        ((1201, 800), "shrunk 12 times"),
        ((210, 100), "pressed 2.1 times out of form"),
        ((100, 210), "pressed 2.1 times out of form"),
    ],
)
def test_an_extreme_picture_is_said_with_what_to_do(size: tuple[int, int], says: str) -> None:
    """Enlarged, shrunk far, or pressed out of form."""
    (note,) = notes(size)
    assert says in note


def test_what_is_cropped_is_not_pressed_but_cut_away() -> None:
    """Only where more than half of the picture is lost."""
    assert notes((190, 100), resize="centre_crop") == []
    (note,) = notes((210, 100), resize="centre_crop")
    assert "52% of the picture is cut away" in note


def test_each_kind_is_said_once_with_its_first_example() -> None:
    """A hundred small pictures are one note."""
    told = notes((50, 50), (60, 60), (2000, 100))
    assert [note.split(" ")[0] for note in told] == ["50x50", "2000x100", "2000x100"]

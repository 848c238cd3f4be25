"""A network over the frame's pixels finds what is finer than a patch, from labels alone or with masks, and its variants keep masks in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from exporters.fit import pixel_net
from exporters.pictures.images import synthetic_frames

SIZE = 64
COUNT = 48


def _dotted() -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint8]]:
    """Frames of which every third has a black dot of 5 px somewhere, labels, and masks of the dots."""
    random = np.random.default_rng(0)
    frames = np.maximum(synthetic_frames(COUNT, SIZE, SIZE, 1), 70)
    labels = np.zeros((COUNT, 1), np.bool_)
    masks = np.zeros((COUNT, SIZE, SIZE), np.uint8)
    for index in range(0, COUNT, 3):
        row, column = random.integers(6, SIZE - 12, 2)
        frames[index, row : row + 5, column : column + 5] = 0
        masks[index, row : row + 5, column : column + 5] = 255
        labels[index, 0] = True
    return frames, labels, masks


@pytest.fixture(scope="module")
def fitted() -> pixel_net.PixelNet:
    """One fitted with masks."""
    return pixel_net.fit(*_dotted(), passes=25, seed=0, half=False, log=lambda _: None)


@pytest.mark.slow
def test_a_dot_is_found_where_it_is(fitted: pixel_net.PixelNet) -> None:
    """Evidence tells pictures with a dot from those without, and the strongest cell lies on the dot."""
    frames, labels, masks = _dotted()
    with torch.inference_mode():
        evidence = fitted(torch.from_numpy(frames)).numpy()[:, 0]
        cells = fitted.cells(torch.from_numpy(frames))[:, 0]
    assert evidence[labels[:, 0]].min() > evidence[~labels[:, 0]].max()
    place = np.unravel_index(int(cells[0].argmax()), cells[0].shape)
    rows, columns = (np.flatnonzero(masks[0].any(axis)).mean() / pixel_net.CELL for axis in (1, 0))
    assert abs(place[0] + 0.5 - rows) < 1.5
    assert abs(place[1] + 0.5 - columns) < 1.5


@pytest.mark.slow
def test_light_matters_little(fitted: pixel_net.PixelNet) -> None:
    """Two thirds of the light move the evidence less than the dot does."""
    frames, labels, _ = _dotted()
    dim = (frames * (2 / 3)).astype(np.uint8)
    with torch.inference_mode():
        plain, dark = (fitted(torch.from_numpy(item)).numpy()[:, 0] for item in (frames, dim))
    gap = plain[labels[:, 0]].mean() - plain[~labels[:, 0]].mean()
    assert np.abs(dark - plain).mean() < gap / 4


def test_masks_and_pixels_move_together() -> None:
    """In every variant the bright square stays under its mask."""
    frames = torch.full((8, SIZE, SIZE, 3), 60, dtype=torch.uint8)
    masks = torch.zeros(8, SIZE, SIZE, dtype=torch.uint8)
    frames[:, 20:40, 24:44] = 200
    masks[:, 20:40, 24:44] = 255
    torch.manual_seed(0)
    seen, moved = pixel_net.varied(frames, masks)
    assert moved is not None
    for picture, mask in zip(seen.mean(dim=3), moved, strict=True):
        assert picture[mask > 200].min() > picture[mask < 10].max()
    assert len({round(float(picture.mean()), 3) for picture in seen}) == 8, "the variants differ"


@pytest.mark.slow
def test_the_same_seed_fits_the_same_network() -> None:
    """A build can be repeated, and another seed gives another member."""
    data = _dotted()
    first, second, other = (
        pixel_net.fit(*data, passes=1, seed=seed, half=False, log=lambda _: None) for seed in (3, 3, 4)
    )
    weights = [next(iter(member.fine.parameters())) for member in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_faulty_picture_without_a_mask_teaches_by_its_label() -> None:
    """Where masks are missing, the cells of that picture are not taught to be in order."""
    frames, labels, masks = _dotted()
    pictures = pixel_net.Pictures(
        torch.from_numpy(frames), torch.from_numpy(labels).float(), torch.from_numpy(masks * 0)
    )
    bare = pixel_net.Pictures(pictures.frames, pictures.labels, None)
    network = pixel_net.PixelNet(1, cells=64, grey=False).eval()
    rows = torch.arange(0, COUNT, 3)
    found = []
    for given in (pictures, bare):
        torch.manual_seed(1)
        with torch.no_grad():
            found.append(float(pixel_net._loss(network, given, rows, torch.ones(1))))
    assert found[0] == pytest.approx(found[1] * pixel_net.LABEL_WEIGHT, rel=1e-3)


def test_a_fault_is_laid_on_another_part_in_its_light() -> None:
    """The dark spot comes along, the ground around it keeps its own grey, and labels and masks of the picture follow."""
    frames = torch.full((2, SIZE, SIZE, 3), 90, dtype=torch.uint8)
    frames[1] = 180
    masks = torch.zeros(2, SIZE, SIZE, dtype=torch.uint8)
    masks[1, 20:28, 30:38] = 255
    frames[1, 20:28, 30:38] = 100
    pictures = pixel_net.Pictures(frames, torch.tensor([[0.0], [1.0]]), masks)
    torch.manual_seed(0)
    seen, labels, moved = pixel_net._grafted(pictures, torch.zeros(40, dtype=torch.int64))
    assert moved is not None
    bears = labels[:, 0] == 1
    assert 10 < int(bears.sum()) < 30
    assert torch.equal(seen[~bears], frames[:1].expand(int((~bears).sum()), -1, -1, -1))
    for picture, mask in zip(seen[bears], moved[bears], strict=True):
        assert float(picture[mask > 127].float().mean()) < 60
        assert (picture[0, 0] == 90).all()


@pytest.mark.slow
def test_half_precision_fits_too() -> None:
    """Products in bfloat16 give a network that judges in float32."""
    network = pixel_net.fit(*_dotted(), passes=1, seed=0, half=True, log=lambda _: None)
    with torch.inference_mode():
        assert network(torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8)).dtype == torch.float32

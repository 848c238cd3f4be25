"""The first stage learns from masks what each place shows, and nothing where nobody knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.training.common.samples import Sample, Store, write_shard
from examples.training.lite0 import places
from examples.training.lite0.features import EDGE, Features, keep, read_tower
from examples.training.lite0.train import TOWER, sizes_of
from exporters.towers.words import ImageSide

CONCEPTS = ("hole", "crack")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Features]:
    """Grey squares, every other with a black hole somewhere in its left half, of cracks nothing is known."""
    folder, rng = tmp_path_factory.mktemp("places"), np.random.default_rng(0)
    samples = []
    for index in range(24):
        image = np.full((EDGE, EDGE, 3), 150, np.uint8)
        mask = np.zeros((EDGE, EDGE), bool)
        if index % 2:
            y, x = int(rng.integers(0, 5)) * 32, int(rng.integers(0, 2)) * 32
            mask[y : y + 40, x : x + 40] = True
            image[mask] = 20
        facts = frozenset({"hole", "!normal"} if index % 2 else {"!hole", "normal"})
        samples.append(Sample(image, facts, "ground", "train", masks={"hole": mask} if index % 2 else {}))
    write_shard(folder / "samples" / "ground-000", samples)
    keep(read_tower(TOWER), folder / "samples", folder / "kept", seed=2, log=lambda _: None)
    return Store(folder / "samples"), Features(folder / "samples", folder / "kept")


def test_labels_are_where_the_mask_is_also_when_mirrored(kept: tuple[Store, Features]) -> None:
    """Under the mask 1, clear of it 0; of a concept that nobody judged -1 everywhere."""
    store, features = kept
    labels = places.place_labels(store, features, store.rows, CONCEPTS, (7, 7)).reshape(24, 7, 7, 2)
    assert (labels[..., 1] == -1).all()
    for row, own in zip(store.rows, labels[..., 0], strict=True):
        assert bool((own == 1).any()) == ("hole" in row.facts)
        left, right = (own[:, :4] == 1).any(), (own[:, 4:] == 1).any()
        if "hole" in row.facts:
            assert bool(right) == features.mirrored(row)
            assert bool(left) != features.mirrored(row)


@pytest.mark.slow
def test_a_query_learns_to_find_its_concept(kept: tuple[Store, Features]) -> None:
    """After a few passes its soft maximum tells pictures with a hole from those without."""
    store, features = kept
    torch.manual_seed(0)
    image = ImageSide(sizes_of(read_tower(TOWER), len(CONCEPTS)))
    places.fit(image, store, features, store.rows, CONCEPTS, epochs=240, rate=3e-3, seed=0, log=lambda _: None)
    _, answers = places.answers(image, features, store.rows)
    shown = torch.tensor(["hole" in row.facts for row in store.rows])
    assert answers[0][shown, 0].min() > answers[0][~shown, 0].max()

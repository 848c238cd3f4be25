"""Features of the locked tower are computed once and are those of the pictures as they are told to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from examples.training.common.generated import generated
from examples.training.common.samples import Store, write_shard
from examples.training.lite0.features import EDGE, GROUPS, Features, keep, read_tower, see
from examples.training.lite0.train import TOWER


def test_kept_features_are_the_tower_s_own(tmp_path: Path) -> None:
    """A mirrored picture's are those of the mirrored picture; a second call computes nothing."""
    write_shard(tmp_path / "samples" / "line-000", generated("line", 4, 5, "train", EDGE))
    write_shard(tmp_path / "samples" / "validation-line", generated("line", 1, 6, "validation", EDGE))
    tower, said = read_tower(TOWER), list[str]()
    for _ in range(2):
        keep(tower, tmp_path / "samples", tmp_path / "kept", seed=1, log=said.append)
    assert said == ["features of line-000: 4 pictures"]
    store, features = Store(tmp_path / "samples"), Features(tmp_path / "samples", tmp_path / "kept")
    rows = store.where("train")
    assert not any(features.kept(row) for row in store.where("validation"))
    pooled = features.pooled(rows)
    maps = [features.maps(rows, group) for group in range(len(GROUPS))]
    assert [tuple(own.shape[2:]) for own in maps] == [(14, 14), (7, 7)]
    wanted = [store.image(row)[:, ::-1] if features.mirrored(row) else store.image(row) for row in rows]
    whole, _ = see(tower, np.stack(wanted))
    assert (torch.nn.functional.cosine_similarity(pooled, whole) > 0.8).all(), "the same picture, exposed anew"

"""Moments add up to those of all vectors; subspaces and discriminants made of them are what the vectors themselves would give."""

from __future__ import annotations

import numpy as np
import torch

from exporters.fit.moments import Moments, discriminants, subspaces, total


def test_moments_of_parts_add_up_to_those_of_the_whole() -> None:
    """A fold is left out by adding the others."""
    vectors = torch.from_numpy(np.random.default_rng(0).normal(2, 3, (300, 5)).astype(np.float32))
    whole = Moments.of(vectors)
    parts = total([Moments.none(5), *(Moments.of(part) for part in (vectors[:90], vectors[90:]))])
    assert parts.count == whole.count == 300
    np.testing.assert_allclose(parts.mean, vectors.double().mean(0), atol=1e-5)
    np.testing.assert_allclose(whole.covariance, np.cov(vectors.double().numpy().T, bias=True), atol=1e-3)


def test_a_subspace_holds_the_share_of_the_variance_that_was_asked_for() -> None:
    """Two directions carry nearly all of it; a larger share never has fewer directions."""
    random = np.random.default_rng(1)
    vectors = random.normal(0, 1, (500, 2)) @ random.normal(0, 1, (2, 8)) + random.normal(0, 0.01, (500, 8))
    small, large = subspaces(Moments.of(torch.from_numpy(vectors.astype(np.float32))), (0.9, 0.9999999))
    assert small.basis.shape[1] <= 2
    assert large.basis.shape[1] > 2
    np.testing.assert_allclose((small.basis.T @ small.basis).numpy(), np.eye(small.basis.shape[1]), atol=1e-5)


def test_a_discriminant_points_away_from_what_the_ground_varies_in_anyway() -> None:
    """The fault differs in both features, the ground varies in the first: the second is what tells."""
    random = np.random.default_rng(2)
    ground = random.normal(0, (5.0, 0.2), (1000, 2)).astype(np.float32)
    shown = ground[:200] + np.array([1.0, 1.0], np.float32)
    found = discriminants(
        Moments.of(torch.from_numpy(ground)), [Moments.of(torch.from_numpy(shown)), Moments.none(2)], 0.01
    )
    assert abs(float(found[1, 0])) > 10 * abs(float(found[0, 0]))
    assert torch.count_nonzero(found[:, 1]) == 0, "a kind that nobody painted has no direction"

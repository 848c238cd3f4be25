"""The trainee looks at all or some patches, and never loses a marked one by chance alone."""

from __future__ import annotations

import torch

from examples.training.common.samples import GRID, IMAGE_SIZE
from examples.training.common.words import CONCEPTS
from examples.training.siglip.model import Trainee, choose_patches, config, whiten_patches


def _trainee() -> Trainee:
    torch.manual_seed(0)
    return Trainee(config(vocabulary=64, eos_id=1)).eval()


def test_all_patches_in_any_order_see_the_same() -> None:
    """Keeping every patch equals looking at the whole picture."""
    trainee, pixels = _trainee(), torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE) * 2 - 1
    everything = torch.arange(GRID * GRID).expand(2, -1)
    with torch.no_grad():
        whole, kept = trainee.see(pixels), trainee.see(pixels, everything)
        reference = trainee.siglip.vision_model(pixel_values=pixels).pooler_output
    torch.testing.assert_close(whole.pooled, kept.pooled)
    torch.testing.assert_close(whole.pooled, reference, atol=1e-5, rtol=1e-4)
    assert whole.patch_concepts.shape == (2, GRID * GRID, len(CONCEPTS))


def test_few_marked_patches_are_mostly_kept() -> None:
    """Three marked patches among 144 survive the choice of 40 nearly always."""
    marked = torch.zeros(200, 144, dtype=torch.bool)
    marked[:, [5, 60, 100]] = True
    kept = choose_patches(marked, 40, torch.Generator().manual_seed(0))
    assert kept.shape == (200, 40)
    assert all(len(set(row.tolist())) == 40 for row in kept)
    assert marked.gather(1, kept).sum() > 0.9 * marked.sum()


def test_many_marked_patches_leave_room_for_the_rest() -> None:
    """When half of the picture is marked, unmarked patches are still seen."""
    marked = torch.zeros(200, 144, dtype=torch.bool)
    marked[:, :72] = True
    kept = choose_patches(marked, 40, torch.Generator().manual_seed(0))
    assert 0.2 < (~marked.gather(1, kept)).float().mean() < 0.6


def test_whitened_patches_have_even_strength() -> None:
    """After whitening no direction of real patches drowns another: the embedding's outputs are centred and of like size."""
    trainee, pixels = _trainee(), torch.rand(8, 3, IMAGE_SIZE, IMAGE_SIZE) * 2 - 1
    whiten_patches(trainee.siglip, pixels)
    with torch.no_grad():
        found = (
            trainee.siglip.vision_model.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2).reshape(-1, 192)
        )
    assert found.mean(0).abs().max() < 1e-3
    assert 0.1 < found.std(0).min() <= found.std(0).max() < 0.3


def test_a_patch_alone_is_a_picture_that_shows_nothing_else() -> None:
    """What the pooling head says of one patch equals its embedding of a picture made of that patch only; attention sums to one."""
    trainee, patches = _trainee(), torch.randn(3, 192)
    with torch.no_grad():
        pooled, attention = trainee._pool(patches[:, None].expand(-1, 5, -1))
        torch.testing.assert_close(trainee.alone(patches), pooled, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(attention.sum(1), torch.ones(3))

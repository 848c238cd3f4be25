"""The gated delta rule in ONNX's operators against its definition, step by step."""

from __future__ import annotations

import pytest
import torch

from exporters.onepass.recurrent import delta_rule, unit_triangular_inverse


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_inverse_of_the_triangular_system(size: int) -> None:
    """I + strictly lower part, times its inverse, is I; also where every row is alike, which ruins a power series."""
    alike = torch.full((size, size), 0.9)
    for system in (alike, torch.randn(3, size, size, generator=torch.Generator().manual_seed(size)) * 0.2):
        whole = torch.eye(size) + system.tril(-1)
        assert torch.allclose(unit_triangular_inverse(system) @ whole, torch.eye(size).expand(system.shape), atol=1e-4)


@pytest.mark.parametrize(("length", "started"), [(1, True), (5, False), (64, True), (65, False), (150, True)])
def test_chunks_compute_what_single_steps_do(length: int, started: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Decay, look up, overwrite, read: one step after the other gives the same reads and the same last state."""
    draw = torch.Generator().manual_seed(length)
    query, key = (torch.randn(2, length, 3, 4, generator=draw) for _ in range(2))
    value = torch.randn(2, length, 3, 5, generator=draw)
    decay = -torch.rand(2, length, 3, generator=draw)
    strength = torch.rand(2, length, 3, generator=draw)
    first = torch.randn(2, 3, 4, 5, generator=draw) if started else None
    state = torch.zeros(2, 3, 4, 5) if first is None else first
    reads = []
    for step in range(length):
        q, k = (x[:, step] * torch.rsqrt((x[:, step] ** 2).sum(-1, keepdim=True) + 1e-6) for x in (query, key))
        state = state * decay[:, step, :, None, None].exp()
        held = (state * k.unsqueeze(-1)).sum(-2)
        state = state + k.unsqueeze(-1) * ((value[:, step] - held) * strength[:, step, :, None]).unsqueeze(-2)
        reads.append((state * (q * 4**-0.5).unsqueeze(-1)).sum(-2))
    found, last = delta_rule(query, key, value, decay=decay, strength=strength, state=first)
    assert torch.allclose(found, torch.stack(reads, dim=1), atol=1e-5)
    assert torch.allclose(last, state, atol=1e-5)

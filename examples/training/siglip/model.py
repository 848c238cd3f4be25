"""The SigLIP model of the checkpoint with training-only heads, and a forward pass that may look at part of the patches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import SiglipConfig, SiglipModel

from examples.training.common.samples import FINE, GRID, IMAGE_SIZE, PATCH_SIZE
from examples.training.common.words import CONCEPTS
from examples.training.siglip.tokens import LENGTH

WIDTH = 192
_CELLS = (FINE // GRID) ** 2
_NOISE_VARIANCE = 5e-4


def config(vocabulary: int, eos_id: int) -> SiglipConfig:
    """The architecture: 6 layers of width 192 over 12x12 patches for pictures, 3 layers of width 128 for text."""
    text = {
        "vocab_size": vocabulary, "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 2,
        "max_position_embeddings": LENGTH, "projection_size": WIDTH, "pad_token_id": eos_id, "bos_token_id": None, "eos_token_id": eos_id,
    }  # fmt: skip
    vision = {
        "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": 6, "num_attention_heads": 3,
        "image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE,
    }  # fmt: skip
    return SiglipConfig(text_config=text, vision_config=vision)


@dataclass(frozen=True, slots=True)
class Seen:
    """The vision side's outputs for a batch: ``pooled`` (n, width), ``patches`` (n, kept, width), head outputs as logits, and ``attention`` (n, kept).

    ``attention`` is how much the pooling head looks at each patch, the mean over its heads; it sums to one.
    """

    pooled: Tensor
    patches: Tensor
    concepts: Tensor
    patch_concepts: Tensor
    patch_cells: Tensor
    attention: Tensor


class Trainee(nn.Module):
    """The model to be exported (``siglip``) and the heads that only training needs."""

    def __init__(self, model_config: SiglipConfig) -> None:
        super().__init__()
        self.siglip = SiglipModel(model_config)
        # Written out, attention over so few patches is about twice as fast on a processor as the fused kernel.
        self.siglip.set_attn_implementation("eager")
        self.concept_head = nn.Linear(WIDTH, len(CONCEPTS))
        self.patch_head = nn.Linear(WIDTH, len(CONCEPTS))
        self.cell_head = nn.Linear(WIDTH, _CELLS)
        _initialise(self.siglip)

    def see(self, pixels: Tensor, kept: Tensor | None = None) -> Seen:
        """Pictures float (n, 3, size, size) in -1..1; ``kept`` int64 (n, k) names the patches to look at, None means all."""
        tower = self.siglip.vision_model
        hidden = tower.embeddings(pixels) if kept is None else self._embedded(pixels, kept)
        hidden = tower.post_layernorm(tower.encoder(inputs_embeds=hidden).last_hidden_state)
        pooled, attention = self._pool(hidden)
        heads = self.concept_head(pooled), self.patch_head(hidden), self.cell_head(hidden)
        return Seen(pooled.float(), hidden, *(part.float() for part in (*heads, attention)))

    def _pool(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The tower's pooling head, step by step: its embedding (n, width) and where it looked (n, patches)."""
        head = self.siglip.vision_model.head
        seen, attention = head.attention(head.probe.expand(len(hidden), -1, -1), hidden, hidden, need_weights=True)
        return (seen + head.mlp(head.layernorm(seen)))[:, 0], attention[:, 0]

    def alone(self, patches: Tensor) -> Tensor:
        """The pooling head's output for single patches (n, width): the embedding of a picture in which it looks at nothing else."""
        head = self.siglip.vision_model.head
        attention = head.attention
        weight, bias = attention.in_proj_weight[-WIDTH:], attention.in_proj_bias[-WIDTH:]
        seen = attention.out_proj(nn.functional.linear(patches, weight, bias))
        embedding: Tensor = seen + head.mlp(head.layernorm(seen))
        return embedding

    def _embedded(self, pixels: Tensor, kept: Tensor) -> Tensor:
        """The tower's embeddings of the kept patches (n, k, width), without computing the others."""
        patches = nn.functional.unfold(pixels, PATCH_SIZE, stride=PATCH_SIZE).transpose(1, 2)
        patches = patches.gather(1, kept[..., None].expand(-1, -1, patches.shape[-1]))
        embeddings = self.siglip.vision_model.embeddings
        projection = embeddings.patch_embedding
        places: Tensor = embeddings.position_embedding(kept)
        return nn.functional.linear(patches, projection.weight.flatten(1), projection.bias) + places

    def read(self, tokens: Tensor) -> Tensor:
        """Text embeddings (n, width) of token ids int64 (n, LENGTH), every text padded to full length as SigLIP expects."""
        output: Tensor = self.siglip.text_model(input_ids=tokens).pooler_output
        return output

    def logits(self, pooled: Tensor, texts: Tensor) -> Tensor:
        """SigLIP scores (pictures, texts) before the sigmoid."""
        match = (
            nn.functional.normalize(pooled.float(), dim=-1) @ nn.functional.normalize(texts.float(), dim=-1).T
        ).float()
        scores: Tensor = match * self.siglip.logit_scale.exp() + self.siglip.logit_bias
        return scores


def _waves(cells: int, width: int) -> Tensor:
    """Sine and cosine waves over a square grid of places, float (cells * cells, width)."""
    place = torch.arange(cells, dtype=torch.float32)
    speed = (
        torch.pi
        / cells
        * 1.6 ** torch.arange(width // 4, dtype=torch.float32).remainder(6)
        * (1 + 0.13 * torch.arange(width // 4) / width)
    )
    wave = torch.cat([torch.sin(place[:, None] * speed), torch.cos(place[:, None] * speed)], 1)
    rows, columns = wave[:, None].expand(-1, cells, -1), wave[None].expand(cells, -1, -1)
    return torch.cat([rows, columns], 2).reshape(cells * cells, width)


def _initialise(model: SiglipModel) -> None:
    """Start values for a small model from nothing: logits near where a sigmoid loss settles, places as waves, and attention to what is alike.

    The last follows the observation that trained transformers have query and key products near the identity
    ("Mimetic initialization of self-attention layers", Trockman and Kolter 2023), which matters most when data are few.
    """
    with torch.no_grad():
        model.logit_scale.fill_(2.3)
        model.logit_bias.fill_(-2.0)
        model.vision_model.embeddings.position_embedding.weight.copy_(0.15 * _waves(GRID, WIDTH))
        nn.init.normal_(model.text_model.embeddings.position_embedding.weight, std=0.05)
        nn.init.normal_(model.text_model.embeddings.token_embedding.weight, std=0.1)
        for tower in (model.vision_model, model.text_model):
            for layer in tower.encoder.layers:
                attention = layer.self_attn
                shared = nn.init.orthogonal_(torch.empty_like(attention.q_proj.weight))
                attention.q_proj.weight.mul_(0.5).add_(shared, alpha=0.8)
                attention.k_proj.weight.mul_(0.5).add_(shared, alpha=0.8)


def whiten_patches(model: SiglipModel, images: Tensor) -> None:
    """Start the patch embedding at the whitened principal components of real patches, from pictures float (n, 3, size, size) in -1..1.

    A random projection mostly carries the mean grey of a patch, and edges and cracks drown in it; whitened, they count the same.
    """
    patches = nn.functional.unfold(images, PATCH_SIZE, stride=PATCH_SIZE).transpose(1, 2).reshape(-1, 3 * PATCH_SIZE**2)
    mean = patches.mean(0)
    centred = patches - mean
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(patches))
    largest = variances.argsort(descending=True)[:WIDTH]
    weight = (axes[:, largest] / (variances[largest] + _NOISE_VARIANCE).sqrt()).T * 0.25
    embedding = model.vision_model.embeddings.patch_embedding
    with torch.no_grad():
        embedding.weight.copy_(weight.view_as(embedding.weight))
        embedding.bias.copy_(-weight @ mean)


def choose_patches(marked: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices int64 (n, count) of patches to keep: random ones, with most marked ones among them but never more than about half.

    ``marked`` is bool (n, patches). Looking at part of the patches makes a step cheaper; a fault must not get lost by it.
    """
    lot = torch.rand(marked.shape, generator=generator)
    share = (count / 2) / marked.sum(1, keepdim=True).clamp(min=1)
    favoured = marked & (torch.rand(marked.shape, generator=generator) < share.clamp(max=0.95))
    chosen = (lot + favoured.float()).topk(count, dim=1).indices
    return chosen.sort(dim=1).values

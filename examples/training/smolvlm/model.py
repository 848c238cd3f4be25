"""The SmolVLM model of the checkpoint, its forward pass over many questions at once, and heads that only training needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Idefics3Config, Idefics3ForConditionalGeneration
from transformers.models.llama.modeling_llama import rotate_half

from examples.line.faults import BACKGROUNDS, MATERIALS, PARTS
from examples.training.common.samples import GRID, PATCH_SIZE
from examples.training.common.words import CONCEPTS, DOMAINS
from examples.training.smolvlm.prompts import Packed
from examples.training.smolvlm.tokens import END_ID, IMAGE_ID, PAD_ID
from exporters.onepass.towers import grid_places

WIDTH = 192
TABLE_PX = 512
SHUFFLE = 2
SCENE = (
    *CONCEPTS, *(f"part:{part}" for part in PARTS), *(f"material:{material}" for material in MATERIALS),
    *(f"background:{background}" for background in BACKGROUNDS), *(f"domain:{domain}" for domain in DOMAINS),
)  # fmt: skip
"""What the scene head predicts from the last token that all questions share, so that each question finds it gathered there."""
BLUR = 0.5
"""Most noise on a one-token question in training, against its size: a fitted token will be near the words' mean, not on it."""
HALFWAY = 2
"""The decoder layer before which scene and question must be understood, so that the layers behind it can put them together."""


def config(vocabulary: int) -> Idefics3Config:
    """The architecture: our SigLIP's tower (6 layers of width 192), and 4 Llama layers of width 192 with one key/value head."""
    text = {
        "model_type": "llama", "vocab_size": vocabulary, "hidden_size": WIDTH, "intermediate_size": 384, "num_hidden_layers": 4,
        "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 64, "max_position_embeddings": 1024, "pad_token_id": PAD_ID,
        "bos_token_id": 1, "eos_token_id": END_ID, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
    }  # fmt: skip
    vision = {
        "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": 6, "num_attention_heads": 3,
        "image_size": TABLE_PX, "patch_size": PATCH_SIZE,
    }  # fmt: skip
    return Idefics3Config(
        text_config=text,
        vision_config=vision,
        scale_factor=SHUFFLE,
        image_token_id=IMAGE_ID,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
    )


@dataclass(frozen=True, slots=True)
class Outputs:
    """The model's outputs for a batch, as logits: ``answers`` (n, questions, vocabulary), ``patches`` (n, patches, concepts), ``scene`` (n, SCENE).

    ``spots`` (n, image tokens, concepts): what each image token shows, predicted halfway up the decoder, where a question can look it up.
    ``looks`` (n, questions, 1 + image tokens): share of a question's attention on the very first token and on each image token, behind the halfway
    line; no logits. ``meant`` (questions, 2 * SCENE): which facts a question is about, stated ones before denied ones; its words alone settle that.
    """

    answers: Tensor
    patches: Tensor
    spots: Tensor
    looks: Tensor
    scene: Tensor
    meant: Tensor


class Trainee(nn.Module):
    """The model to be exported (``smolvlm``), the heads that only training needs, and the small position table that the large one is drawn from.

    SmolVLM reads its table of 32 x 32 places at the fraction of the picture where a patch lies. Trained row by row, places that no training
    size hits would stay random; so a table of 12 x 12 is trained and enlarged smoothly, and every resolution finds a meaning there.
    """

    def __init__(self, model_config: Idefics3Config) -> None:
        super().__init__()
        self.smolvlm: Any = Idefics3ForConditionalGeneration._from_config(model_config, attn_implementation="sdpa")  # noqa: SLF001 - the way that takes an attention kernel
        # Timed: a fused kernel's backward pass costs more than written-out attention over so few patches, and less over the packed questions.
        self.smolvlm.model.vision_model.config._attn_implementation = "eager"  # noqa: SLF001 - there is no public setter for one half
        self.places = nn.Parameter(torch.zeros(WIDTH, GRID, GRID))
        self.patch_head = nn.Linear(WIDTH, len(CONCEPTS))
        self.spot_head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(CONCEPTS)))
        self.scene_head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(SCENE)))
        self.meant_head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * len(SCENE)))
        _initialise(self.smolvlm)

    def table(self) -> Tensor:
        """The position table (places, width), enlarged from the small one."""
        side = TABLE_PX // PATCH_SIZE
        grown = nn.functional.interpolate(self.places[None], size=(side, side), mode="bicubic", align_corners=False)
        return grown[0].flatten(1).T

    def see(self, pixels: Tensor) -> Tensor:
        """Patch features (n, patches, width) of pictures float (n, 3, size, size) in -1..1."""
        tower = self.smolvlm.model.vision_model
        grid = pixels.shape[-1] // PATCH_SIZE
        places = grid_places(TABLE_PX // PATCH_SIZE, grid, grid)[0]
        hidden = tower.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2) + self.table()[places]
        hidden = _stream(hidden)
        for layer in tower.encoder.layers:
            hidden = layer(hidden, None)
        seen: Tensor = tower.post_layernorm(hidden)
        return seen

    def short(self, packed: Packed) -> Tensor:
        """The one-token questions (questions, width): means of their words at the size that embeddings have, blurred while training."""
        table: Tensor = self.smolvlm.model.text_model.embed_tokens.weight
        size = table.detach().pow(2).mean().sqrt()
        mean = nn.functional.embedding_bag(packed.bags, table, packed.starts, mode="mean")
        mean = mean * (size / mean.pow(2).mean(1, keepdim=True).sqrt().clamp(min=1e-6))
        if not self.training:
            return mean
        return mean + torch.randn_like(mean) * torch.rand(len(mean), 1) * BLUR * size

    def forward(self, pixels: Tensor, packed: Packed, *, hold: bool = False) -> Outputs:
        """Pictures float (n, 3, size, size) in -1..1 and the questions that all of them are asked; ``hold``: the tower learns nothing."""
        inner = self.smolvlm.model
        text = inner.text_model
        with torch.set_grad_enabled(torch.is_grad_enabled() and not hold):
            seen = self.see(pixels)
        image = inner.connector(seen)
        words = text.embed_tokens(packed.tokens)
        if len(packed.starts):
            words = torch.cat([words, self.short(packed)])
        words = words.expand(len(pixels), -1, -1)
        first, last = packed.image
        hidden = _stream(torch.cat([words[:, :first], image.to(words.dtype), words[:, last:]], dim=1))
        angles = text.rotary_emb(hidden, packed.positions[None])
        for number, layer in enumerate(text.layers):
            if number == HALFWAY:
                spots = self.spot_head(hidden[:, first:last])
                scene = self.scene_head(hidden[:, packed.prefix - 1])
                meant = self.meant_head(hidden[0, packed.ends])
                looks = _looks(layer, hidden, packed, angles)
            hidden = layer(
                hidden, attention_mask=packed.mask, position_embeddings=angles, position_ids=packed.positions[None]
            )
        ends = text.norm(hidden[:, packed.ends])
        return Outputs(ends @ text.embed_tokens.weight.T, self.patch_head(seen), spots, looks, scene, meant)

    def finish(self) -> None:
        """Write the enlarged table into the model."""
        with torch.no_grad():
            self.smolvlm.model.vision_model.embeddings.position_embedding.weight.copy_(self.table())


def _looks(layer: Any, hidden: Tensor, packed: Packed, angles: tuple[Tensor, Tensor]) -> Tensor:  # noqa: ANN401 - transformers ships no types
    """Where the questions' last tokens look in a layer, the mean of its heads: (n, questions, 1 + image tokens), see `Outputs`."""
    inner, size = layer.self_attn, layer.self_attn.head_dim
    normal = layer.input_layernorm(hidden)
    query = inner.q_proj(normal[:, packed.ends]).unflatten(-1, (-1, size)).transpose(1, 2).float()
    key = inner.k_proj(normal).unflatten(-1, (-1, size)).transpose(1, 2).float()
    cos, sin = (angle[:, None].float() for angle in angles)
    query = query * cos[:, :, packed.ends] + rotate_half(query) * sin[:, :, packed.ends]
    key = key * cos + rotate_half(key) * sin
    shares = (query @ key.mT * inner.scaling + packed.mask[0, 0, packed.ends]).softmax(-1).mean(1)
    first, last = packed.image
    return torch.cat([shares[..., :1], shares[..., first:last]], dim=-1)


def _stream(hidden: Tensor) -> Tensor:
    """What layers add to, in bfloat16 where their products are: half the memory to go through, which is what takes most of the time here."""
    return hidden.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else hidden


def _initialise(model: Any) -> None:  # noqa: ANN401 - transformers ships no types
    """Start values of the language half for a small model from nothing; attention begins at what is alike, as in `examples.training.siglip.model`."""
    text = model.model.text_model
    with torch.no_grad():
        nn.init.normal_(text.embed_tokens.weight, std=0.05)
        nn.init.normal_(model.model.connector.modality_projection.proj.weight, std=0.5 / (WIDTH * SHUFFLE**2) ** 0.5)
        for layer in text.layers:
            for matrix in (
                layer.mlp.gate_proj,
                layer.mlp.up_proj,
                layer.self_attn.v_proj,
                layer.self_attn.q_proj,
                layer.self_attn.k_proj,
            ):
                nn.init.normal_(matrix.weight, std=0.8 / matrix.weight.shape[1] ** 0.5)
            for matrix in (layer.mlp.down_proj, layer.self_attn.o_proj):
                nn.init.normal_(matrix.weight, std=0.2 / matrix.weight.shape[1] ** 0.5)


def take_decoder(trainee: Trainee, smolvlm: Path) -> None:
    """Start connector, decoder and vocabulary at those of an exported checkpoint of the same shape; its tower is left where it is."""
    weights = load_file(smolvlm / "model.safetensors")
    own = trainee.smolvlm.model.state_dict()
    halves = {name: weights[f"model.{name}"].float() for name in own if not name.startswith("vision_model.")}
    trainee.smolvlm.model.load_state_dict(own | halves)


def take_tower(trainee: Trainee, siglip: Path) -> None:
    """Start the tower at a SigLIP checkpoint's of the same shape. Raises ValueError when a tensor has no counterpart."""
    vision = json.loads((siglip / "config.json").read_text())["vision_config"]
    if vision["hidden_size"] != WIDTH or vision["patch_size"] != PATCH_SIZE:
        raise ValueError(
            f"{siglip} has another tower: width {vision['hidden_size']}, patch {vision['patch_size']}; {WIDTH} and {PATCH_SIZE} are needed"
        )
    weights = {
        name.removeprefix("vision_model."): value.float()
        for name, value in load_file(siglip / "model.safetensors").items()
    }
    tower = trainee.smolvlm.model.vision_model
    own = tower.state_dict()
    table = "embeddings.position_embedding.weight"
    missing = [name for name in own if name != table and name not in weights]
    if missing:
        raise ValueError(f"{siglip} lacks {', '.join(missing[:3])}")
    tower.load_state_dict({name: own[name] if name == table else weights[name] for name in own})
    side = round(weights[table].shape[0] ** 0.5)
    grown = weights[table].T.reshape(1, WIDTH, side, side)
    with torch.no_grad():
        trainee.places.copy_(
            nn.functional.interpolate(grown, size=(GRID, GRID), mode="bicubic", align_corners=False)[0]
        )

"""Exports a generative checkpoint's decoder for text: two graphs, a table of token bytes, and the proof against the checkpoint.

`begin` runs the tower and what all questions share, and gives the cache; `follow` puts one token behind a cache of fixed size and gives the best
next one. The question of each fault goes through `follow` token by token, so there is no third graph. The daemon's loop is `edge.explain.speech`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import ExportError
from edge.explain.speech import BEST, FRAME, KEY, KEYS, PLACE, SURE, TOKEN, VALUE, VALUES, Speech, Thought
from edge.inference.onnx_session import Brake, Graph, open_session
from edge.manifest import Execution
from edge.manifest import Speech as Section
from exporters.device import CPU
from exporters.graph.export import trace
from exporters.graph.quantize import quantize
from exporters.model import SpeechGraphs, SpeechRequest
from exporters.onepass.assembly import make_inputs
from exporters.onepass.form import Parts
from exporters.onepass.generative import Loaded
from exporters.onepass.module import OnePass, Pixels, Recording
from exporters.onepass.prompts import Prompts, compile_prompts, load_tokenizer
from exporters.onepass.reference import generate, normalise

FOLDER = "speech"
TEMPLATE = "{question}"
COMPARED = 4  # sentences compared with the float checkpoint, which runs a whole forward pass for each token
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class Begin(OnePass):
    """uint8 [1, H, W, 3] -> keys and values [layers, heads, P, width] of what all questions begin with."""

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override] # the same constants, another end
        """See the class."""
        images: list[Tensor] = self.front(frame)
        table = torch.cat([self._get("rows"), images[0]], dim=0)
        recorded = Recording()
        embeds = table.index_select(0, self._get("order")).unsqueeze(0)
        self._decode(embeds, "packed", recorded, [self._spread(image) for image in images[1:]])
        pairs = [recorded.pairs[layer] for layer in sorted(recorded.pairs)]
        return torch.cat([keys for keys, _ in pairs]), torch.cat([values for _, values in pairs])


@dataclass
class Behind:
    """Used as a cache while one token is appended: [layers, heads, room, width]."""

    keys: Tensor
    values: Tensor
    new: dict[int, tuple[Tensor, Tensor]]

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """[1, heads, room + 1, width]: the token's own comes after all places, wherever it belongs; the mask hides the empty ones."""
        self.new[layer] = (keys, values)
        past = slice(layer, layer + 1)
        return torch.cat([self.keys[past], keys], dim=2), torch.cat([self.values[past], values], dim=2)


class Follow(nn.Module):
    """One token at one place behind a cache -> its keys and values, the best next token, and that one's probability."""

    def __init__(self, parts: Parts, positions: NDArray[np.int64], *, prefix: int, room: int) -> None:
        super().__init__()
        decoder = parts.decoder
        self.layers = nn.ModuleList(decoder.layers)
        self.kinds = decoder.kinds
        self.norm = decoder.norm
        self.embed = parts.embed
        self.window = decoder.window
        self.register_buffer("head", parts.head.detach().clone())
        self.register_buffer("slots", torch.arange(room))
        # A token at place p goes on from the largest position of the prefix, on every axis.
        first = int(positions.max(initial=-1)) + 1
        onward = np.maximum(0, first + np.arange(room) - prefix)
        placed = torch.from_numpy(np.broadcast_to(onward, (len(positions), room)).copy())
        self.register_buffer("positions", placed[0].clone())
        for kind, (cosine, sine) in decoder.rope(placed.unsqueeze(1)).items():
            self.register_buffer(f"cos_{kind}", cosine.detach().clone())
            self.register_buffer(f"sin_{kind}", sine.detach().clone())

    def forward(
        self, token: Tensor, place: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See the class; token and place are int64 [1]."""
        hidden = self.embed(token.unsqueeze(0))
        state = Behind(keys, values, {})
        for layer, kind in zip(self.layers, self.kinds, strict=True):
            hidden = layer(
                hidden,
                past_key_values=state,
                attention_mask=self._mask(place, kind),
                position_embeddings=(self._at(f"cos_{kind}", place), self._at(f"sin_{kind}", place)),
                position_ids=cast("Tensor", self.positions).index_select(0, place).unsqueeze(0),
            )
        logits = self.norm(hidden)[0] @ cast("Tensor", self.head).T
        top, best = logits.max(dim=-1)
        sure = 1 / (logits - top.unsqueeze(-1)).exp().sum(dim=-1)
        new = [state.new[layer] for layer in sorted(state.new)]
        return torch.cat([key for key, _ in new]), torch.cat([value for _, value in new]), best, sure

    def _mask(self, place: Tensor, kind: str) -> Tensor:
        slots = cast("Tensor", self.slots)
        seen = slots < place
        if kind == "sliding" and self.window is not None:
            seen = seen & (place - slots < self.window)
        hidden = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
        return torch.cat([hidden, torch.zeros(1)])[None, None, None]

    def _at(self, name: str, place: Tensor) -> Tensor:
        return cast("Tensor", getattr(self, name)).index_select(1, place)


def build(model: Loaded, request: SpeechRequest) -> SpeechGraphs:
    """Export, quantize and prove.

    Raises:
        ExportError: layers that keep no keys and values, or the float graphs differ from the checkpoint.
    """
    folder, tokens, scheme = request.folder, request.tokens, request.scheme
    begin, follow, section = _modules(model, request.questions, tokens)
    spec = model.family.pixels(model.checkpoint)
    plain = {
        "begin": _trace_begin(begin, (1, spec.height, spec.width, 3), folder / "begin.onnx"),
        "follow": _trace_follow(follow, section.room, folder / "follow.onnx"),
    }
    (folder / "pieces.json").write_text(json.dumps(token_pieces(model.checkpoint.folder)), encoding="utf-8")
    count = len(request.frames)
    chosen = request.frames[np.linspace(0, count - 1, min(COMPARED, count)).astype(int)]
    wanted = _tokens_of_checkpoint(model, request.questions, section, chosen, tokens)
    if (found := _tokens_of_graphs(plain, section, chosen, tokens)) != wanted:
        pairs = [(ours, theirs) for ours, theirs in zip(found, wanted, strict=True) if ours != theirs]
        raise ExportError(f"the decode graphs differ from the checkpoint: tokens {pairs[0][0]} for {pairs[0][1]}.")
    graphs = plain
    if scheme != "float32":
        graphs = {
            name: quantize(
                "dynamic-int8", graph, folder / f"{name}-int8.onnx", frames=chosen[:1], input_name=FRAME,
                reduce_range=request.reduce_range,
            )
            for name, graph in plain.items()
        }  # fmt: skip
        found = _tokens_of_graphs(graphs, section, chosen, tokens)
    return SpeechGraphs(
        files={
            section.begin: graphs["begin"],
            section.follow: graphs["follow"],
            section.pieces: folder / "pieces.json",
        },
        section=section.model_copy(
            update={
                "scheme": "float32" if scheme == "float32" else "dynamic-int8",
                "compared": len(wanted),
                "equal": sum(ours == theirs for ours, theirs in zip(found, wanted, strict=True)),
            }
        ),
    )


def _modules(model: Loaded, questions: Sequence[str], tokens: int) -> tuple[Begin, Follow, Section]:
    family, checkpoint = model.family, model.checkpoint
    spec = family.pixels(checkpoint)
    parts = family.parts(model.model, spec)
    if "linear" in parts.decoder.kinds:
        raise ExportError(
            f"{family.name} has recurrent layers, which the decode graph does not keep: leave explain.speak out."
        )
    inputs = make_inputs(family, checkpoint, _prompts(model, questions), parts)
    begin = Begin(front=Pixels(spec.mean, spec.std, parts.tower), decoder=parts.decoder, inputs=inputs, form="prefix")
    prefix = len(inputs.layout.prefix)
    room = prefix + max(map(len, inputs.layout.suffixes)) + tokens
    follow = Follow(parts, inputs.positions, prefix=prefix, room=room)
    section = Section(
        begin=f"{FOLDER}/begin.onnx",
        follow=f"{FOLDER}/follow.onnx",
        pieces=f"{FOLDER}/pieces.json",
        room=room,
        tokens=tokens,
        questions=inputs.layout.suffixes,
        ends=tuple(sorted(special_tokens(load_tokenizer(checkpoint.folder)))),
        scheme="float32",
        compared=0,
        equal=0,
    )
    return begin.eval(), follow.eval(), section


def _prompts(model: Loaded, questions: Sequence[str]) -> Prompts:
    """The questions unchanged, without the instruction to answer yes or no."""
    family, checkpoint = model.family, model.checkpoint
    return compile_prompts(
        checkpoint.folder, family, questions, image_text=family.prompt_image(checkpoint), template=TEMPLATE
    )


def special_tokens(tokenizer: Any) -> set[int]:  # noqa: ANN401 - transformers ships no types
    """Tokens that are no words; any of them ends a sentence."""
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


def token_pieces(folder: Path) -> list[str]:
    """For each token the bytes that it represents, as a text whose characters are those bytes; nothing for special ones."""
    tokenizer = load_tokenizer(folder)
    byte_level = "ByteLevel" in json.dumps(json.loads(tokenizer.backend_tokenizer.to_str())["decoder"])
    special = special_tokens(tokenizer)
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return [
        "" if number in special or name is None else piece_bytes(name, byte_level=byte_level).decode("latin-1")
        for number, name in enumerate(names)
    ]


def piece_bytes(name: str, *, byte_level: bool) -> bytes:
    """The bytes of one token by its name: byte-level tables write each byte as a printable sign, sentencepiece a space as a low bar."""
    if byte_level:
        table = _byte_signs()
        return bytes(table[sign] for sign in name) if all(sign in table for sign in name) else name.encode()
    match = _BYTE.fullmatch(name)
    return bytes([int(match[1], 16)]) if match else name.replace("\u2581", " ").encode()


def _byte_signs() -> dict[str, int]:
    """Sign -> byte of byte-level tokenizers: printable bytes are themselves, the others are signs from 256 on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


def _trace_begin(begin: Begin, shape: tuple[int, ...], target: Path) -> Path:
    example = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    return trace(begin, (example,), [FRAME], [KEYS, VALUES], target)


def _trace_follow(follow: Follow, room: int, target: Path) -> Path:
    attention: Any = follow.layers[0].self_attn
    heads = int(attention.config.num_key_value_heads)
    cache = torch.zeros(len(follow.layers), heads, room, int(attention.head_dim))
    examples = (torch.tensor([1]), torch.tensor([room - 1]), cache, cache.clone())
    return trace(follow, examples, [TOKEN, PLACE, KEYS, VALUES], [KEY, VALUE, BEST, SURE], target)


def _tokens_of_checkpoint(
    model: Loaded, questions: Sequence[str], section: Section, frames: NDArray[np.uint8], tokens: int
) -> list[tuple[int, ...]]:
    """Tokens of the float checkpoint's own sentences, one picture and one fault each, the faults in turn."""
    prompts, pixels = _prompts(model, questions), normalise(model, frames)
    return [
        generate(model, pixels[index], prompts.sequences[index % len(questions)], ends=section.ends, tokens=tokens)
        for index in range(len(frames))
    ]


def _tokens_of_graphs(
    graphs: dict[str, Path], section: Section, frames: NDArray[np.uint8], tokens: int
) -> list[tuple[int, ...]]:
    """The same through the daemon's own loop, in ONNX Runtime alone."""
    brake = Brake(lambda: False)
    begin, follow = (
        Graph(
            open_session(
                graph,
                Execution(graph=graph.name, provider=CPU, intra_op_threads=1, scheme="float32"),
            ),
            brake,
        )
        for graph in (graphs["begin"], graphs["follow"])
    )
    speech = Speech(begin, follow, section, [b""] * 2**20)
    return [
        tuple(sentence(speech, frame[None], index % len(section.questions), tokens).generated)
        for index, frame in enumerate(frames)
    ]


def sentence(speech: Speech, tensor: NDArray[np.uint8], fault: int, tokens: int) -> Thought:
    """One whole sentence, without pauses."""
    thought = speech.read_picture(tensor)
    token, sure = -1, 0.0
    for word in speech.question(fault):
        token, sure = speech.follow(thought, word)
    while speech.goes_on(thought, token, tokens):
        speech.append(thought, token, sure)
        token, sure = speech.follow(thought, token)
    return thought

"""A generative checkpoint that may also speak: its decoder as two graphs, a table of its tokens' bytes, and the proof that they say what it says.

`begin` runs the tower and what all questions share, and gives the cache; `follow` puts one token behind a cache of fixed size and gives the best
next one. The question of each fault goes through `follow` token by token, so there is no third graph. The daemon's loop is `edge.explain.speech`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.bundle import Execution
from edge.bundle import Speech as Section
from edge.errors import ExportError
from edge.explain.speech import BEST, FRAME, KEY, KEYS, PLACE, SURE, TOKEN, VALUE, VALUES, Speech, Thought
from edge.session import Brake, Graph, open_session
from exporters.export import trace
from exporters.onepass.graph import Inputs, OnePass, Pixels, Recording
from exporters.onepass.prompts import compile_prompts, load_tokenizer
from exporters.onepass.reference import speak
from exporters.quantize import quantize

if TYPE_CHECKING:
    from exporters.onepass.generative import GenerativeModel, Parts

FOLDER = "speech"
TEMPLATE = "{question}"
COMPARED = 4  # sentences that the float checkpoint is asked for: it makes each word by a whole forward pass
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
    """Stands in for a cache while one token is put behind it: [layers, heads, room, width]."""

    keys: Tensor
    values: Tensor
    new: dict[int, tuple[Tensor, Tensor]]

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """[1, heads, room + 1, width]: the token's own stands behind all places, wherever it belongs; the mask hides the empty ones."""
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


@dataclass(frozen=True)
class Spoken:
    """What a bundle gets: files by their path in it, and the manifest's section."""

    files: dict[str, Path]
    section: Section


def build(
    model: GenerativeModel,
    questions: Sequence[str],
    frames: NDArray[np.uint8],
    folder: Path,
    *,
    tokens: int,
    scheme: str,
    reduce_range: bool,
) -> Spoken:
    """Export, quantize and prove.

    Args:
        model: the loaded checkpoint.
        questions: one for each fault, in words.
        frames: pictures uint8 [N, H, W, 3] on which its sentences are compared with the checkpoint's.
        folder: to write in.
        tokens: longest sentence.
        scheme: float32, or dynamic-int8 for any other.
        reduce_range: as the board wants it.

    Raises:
        ExportError: layers that keep no keys and values, or the float graphs do not say what the checkpoint says.
    """
    begin, follow, section = _modules(model, questions, tokens)
    spec = model.family.pixels(model.checkpoint)
    plain = {
        "begin": _trace_begin(begin, (1, spec.height, spec.width, 3), folder / "begin.onnx"),
        "follow": _trace_follow(follow, section.room, folder / "follow.onnx"),
    }
    (folder / "pieces.json").write_text(json.dumps(token_pieces(model.checkpoint.folder)), encoding="utf-8")
    chosen = frames[np.linspace(0, len(frames) - 1, min(COMPARED, len(frames))).astype(int)]
    wanted = _said_by_checkpoint(model, questions, section, chosen, tokens)
    if (found := _said_by_graphs(plain, section, chosen, tokens)) != wanted:
        pairs = [(ours, theirs) for ours, theirs in zip(found, wanted, strict=True) if ours != theirs]
        raise ExportError(
            f"the decode graphs do not say what the checkpoint says: tokens {pairs[0][0]} for {pairs[0][1]}."
        )
    graphs = plain
    if scheme != "float32":
        graphs = {
            name: quantize(
                "dynamic-int8", graph, folder / f"{name}-int8.onnx", frames=frames[:1], input_name=FRAME,
                reduce_range=reduce_range,
            )
            for name, graph in plain.items()
        }  # fmt: skip
        found = _said_by_graphs(graphs, section, chosen, tokens)
    return Spoken(
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


def _modules(model: GenerativeModel, questions: Sequence[str], tokens: int) -> tuple[Begin, Follow, Section]:
    family, checkpoint = model.family, model.checkpoint
    spec = family.pixels(checkpoint)
    parts = family.parts(model.model, spec)
    if "linear" in parts.decoder.kinds:
        raise ExportError(
            f"{family.name} has recurrent layers, which the decode graph does not keep: leave explain.speak out."
        )
    rows, columns = family.grid(checkpoint)
    prompts = compile_prompts(
        checkpoint.folder, family, questions, image_text=family.image_text(rows, columns), template=TEMPLATE
    )
    inputs: Inputs = family.inputs(checkpoint, prompts, parts)
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


def special_tokens(tokenizer: Any) -> set[int]:  # noqa: ANN401 - transformers ships no types
    """Tokens that are no words; any of them ends a sentence."""
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


def token_pieces(folder: Path) -> list[str]:
    """For each token the bytes that it stands for, as a text whose characters are those bytes; nothing for special ones."""
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
    """Sign -> byte of byte-level tokenizers: printable bytes stand for themselves, the others for signs from 256 on, in order."""
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


def _said_by_checkpoint(
    model: GenerativeModel, questions: Sequence[str], section: Section, frames: NDArray[np.uint8], tokens: int
) -> list[tuple[int, ...]]:
    """Tokens of the float checkpoint's own sentences, one picture and one fault each, the faults in turn."""
    rows, columns = model.family.grid(model.checkpoint)
    prompts = compile_prompts(
        model.checkpoint.folder,
        model.family,
        questions,
        image_text=model.family.image_text(rows, columns),
        template=TEMPLATE,
    )
    pixels = model.normalise(frames)
    return [
        speak(model, pixels[index], prompts.sequences[index % len(questions)], ends=section.ends, tokens=tokens)
        for index in range(len(frames))
    ]


def _said_by_graphs(
    graphs: dict[str, Path], section: Section, frames: NDArray[np.uint8], tokens: int
) -> list[tuple[int, ...]]:
    """The same through the daemon's own loop, in ONNX Runtime alone."""
    brake = Brake(lambda: False)
    begin, follow = (
        Graph(
            open_session(
                graph,
                Execution(graph=graph.name, provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32"),
            ),
            brake,
        )
        for graph in (graphs["begin"], graphs["follow"])
    )
    speech = Speech(begin, follow, section, [b""] * 2**20)
    return [
        tuple(sentence(speech, frame[None], index % len(section.questions), tokens).said)
        for index, frame in enumerate(frames)
    ]


def sentence(speech: Speech, tensor: NDArray[np.uint8], fault: int, tokens: int) -> Thought:
    """One whole sentence, without pauses."""
    thought = speech.look(tensor)
    token, sure = -1, 0.0
    for word in speech.question(fault):
        token, sure = speech.follow(thought, word)
    while speech.goes_on(thought, token, tokens):
        speech.say(thought, token, sure)
        token, sure = speech.follow(thought, token)
    return thought

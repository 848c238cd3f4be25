"""Maps a checkpoint's tensors to parameters: published names may have other prefixes than the modules; pure."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from edge.errors import ExportError

_EXPERT = re.compile(r"(.+\.experts)\.(\d+)\.(?:gate_proj|up_proj|down_proj)\.weight")
_JOINED = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}
Likeness = tuple[int, int]  # words shared at the end, words shared anywhere


def match(wanted: Sequence[Sequence[str]], there: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Give every parameter a tensor of its own.

    A tensor of the very name is taken first. What is left goes to the parameters whose names end most like the tensors', if the numbers in
    both (layers) are the same, and if the prefix is renamed as that of the parameter's neighbours is.

    Args:
        wanted: for each parameter its names; tied weights have several.
        there: names of the checkpoint's tensors.

    Returns:
        the tensor of each parameter by the parameter's first name, and the first names of those that have none.

    Raises:
        ExportError: several tensors fit a parameter equally well.
    """
    present = set(there)
    exact = {names[0]: name for names in wanted for name in names if name in present}
    taken = set(exact.values())
    alike = _alike([names for names in wanted if names[0] not in exact], [name for name in there if name not in taken])
    heads = {name: _heads(name, tensor) for name, tensor in alike.items()}
    renamed = {ours: Counter[str]() for ours, _ in heads.values()}
    for ours, theirs in heads.values():
        renamed[ours][theirs] += 1
    for ours, counts in renamed.items():
        if "." in ours:  # neighbours with the same names are evidence against another prefix
            counts[ours] += sum(name.startswith(f"{ours}.") for name in exact)
    kept = {name: alike[name] for name, (ours, theirs) in heads.items() if renamed[ours].most_common(1)[0][0] == theirs}
    tensors = exact | kept
    return tensors, [names[0] for names in wanted if names[0] not in tensors]


def stacks(there: Iterable[str]) -> dict[str, list[tuple[str, ...]]]:
    """Experts whose tensors lie one by one, by the name of the one tensor that transformers makes of them.

    Args:
        there: names of the checkpoint's tensors.

    Returns:
        for each name the experts in order, each with the tensors [out, in] that are stacked.
    """
    numbers: dict[str, set[int]] = {}
    names = set(there)
    for name in names:
        if found := _EXPERT.fullmatch(name):
            numbers.setdefault(found[1], set()).add(int(found[2]))
    made: dict[str, list[tuple[str, ...]]] = {}
    for layer, experts in numbers.items():
        for joined, parts in _JOINED.items():
            stack = [tuple(f"{layer}.{one}.{part}.weight" for part in parts) for one in range(len(experts))]
            if all(part in names for parts_of_one in stack for part in parts_of_one):
                made[f"{layer}.{joined}"] = stack
    return made


def missing_experts(there: Iterable[str], count: int) -> list[str]:
    """Tensors that are missing where a layer's experts lie one by one, of ``count`` experts."""
    names = set(there)
    layers = {found[1] for name in names if (found := _EXPERT.fullmatch(name))}
    parts = [part for joined in _JOINED.values() for part in joined]
    wanted = {f"{layer}.{one}.{part}.weight" for layer in layers for one in range(count) for part in parts}
    return sorted(wanted - names)


def stacked(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of a checkpoint's tensors with each stack of experts [out, in] as the one tensor [E, out, in] that it becomes.

    Raises:
        ExportError: experts of one layer have several shapes.
    """
    found = dict(shapes)
    for name, experts in stacks(shapes).items():
        edges = {tuple(shapes[part][1:] for part in parts) for parts in experts}
        rows = {sum(shapes[part][0] for part in parts) for parts in experts}
        columns = {edge for parts in edges for edge in parts}
        if len(rows) != 1 or len(columns) != 1:
            raise ExportError(f"the experts of {name} have several shapes; get the checkpoint again.")
        for parts in experts:
            for part in parts:
                del found[part]
        found[name] = (len(experts), *rows, *columns.pop())
    return found


def _alike(wanted: Sequence[Sequence[str]], there: Sequence[str]) -> dict[str, str]:
    """Pairs of parameter and tensor, most similar first, each once; a tensor that fits two parameters equally well goes to neither."""
    endings: dict[tuple[str, ...], list[str]] = {}
    for tensor in there:
        endings.setdefault(_ending(tensor), []).append(tensor)
    ranked = sorted(
        ((_likeness(name, tensor), names[0], tensor) for names in wanted for name in names for tensor in endings.get(_ending(name), ())),
        reverse=True,
    )  # fmt: skip
    found: dict[str, str] = {}
    taken: set[str] = set()
    for _, group in itertools.groupby(ranked, key=lambda pair: pair[0]):
        free = {(name, tensor) for _, name, tensor in group if name not in found and tensor not in taken}
        suitors = Counter(tensor for _, tensor in free)
        for name, tensor in sorted(free):
            if suitors[tensor] == 1 and found.setdefault(name, tensor) != tensor:
                raise ExportError(
                    f"no tensor of the checkpoint is clearly {name!r}: {found[name]!r} and {tensor!r} fit equally well. Load it with "
                    "transformers and save it again, so that its tensors have the names that transformers gives them."
                )
        taken |= set(suitors)
    return found


def _ending(name: str) -> tuple[str, ...]:
    """What two names must share to be compared at all: the last two words, and the numbers in it."""
    parts = name.split(".")
    return (*parts[-2:], *(part for part in parts if part.isdigit()))


def _likeness(ours: str, theirs: str) -> Likeness:
    return _tail(ours.split("."), theirs.split(".")), len(set(ours.split(".")) & set(theirs.split(".")))


def _tail(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """How many words the two names share at their ends."""
    pairs = zip(reversed(ours), reversed(theirs), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _heads(parameter: str, tensor: str) -> tuple[str, str]:
    """What precedes the shared end: in the parameter's name, in the tensor's."""
    ours, theirs = parameter.split("."), tensor.split(".")
    tail = _tail(ours, theirs)
    return ".".join(ours[: len(ours) - tail]), ".".join(theirs[: len(theirs) - tail])

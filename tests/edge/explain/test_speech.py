"""A sentence is made one token a step over a cache of fixed size, and a step that was stopped can simply be taken again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import FormatError
from edge.explain.speech import Speech, Thought, read_pieces
from edge.inference.onnx_session import Brake, Graph, Stopped, open_session
from edge.manifest import Execution
from edge.manifest import Speech as SpeechSpec
from tests.stand.bundles import SPEECH_ROOM, speech_files, speech_section

SPEC = SpeechSpec.model_validate(speech_section())
EXECUTION = Execution(graph="g.onnx", provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32")
GREY = np.full((1, 32, 32, 3), 90, np.uint8)


def load(folder: Path, brake: Brake | None = None, spec: SpeechSpec = SPEC) -> Speech:
    """The toy model, loaded as the daemon does."""
    for path, content in speech_files().items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    brake = brake or Brake(lambda: False)
    begin, follow = (Graph(open_session(folder / file, EXECUTION), brake) for file in (spec.begin, spec.follow))
    return Speech(begin, follow, spec, read_pieces(folder / spec.pieces))


def speak(speech: Speech, max_tokens: int = 40) -> Thought:
    """The whole loop, as the explainer walks it."""
    thought = speech.read_picture(GREY)
    token, sure = -1, 0.0
    for word in speech.question(0):
        token, sure = speech.follow(thought, word)
    while speech.goes_on(thought, token, max_tokens):
        speech.append(thought, token, sure)
        token, sure = speech.follow(thought, token)
    return thought


def test_the_question_then_the_sentence_until_its_end(tmp_path: Path) -> None:
    """The cache holds the picture's tokens, the question's and the words, in order; the text is the words' bytes."""
    speech = load(tmp_path)
    thought = speak(speech)
    assert speech.text(thought) == "It is red here."
    assert thought.probability == 0.5
    assert thought.filled == 2 + 2 + 5
    assert thought.keys[0, 0, : thought.filled, 0].tolist() == [90, 90, 4, 0, 1, 2, 3, 4, 5]
    assert not thought.keys[0, 0, thought.filled :].any()


def test_the_sentence_is_bounded(tmp_path: Path) -> None:
    """By the allowance of tokens, by what the bundle was made for, and by the room of the cache even where nothing ends it."""
    assert load(tmp_path).text(speak(load(tmp_path), max_tokens=2)) == "It is"
    short = SPEC.model_copy(update={"tokens": 1})
    assert load(tmp_path).text(speak(load(tmp_path, spec=short))) == "It"
    endless = SPEC.model_copy(update={"ends": (99,)})
    thought = speak(load(tmp_path, spec=endless), max_tokens=1000)
    assert thought.filled == SPEECH_ROOM


def test_a_token_that_the_table_does_not_know_ends_it(tmp_path: Path) -> None:
    """A broken graph may say any number; it never becomes an index."""
    speech = load(tmp_path)
    thought = speech.read_picture(GREY)
    assert not speech.goes_on(thought, 4711, 40)
    assert not speech.goes_on(thought, -1, 40)


def test_a_stopped_step_changes_nothing(tmp_path: Path) -> None:
    """With a frame waiting the step is refused; taken again later it gives what it would have given."""
    waits = [False]
    speech = load(tmp_path, Brake(lambda: waits[0]))
    thought = speech.read_picture(GREY)
    waits[0] = True
    for _ in range(3):
        with pytest.raises(Stopped):
            speech.follow(thought, 4)
    assert thought.filled == 2
    waits[0] = False
    assert speech.follow(thought, 4) == (5, 0.5)
    assert thought.filled == 3


def test_broken_bytes_become_a_sign_and_not_an_error() -> None:
    """Half of a character that two tokens share is shown as a replacement."""
    speech = Speech(_Never(), _Never(), SPEC, (b"", "é".encode()[:1], b"ok"))
    thought = Thought(np.zeros((1, 1, 4, 2), np.float32), np.zeros((1, 1, 4, 2), np.float32), 0, generated=[1, 2])
    assert speech.text(thought) == "\ufffdok"


@pytest.mark.parametrize("content", ['{"a": 1}x', "[1, 2]", '["\u20ac"]'])
def test_a_table_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    """Not JSON, not texts, or characters that are no bytes."""
    (tmp_path / "pieces.json").write_text(content, encoding="utf-8")
    with pytest.raises(FormatError, match="not a list of tokens"):
        read_pieces(tmp_path / "pieces.json")


class _Never:
    """A graph that is not asked."""

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """Never."""
        raise AssertionError(feeds, outputs)

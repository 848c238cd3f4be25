"""llama.cpp's side of `peers`, run by a Python that has llama-cpp-python and gguf: SmolVLM-256M's text decoder in Q8_0, random weights.

Arguments: file (made if it is not there), prefix tokens, question tokens, answer tokens. Reads a number of questions a line, writes what they cost.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import gguf  # type: ignore[import-not-found] # another environment's, see the module
import llama_cpp  # type: ignore[import-not-found] # likewise
import numpy as np

WIDTH, INNER, LAYERS, HEADS, GROUPS, WORDS = 576, 1536, 30, 9, 3, 49280


def make(target: Path) -> None:
    """The decoder with random weights."""
    writer = gguf.GGUFWriter(str(target), "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(64)
    writer.add_vocab_size(WORDS)
    # A vocabulary that nothing reads: without one, llama.cpp loads the file and crashes at the first token.
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"t{number}" for number in range(WORDS)])
    writer.add_token_scores([0.0] * WORDS)
    writer.add_token_types([gguf.TokenType.NORMAL] * WORDS)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    random = np.random.default_rng(0)
    kind = gguf.GGMLQuantizationType.Q8_0

    def product(name: str, outer: int, inner: int) -> None:
        value = random.standard_normal((outer, inner)).astype(np.float32) / np.sqrt(inner)
        writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)

    product("token_embd.weight", WORDS, WIDTH)
    product("output.weight", WORDS, WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for name, outer, inner in (
            ("attn_q", WIDTH, WIDTH), ("attn_k", 64 * GROUPS, WIDTH), ("attn_v", 64 * GROUPS, WIDTH), ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", INNER, WIDTH), ("ffn_up", INNER, WIDTH), ("ffn_down", WIDTH, INNER),
        ):  # fmt: skip
            product(f"blk.{layer}.{name}.weight", outer, inner)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def answer(model: Any, questions: int, prefix: int, words: int, tokens: int) -> None:  # noqa: ANN401 - llama.cpp's own class
    """Prefix once, then every question behind it, greedily."""
    model.reset()
    model.eval([7] * prefix)
    for question in range(questions):
        model.n_tokens = prefix  # what stands behind it in the cache is dropped at the next eval
        model.eval([11 + question] * words)
        for _ in range(tokens - 1):
            model.eval([int(np.argmax(model.scores[model.n_tokens - 1]))])


def _without_repacking(parameters: Any) -> Any:  # noqa: ANN401 - llama.cpp's own structure
    """llama-cpp-python 0.3.36 on a processor with AMX crashes in ggml_backend_amx_mul_mat for this shape; its other kernels run."""
    parameters.use_extra_bufts = False
    return parameters


def main() -> None:
    """Serve lines."""
    file, prefix, words, tokens = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    if not file.exists():
        make(file)
    plain = llama_cpp.llama_cpp.llama_model_default_params
    llama_cpp.llama_cpp.llama_model_default_params = lambda: _without_repacking(plain())
    model = llama_cpp.Llama(str(file), n_ctx=512, n_threads=1, n_threads_batch=1, logits_all=False, verbose=False)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        start = time.process_time()
        answer(model, int(line), prefix, words, tokens)
        print(json.dumps({"cpu_s": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    main()

"""Tiny random checkpoints of the generative families in their public layout: config, tokenizer, processor, safetensors.

The structure is the family's own (every kind of layer and every special token occurs); only the widths are small. Weights are drawn wide enough
that the picture moves the answers: a check on a model that ignores its input would prove nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

WORDS = (
    "Answer with yes or no. Is there a scratch in the picture? Is there a crack on the part? Is a bolt missing? Yes No yes no User Assistant "
    "Is oil leaking from the gearbox? Is the part misaligned? Is the lens blocked? Is there a dent? Is there rust? user model assistant "
    "Readings: vibration temperature pressure motor current bearing mm/s degC bar A rpm Is the gearbox failing? 0123456789 . - + Given these"
)


def tokenizer(folder: Path, *, special: list[str], template: str, prefix: str | None = None, **named: Any) -> int:
    """A byte-level BPE tokenizer with the family's special tokens, saved to `folder`. Returns the vocabulary's size."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([WORDS, WORDS], trainer)
    if prefix is not None:
        from tokenizers import processors

        bpe.post_processor = processors.TemplateProcessing(
            single=f"{prefix} $A", special_tokens=[(prefix, bpe.token_to_id(prefix))]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, chat_template=template, **named)
    fast.save_pretrained(folder)
    return int(bpe.get_vocab_size())


def save(folder: Path, model: Any, *, seed: int, scale: float) -> None:
    """Draw the weights again, wide, and save the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale / fan_in**0.5)
            elif "A_log" not in name:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        head = model.get_output_embeddings().weight
        head.copy_(torch.randn(head.shape, generator=generator) * 2 / head.shape[1] ** 0.5)
        embeddings = model.get_input_embeddings().weight
        if embeddings.data_ptr() != head.data_ptr():
            embeddings.copy_(torch.randn(embeddings.shape, generator=generator) * 0.5)
    model.save_pretrained(folder)


def smolvlm(folder: Path, *, model_type: str = "idefics3", seed: int = 0) -> Path:
    """SmolVLM: 64 px tower with 8 px patches, pixel shuffle 2 (16 image tokens), a two-layer grouped-query Llama."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
    )

    special = [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<image>",
        "<fake_token_around_image>",
        "<global-img>",
        "<end_of_utterance>",
    ]
    template = (
        "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
        "{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}"
        "{% for part in message['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
        "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    )
    size = tokenizer(folder, special=special, template=template, pad_token="<|im_end|>", eos_token="<end_of_utterance>")  # noqa: S106 - tokens of a vocabulary
    text = {
        "model_type": "llama", "vocab_size": size, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 512, "pad_token_id": 2,
    }  # fmt: skip
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
    }
    arguments = {
        "text_config": text,
        "vision_config": vision,
        "scale_factor": 2,
        "image_token_id": 3,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(seed)
    model: Any
    if model_type == "idefics3":
        model = Idefics3ForConditionalGeneration(Idefics3Config(**arguments))
    else:
        model = SmolVLMForConditionalGeneration(SmolVLMConfig(**arguments))
    save(folder, model, seed=seed, scale=1.6)
    Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 64}).save_pretrained(folder)
    return folder

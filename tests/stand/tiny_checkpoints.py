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


def ends(pad: str, end: str) -> dict[str, str]:
    """The names of the tokens that fill up and that end, as the tokenizer takes them."""
    return {"pad_token": pad, "eos_token": end}


def save(folder: Path, model: Any, *, seed: int, scale: float) -> None:
    """Draw the weights again, wide, and save the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                fan_in = parameter.shape[-1] if "experts" in name else parameter[0].numel()
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
    size = tokenizer(folder, special=special, template=template, **ends("<|im_end|>", "<end_of_utterance>"))
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


def gemma3(folder: Path, *, layers: int = 2, seed: int = 0) -> Path:
    """Gemma 3: 64 px tower pooled to 16 image tokens, one sliding and one full layer, a window shorter than the prompt; a third slides again."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessorPil

    special = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<image_soft_token>",
        "<start_of_image>",
        "<end_of_image>",
        "<start_of_turn>",
        "<end_of_turn>",
    ]
    template = (
        "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message['role'] }}\n"
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
        "{{ '<start_of_image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endif %}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    )
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>"}
    extra = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    size = tokenizer(folder, special=special, template=template, prefix="<bos>", extra_special_tokens=extra, **names)
    text = {
        "vocab_size": size, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "sliding_window": 20, "max_position_embeddings": 512, "query_pre_attn_scalar": 16,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"][:layers], "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 8,
        "vision_use_head": False,
    }  # fmt: skip
    torch.manual_seed(seed)
    config = Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=16, image_token_id=3, boi_token_id=4, eoi_token_id=5
    )
    save(folder, Gemma3ForConditionalGeneration(config), seed=seed, scale=1.3)
    Gemma3ImageProcessorPil(size={"height": 64, "width": 64}, image_seq_length=16).save_pretrained(folder)
    return folder


QWEN_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_VISION = {
    "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 8, "spatial_merge_size": 2,
    "temporal_patch_size": 2, "out_hidden_size": 48, "num_position_embeddings": 36,
}  # fmt: skip
QWEN_TOKENS = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 3, "vision_end_token_id": 4}


def qwen3_vl(folder: Path, *, seed: int = 0) -> Path:
    """Qwen3-VL: deepstack after both tower layers, interleaved three-axis rotary angles, a position table that is not the picture's grid."""
    from transformers import Qwen2VLImageProcessorPil, Qwen3VLConfig, Qwen3VLForConditionalGeneration

    size = tokenizer(folder, special=QWEN_SPECIAL, template=QWEN_TEMPLATE, **ends("<|endoftext|>", "<|im_end|>"))
    text = {
        "vocab_size": size, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True},
    }  # fmt: skip
    vision = QWEN_VISION | {"deepstack_visual_indexes": [0, 1]}
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **QWEN_TOKENS))
    save(folder, model, seed=seed, scale=1.3)
    Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 256, "longest_edge": 65536}
    ).save_pretrained(folder)
    return folder


def mistral3(folder: Path, *, decoder: str = "mistral", seed: int = 0) -> Path:
    """Mistral 3 (decoder mistral) or Ministral 3 (decoder ministral3, with its scaled queries)."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration, PixtralImageProcessorPil

    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "<pad>"]
    template = (
        "{{ bos_token }}{% for message in messages %}[INST]{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for part in message['content'] %}{{ '[IMG]' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endif %}[/INST]{% endfor %}"
    )
    names = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
    size = tokenizer(folder, special=special, template=template, prefix="<s>", **names)
    text = {
        "model_type": decoder, "vocab_size": size, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 512, "sliding_window": None,
    }  # fmt: skip
    if decoder == "ministral3":
        text["rope_parameters"] = {
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 32.0,
            "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1, "max_position_embeddings": 512,
        }  # fmt: skip
    vision = {
        "model_type": "pixtral", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 64, "patch_size": 8, "head_dim": 16,
    }  # fmt: skip
    torch.manual_seed(seed)
    config = Mistral3Config(
        text_config=text, vision_config=vision, image_token_index=5, spatial_merge_size=2, tie_word_embeddings=False
    )
    save(folder, Mistral3ForConditionalGeneration(config), seed=seed, scale=1.3)
    PixtralImageProcessorPil(size={"longest_edge": 64}, patch_size=16).save_pretrained(folder)
    return folder


def qwen35(folder: Path, *, seed: int = 0) -> Path:
    """Qwen3.5: two gated delta layers and one of full attention, more value heads than key heads, partly rotated heads."""
    from transformers import Qwen2VLImageProcessorPil, Qwen3_5Config, Qwen3_5ForConditionalGeneration

    size = tokenizer(folder, special=QWEN_SPECIAL, template=QWEN_TEMPLATE, **ends("<|endoftext|>", "<|im_end|>"))
    text = {
        "vocab_size": size, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 8,
        "linear_value_head_dim": 12, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1],
            "mrope_interleaved": True,
        },
    }  # fmt: skip
    torch.manual_seed(seed)
    model = Qwen3_5ForConditionalGeneration(Qwen3_5Config(text_config=text, vision_config=QWEN_VISION, **QWEN_TOKENS))
    save(folder, model, seed=seed, scale=1.3)
    Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 256, "longest_edge": 65536}
    ).save_pretrained(folder)
    return folder


def qwen35_moe(folder: Path, *, seed: int = 0) -> Path:
    """Qwen3.5 with a mixture of experts: each token takes two of six, and one that all share, in both kinds of layer."""
    from transformers import Qwen2VLImageProcessorPil, Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration

    size = tokenizer(folder, special=QWEN_SPECIAL, template=QWEN_TEMPLATE, **ends("<|endoftext|>", "<|im_end|>"))
    text = {
        "vocab_size": size, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "moe_intermediate_size": 32, "shared_expert_intermediate_size": 40, "num_experts": 6, "num_experts_per_tok": 2,
        "max_position_embeddings": 512, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 12,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        "layer_types": ["linear_attention", "full_attention"],
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1],
            "mrope_interleaved": True,
        },
    }  # fmt: skip
    torch.manual_seed(seed)
    config = Qwen3_5MoeConfig(text_config=text, vision_config=QWEN_VISION, **QWEN_TOKENS)
    save(folder, Qwen3_5MoeForConditionalGeneration(config), seed=seed, scale=0.7)
    Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 256, "longest_edge": 65536}
    ).save_pretrained(folder)
    return folder


def phi4(folder: Path, *, seed: int = 0) -> Path:
    """Phi-4: joined query/key/value and gate/up projections, grouped queries."""
    from transformers import Phi3Config, Phi3ForCausalLM

    special = ["<|endoftext|>", "<|im_start|>", "<|im_sep|>", "<|im_end|>", "<|dummy|>"]
    template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}<|im_sep|>{{ message['content'] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}"
    )
    size = tokenizer(folder, special=special, template=template, **ends("<|dummy|>", "<|im_end|>"))
    config = Phi3Config(
        vocab_size=size, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, original_max_position_embeddings=512, pad_token_id=4, bos_token_id=0, eos_token_id=3,
    )  # fmt: skip
    torch.manual_seed(seed)
    save(folder, Phi3ForCausalLM(config), seed=seed, scale=1.3)
    return folder

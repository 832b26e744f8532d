"""Tiny networks of random weights, as folders of a model hub."""

from __future__ import annotations

import json
from pathlib import Path

import torch


def clipseg(folder: Path) -> Path:
    """CLIPSeg for pictures of 32 pixels, with a vocabulary of letters."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    torch.manual_seed(0)
    inner = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = CLIPSegConfig(
        text_config={**inner, "vocab_size": 80, "max_position_embeddings": 8, "eos_token_id": 79, "bos_token_id": 78},
        vision_config={**inner, "image_size": 32, "patch_size": 8},
        projection_dim=16,
        reduce_dim=8,
        extract_layers=[0, 1, 2],
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{c}</w>" for c in letters)]
    vocabulary = {word: i for i, word in enumerate(words)} | {"<|startoftext|>": 78, "<|endoftext|>": 79}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 8})
    )
    return folder


def sam(folder: Path) -> Path:
    """SAM for pictures of 64 pixels."""
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    config = SamConfig(
        vision_config={
            **{"hidden_size": 16, "output_channels": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
            **{"image_size": 64, "patch_size": 16, "window_size": 2, "global_attn_indexes": [0], "num_pos_feats": 8},
        },
        prompt_encoder_config={
            **{"hidden_size": 16, "image_size": 64, "patch_size": 16, "image_embedding_size": 4},
            **{"mask_input_channels": 4},
        },
        mask_decoder_config={
            **{"hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
            **{"iou_head_hidden_dim": 16},
        },
    )
    SamModel(config).save_pretrained(folder)
    return folder

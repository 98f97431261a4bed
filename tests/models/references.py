"""Models of transformers with tiny configurations: the sides that the twins in this folder are ports of."""

from __future__ import annotations

from typing import Any

_TEXT = {"vocab_size": 29, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_SPECIAL = {"attn_implementation": "eager"}


def _transformers() -> Any:
    from reference_torch.compat import prepare_timm

    prepare_timm()  # transformers imports torchvision as well
    import transformers

    transformers.logging.set_verbosity_error()
    return transformers


def bert(*, masked: bool = False, positions: int = 12, **options: Any) -> Any:
    """BERT, alone or with the head that predicts masked words."""
    transformers = _transformers()
    config = transformers.BertConfig(
        **{**_TEXT, **options},
        **_SPECIAL,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
    )
    return transformers.BertForMaskedLM(config) if masked else transformers.BertModel(config)


def gpt2(*, positions: int = 12, **options: Any) -> Any:
    """GPT-2, whose matrices are `Conv1D`s, (in, out)."""
    transformers = _transformers()
    config = transformers.GPT2Config(
        **_TEXT, **_SPECIAL, n_embd=16, n_layer=2, n_head=2, n_positions=positions, **options
    )
    return transformers.GPT2LMHeadModel(config)


def llama(*, positions: int = 16, **options: Any) -> Any:
    """Llama, four heads of queries on two of keys and values."""
    transformers = _transformers()
    config = transformers.LlamaConfig(
        **{**_TEXT, **options},
        **_SPECIAL,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
    )
    return transformers.LlamaForCausalLM(config)


def t5(**options: Any) -> Any:
    """T5, encoder and decoder, embeddings and head tied."""
    transformers = _transformers()
    config = transformers.T5Config(
        **_TEXT,
        **_SPECIAL,
        d_model=16,
        d_kv=6,
        d_ff=32,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
        **options,
    )
    return transformers.T5ForConditionalGeneration(config)


def vit(*, size: int = 16, patch: int = 4) -> Any:
    """A ViT with a classifier."""
    transformers = _transformers()
    config = transformers.ViTConfig(
        **_SPECIAL,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=size,
        patch_size=patch,
        num_labels=5,
    )
    return transformers.ViTForImageClassification(config)


def whisper(*, positions: int = 10) -> Any:
    """Whisper's encoder; it takes (batch, 8, 2 * positions)."""
    transformers = _transformers()
    config = transformers.WhisperConfig(
        **_SPECIAL,
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        num_mel_bins=8,
        max_source_positions=positions,
    )
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder(config)

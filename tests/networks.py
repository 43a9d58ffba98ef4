"""Random networks as their libraries save them: whatever a user may name by a folder."""

from pathlib import Path

from mmlab.encoders import MAX_TOKENS


def save_text_model(kind: str, tokenizer, folder: Path, **sizes: int) -> Path:
    """A model of a kind that transformers knows, with this tokenizer; sizes: settings of it. Returns the folder."""
    import torch
    import transformers

    torch.manual_seed(0)
    settings = transformers.AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), max_position_embeddings=MAX_TOKENS + 2, pad_token_id=tokenizer.pad_token_id,
        **sizes,
    )  # fmt: skip
    transformers.AutoModel.from_config(settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

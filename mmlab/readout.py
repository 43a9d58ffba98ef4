"""What is read out of a network: which layers, pooled how. A model of transformers or timm in, vectors out.

Explained in notebook 02, section 2 (tokens) and notebook 03, section 2 (patches).
"""

PATCH_GRID = 3  # an image becomes its pooled vector and 3 x 3 patches
# Middle layers carry more sentiment than the last, which is trained for whole sentences (Tenney et al. 2019): a token's
# vector joins the layer at two thirds of the depth and the last one.
MIDDLE_DEPTH = 2 / 3


def read_tokens(model, **batch):
    """A transformers model's vectors of tokens (B, T, 2 · width): a middle layer next to the last one."""
    import torch

    layers = model(**batch, output_hidden_states=True).hidden_states
    return torch.cat([layers[round(MIDDLE_DEPTH * (len(layers) - 1))], layers[-1]], dim=-1)


def pool_patches(model, images):
    """A timm model's features of images (B, 3, H, W) as one sequence (B, 1 + PATCH_GRID², width), float32.

    Vector 0 is what the model's own classifier sees. The map of patches, (B, C, h, w) or (B, h, w, C) or a vision
    transformer's tokens (B, prefix + h·w, C), is averaged to PATCH_GRID x PATCH_GRID. Each cell of a convolutional
    map then passes the model's last layers by itself, so that all vectors of the sequence are of one space.
    """
    import torch
    from torch.nn import functional as F

    features = model.forward_features(images)
    pooled = model.forward_head(features, pre_logits=True)
    if features.ndim == 3:  # a transformer: leave the class token out, put the others back into their grid
        tokens = features[:, getattr(model, "num_prefix_tokens", 0) :]
        side = int(tokens.shape[1] ** 0.5)
        grid = tokens[:, : side * side].transpose(1, 2).unflatten(2, (side, side))
        patches = F.adaptive_avg_pool2d(grid.float(), PATCH_GRID).flatten(2).transpose(1, 2)
    else:
        channels_last = features.shape[1] != model.num_features and features.shape[-1] == model.num_features
        grid = features.permute(0, 3, 1, 2) if channels_last else features
        cells = F.adaptive_avg_pool2d(grid.float(), PATCH_GRID).flatten(2).transpose(1, 2).flatten(0, 1)
        cells = cells[:, None, None, :] if channels_last else cells[:, :, None, None]
        patches = model.forward_head(cells.to(features.dtype), pre_logits=True).unflatten(0, (-1, PATCH_GRID**2))
    return torch.cat([pooled.unsqueeze(1).float(), patches.float()], dim=1)


def measure_style(model, images):
    """The style of images (B, 3, H, W): (B, 1, twice the channels of all stages), float32.

    For each stage of a timm model the mean and the deviation of each channel over all places: what is there and how
    evenly, but not where. This is what style transfer keeps (Huang and Belongie 2017).
    """
    import torch

    maps = model.forward_intermediates(images, intermediates_only=True, output_fmt="NCHW")
    kept = []
    for one in maps:
        places = one.float().flatten(2)
        kept += [places.mean(dim=2), places.var(dim=2, correction=0).clamp(min=1e-6).sqrt()]
    return torch.cat(kept, dim=1).unsqueeze(1)


# By the name that an image encoder gives what it reads.
READOUTS = {"patches": pool_patches, "style": measure_style}

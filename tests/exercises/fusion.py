"""Answers to the exercise `fusion`; see exercise_cases.py."""

LAYERS = "self.mix = nn.Sequential(nn.Linear(2 * width, 32), nn.GELU(), nn.Linear(32, classes))"
WEIGHTS = "weights = mask.unsqueeze(-1).float()"
MEAN = "mean = (weights * vectors).sum(dim=1) / weights.sum(dim=1).clamp(min=1)"
MISSING = "torch.where(mask.any(dim=1, keepdim=True), mean, missing)"
RETURN = "return self.mix(torch.cat(means, dim=1))"

MISTAKES = [
    ("shape", {"nn.Linear(32, classes))": "nn.Linear(32, 1))"}),
    ("shape", {RETURN: "return self.mix(torch.cat(means, dim=1)).argmax(dim=1)"}),
    ("shape", {RETURN: "return self.mix(torch.cat(means, dim=1)), means"}),
    # False times infinity is nan
    (
        "not_finite",
        {MEAN: "mean = ((vectors + (1 - weights) * -torch.inf).softmax(dim=1) * vectors * weights).sum(dim=1)"},
    ),
    ("random_output", {RETURN: "return self.mix(nn.functional.dropout(torch.cat(means, dim=1)))"}),
    ("random_output", {RETURN: "return nn.Linear(64, 3)(self.mix[:2](torch.cat(means, dim=1)).repeat(1, 2))"}),
    (
        "unregistered",
        {
            LAYERS: "self.layers = [nn.Linear(2 * width, 32), nn.GELU(), nn.Linear(32, classes)]\n"
            "        self.mix = lambda one: self.layers[2](self.layers[1](self.layers[0](one)))"
        },
    ),
    # only a layer in the middle is out of sight
    (
        "unregistered",
        {
            LAYERS: f'self.first = {{"both": nn.Linear(2 * width, 2 * width)}}\n        {LAYERS}',
            RETURN: 'return self.mix(self.first["both"](torch.cat(means, dim=1)).relu())',
        },
    ),
    (
        "unregistered",
        {
            LAYERS: "self.weight = torch.randn(2 * width, classes)",
            RETURN: "return torch.cat(means, dim=1).tanh() @ self.weight",
        },
    ),
    ("image_ignored", {RETURN: "return self.mix(torch.cat([means[0], means[0]], dim=1))"}),
    ("image_ignored", {RETURN: "return self.mix(torch.cat([means[0], 0 * means[1]], dim=1))"}),
    ("text_ignored", {RETURN: "return self.mix(torch.cat([means[1], means[1]], dim=1))"}),
    ("batch_mixed", {RETURN: "both = torch.cat(means, dim=1)\n        return self.mix(both - both.mean(dim=0))"}),
    ("batch_mixed", {RETURN: "return self.mix(torch.cat(means, dim=1).softmax(dim=0))"}),
    # nn.MultiheadAttention without batch_first takes the first axis for the sequence
    (
        "batch_mixed",
        {
            LAYERS: f"self.attention = nn.MultiheadAttention(width, 2)\n        {LAYERS}",
            RETURN: "two = torch.stack(means, dim=1)\n        return self.mix(self.attention(two, two, two)[0].flatten(1))",
        },
    ),
    ("mask_inverted", {WEIGHTS: "weights = (~mask).unsqueeze(-1).float()"}),
    # key_padding_mask wants True at the padding
    (
        "mask_inverted",
        {
            LAYERS: f"self.attention = nn.MultiheadAttention(width, 2, batch_first=True)\n        {LAYERS}",
            MEAN: "question = self.missing.mean(dim=0).expand(len(mask), 1, -1)\n"
            "            mean = self.attention(question, vectors, vectors, key_padding_mask=mask)[0].squeeze(1)",
        },
    ),
    ("padding_read", {WEIGHTS: "weights = torch.ones_like(mask).unsqueeze(-1).float()"}),
    ("padding_read", {MEAN: "mean = vectors.amax(dim=1)"}),
    ("padding_counted", {MEAN: "mean = (weights * vectors).mean(dim=1)"}),
    (
        "missing_not_finite",
        {"weights.sum(dim=1).clamp(min=1)": "weights.sum(dim=1)", MISSING: "mean + missing"},
    ),
    # every place is masked
    (
        "missing_not_finite",
        {
            LAYERS: f"self.attention = nn.MultiheadAttention(width, 2, batch_first=True)\n        {LAYERS}",
            MEAN: "question = self.missing.mean(dim=0).expand(len(mask), 1, -1)\n"
            "            mean = self.attention(question, vectors, vectors, key_padding_mask=~mask)[0].squeeze(1)",
            MISSING: "mean",
        },
    ),
    ("missing_as_zeros", {MISSING: "mean"}),
    # the whole batch decides
    ("missing_as_zeros", {MISSING: "mean if mask.any() else missing.expand_as(mean)"}),
    (
        "one_key",
        {
            RETURN: "text, image = (one.unsqueeze(1) for one in means)\n"
            "        weights = torch.softmax(text @ image.mT, dim=-1)\n"
            "        return self.mix(torch.cat([means[0], (weights @ image).squeeze(1)], dim=1))"
        },
    ),
    (
        "one_key",
        {
            LAYERS: f"self.attention = nn.MultiheadAttention(width, 2, batch_first=True)\n        {LAYERS}",
            RETURN: "text, image = (one.unsqueeze(1) for one in means)\n"
            "        seen, _ = self.attention(text, image, image, need_weights=False)\n"
            "        return self.mix(torch.cat([text, seen], dim=2).squeeze(1))",
        },
    ),
    ("softmax_output", {RETURN: "return self.mix(torch.cat(means, dim=1)).softmax(dim=1)"}),
    ("softmax_output", {RETURN: "return self.mix(torch.cat(means, dim=1)).sigmoid()"}),
    ("relu_output", {RETURN: "return self.mix(torch.cat(means, dim=1)).relu()"}),
    ("gradient_cut", {RETURN: "return self.mix(torch.cat([means[0], means[1].detach()], dim=1))"}),
    (
        "gradient_cut",
        {
            "        means = []": "        with torch.no_grad():\n            patches = self.see(patches)\n        means = []",
            LAYERS: f"self.see = nn.Linear(width, width)\n        {LAYERS}",
        },
    ),
    # the mean of no vectors is replaced, but its gradient is 0 times infinity
    (
        "gradient_not_finite",
        {
            LAYERS: f"self.see = nn.Linear(width, width)\n        {LAYERS}",
            MEAN: "mean = (weights * self.see(vectors)).sum(dim=1).div(weights.sum(dim=1))",
        },
    ),
    ("not_joint", {LAYERS: "self.mix = nn.Linear(2 * width, classes)"}),
    # each side has a network of its own, and their answers are added
    (
        "not_joint",
        {
            LAYERS: "self.mix = nn.ModuleList(\n"
            "            nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, classes)) for _ in range(2)\n"
            "        )",
            RETURN: "return self.mix[0](means[0]) + self.mix[1](means[1])",
        },
    ),
]

# What the whole answers below share.
TOP = """
import torch
from torch import nn
from torch.nn import functional as F


def average(vectors, mask):
    return (vectors * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def there(mask):
    return mask.any(1, keepdim=True)

"""
FORWARD = "def forward(self, tokens, token_mask, patches, patch_mask):"

GATED = f"""{TOP}
class MyFusion(nn.Module):
    def __init__(self, size, n):
        super().__init__()
        self.no_text, self.no_image = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))
        self.text, self.image, self.gate = nn.Linear(size, 24), nn.Linear(size, 24), nn.Linear(2 * size, 24)
        self.out = nn.Linear(24, n)

    {FORWARD}
        t = torch.where(there(token_mask), average(tokens, token_mask), self.no_text)
        v = torch.where(there(patch_mask), average(patches, patch_mask), self.no_image)
        g = torch.sigmoid(self.gate(torch.cat([t, v], 1)))
        return self.out(g * torch.tanh(self.text(t)) + (1 - g) * torch.tanh(self.image(v)))
"""
BILINEAR = f"""{TOP}
class MyFusion(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.project = nn.ModuleDict({{"text": nn.Linear(width, 8), "image": nn.Linear(width, 8)}})
        self.meet = nn.Bilinear(8, 8, classes)

    {FORWARD}
        # The bias of a projection tells vectors of zeros from no vector at all.
        text = average(self.project["text"](tokens), token_mask)
        image = average(self.project["image"](patches), patch_mask)
        return self.meet(text, image) + self.meet(text + 1, image + 1)
"""
MULTIHEAD = f"""{TOP}
class MyFusion(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.question = nn.Parameter(torch.randn(1, 1, width) / 4)
        self.kind = nn.Embedding(2, width)
        self.attention = nn.MultiheadAttention(width, 4, dropout=0.1, batch_first=True)
        self.out = nn.Sequential(nn.Linear(width, 48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, classes))

    {FORWARD}
        vectors = torch.cat([tokens + self.kind.weight[0], patches + self.kind.weight[1]], dim=1)
        hidden = ~torch.cat([token_mask, patch_mask], dim=1)
        question = self.question.expand(len(vectors), -1, -1)
        seen, _ = self.attention(question, vectors, vectors, key_padding_mask=hidden)
        return self.out(seen[:, 0])
"""
TRANSFORMER = f"""{TOP}
class MyFusion(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.kind = nn.Parameter(torch.randn(2, 1, width))
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, 2, 32, dropout=0.1, batch_first=True), 1, enable_nested_tensor=False
        )
        self.out = nn.Linear(width, classes)

    {FORWARD}
        first = self.first.expand(len(tokens), 1, -1)
        everything = torch.cat([first, tokens + self.kind[0], patches + self.kind[1]], dim=1)
        padding = ~torch.cat([torch.ones_like(token_mask[:, :1]), token_mask, patch_mask], dim=1)
        return self.out(self.encoder(everything, src_key_padding_mask=padding)[:, 0])
"""
LOOPS = f"""{TOP}
class MyFusion(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.nothing = nn.ParameterList([torch.randn(width), torch.randn(width)])
        self.hidden, self.out = nn.Linear(2 * width, 32), nn.Linear(32, classes)

    {FORWARD}
        rows = []
        for words, said, parts, seen in zip(tokens, token_mask, patches, patch_mask):
            text = words[said].mean(0) if said.any() else self.nothing[0]
            image = parts[seen].mean(0) if seen.any() else self.nothing[1]
            rows.append(self.out(torch.tanh(self.hidden(torch.cat([text, image])))))
        return torch.stack(rows)
"""
FILM = f"""{TOP}
class MyFusion(nn.Module):
    # The image scales and shifts what the text says; the last layer starts at zero.
    def __init__(self, width, classes):
        super().__init__()
        self.modulate = nn.Sequential(nn.Linear(width + 1, 64), nn.GELU(), nn.Linear(64, 64))
        self.text = nn.Linear(width + 1, 32)
        self.out = nn.Linear(32, classes)
        nn.init.zeros_(self.out.weight)

    {FORWARD}
        text = torch.cat([average(tokens, token_mask), there(token_mask).float()], 1)
        image = torch.cat([average(patches, patch_mask), there(patch_mask).float()], 1)
        scale, shift = self.modulate(image).chunk(2, dim=1)
        return self.out(F.gelu(self.text(text) * (1 + scale) + shift))
"""
EXPERTS = f"""{TOP}
class MyFusion(nn.Module):
    def __init__(self, width, classes, experts=4):
        super().__init__()
        self.gone = nn.Parameter(torch.ones(2, width))
        self.choose = nn.Linear(2 * width, experts)
        self.experts = nn.ModuleList(nn.Linear(2 * width, classes) for _ in range(experts))

    {FORWARD}
        text = average(tokens, token_mask) + ~there(token_mask) * self.gone[0]
        image = average(patches, patch_mask) + ~there(patch_mask) * self.gone[1]
        both = torch.cat([text, image], dim=-1)
        shares = nn.Softmax(dim=-1)(self.choose(both))
        return torch.stack([expert(both) for expert in self.experts], dim=-1).mul(shares.unsqueeze(1)).sum(-1)
"""
FLAGS = f"""{TOP}
class MyFusion(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.net = nn.Sequential(nn.LazyLinear(40), nn.ELU(), nn.LazyLinear(classes))

    {FORWARD}
        tokens[~token_mask] = 0
        patches[~patch_mask] = 0
        flags = torch.stack([token_mask.any(1), patch_mask.any(1)], 1)
        counts = torch.stack([token_mask.sum(1), patch_mask.sum(1)], 1).clamp(min=1)
        both = torch.stack([tokens.sum(1), patches.sum(1)], 1) / counts[..., None]
        return self.net(torch.cat([both.flatten(1), flags], 1))
"""
OUTER = f"""{TOP}
class MyFusion(nn.Module):
    # All products of a text number and an image number, with a 1 before each side.
    def __init__(self, width, classes):
        super().__init__()
        self.text, self.image = nn.Linear(width, 6), nn.Linear(width, 6)
        self.classify = nn.Linear(49, classes)

    def side(self, vectors, mask):
        one = mask.any(1, keepdim=True).to(vectors)
        return torch.cat([2 - one, average(vectors, mask)], 1)

    {FORWARD}
        text = self.side(torch.relu(self.text(tokens)), token_mask)
        image = self.side(torch.relu(self.image(patches)), patch_mask)
        return self.classify(torch.einsum("bi,bj->bij", text, image).flatten(1))
"""
CROSS = f"""{TOP}
class MyFusion(nn.Module):
    # Each token looks at the patches, and at one learned patch that is always there.
    def __init__(self, width, classes):
        super().__init__()
        self.nothing = nn.Parameter(torch.randn(2, 1, width))
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Sequential(nn.Linear(2 * width, 32), nn.SiLU(), nn.Linear(32, classes))

    def add(self, vectors, mask, nothing):
        vectors = torch.cat([nothing.expand(len(vectors), 1, -1), vectors], 1)
        return vectors, F.pad(mask, (1, 0), value=True)

    {FORWARD}
        tokens, token_mask = self.add(tokens, token_mask, self.nothing[0])
        patches, patch_mask = self.add(patches, patch_mask, self.nothing[1])
        q, k, v = self.q(tokens), self.k(patches), self.v(patches)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=patch_mask[:, None])
        return self.out(torch.cat([average(tokens, token_mask), average(seen, token_mask)], 1))
"""
BF16 = f"""{TOP}
class MyFusion(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(2, width))
        self.mix = nn.Sequential(nn.Linear(2 * width, 64), nn.GELU(), nn.Linear(64, classes))
        self.to(torch.bfloat16)

    {FORWARD}
        text = torch.where(there(token_mask), average(tokens, token_mask).bfloat16(), self.missing[0])
        image = torch.where(there(patch_mask), average(patches, patch_mask).bfloat16(), self.missing[1])
        return self.mix(torch.cat([text, image], dim=1))
"""
DOUBLE = f"""{TOP}
class MyFusion(nn.Module):
    # The largest number of each dimension, in float64, behind weights that are split into direction and length.
    def __init__(self, width, classes):
        super().__init__()
        first = nn.utils.parametrizations.weight_norm(nn.Linear(2 * width, 32))
        self.net = nn.Sequential(first, nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, classes)).double()
        self.absent = nn.Parameter(torch.full((2, width), -1.0, dtype=torch.float64))

    {FORWARD}
        sides = []
        for number, (vectors, mask) in enumerate([(tokens, token_mask), (patches, patch_mask)]):
            largest = vectors.double().masked_fill(~mask.unsqueeze(2), -1e9).amax(dim=1)
            sides.append(torch.where(there(mask), largest, self.absent[number]))
        return self.net(torch.hstack(sides))
"""
WEIGHTED = f"""{TOP}
class MyFusion(nn.Module):
    # A softmax over the vectors of a side, written out, and log probabilities as logits.
    def __init__(self, width, classes):
        super().__init__()
        self.score = nn.Linear(width, 2)
        self.missing = nn.Embedding(2, width)
        self.w1, self.w2 = nn.Parameter(torch.randn(2 * width, 32) / 6), nn.Parameter(torch.randn(32, classes) / 6)

    def pool(self, vectors, mask, side):
        weights = self.score(vectors)[..., side].clamp(-20, 20).exp() * mask
        pooled = (vectors.transpose(1, 2) @ weights.unsqueeze(2)).squeeze(2) / (weights.sum(1, keepdim=True) + 1e-9)
        return pooled.where(there(mask), self.missing(torch.full((len(mask),), side)))

    {FORWARD}
        both = torch.cat([self.pool(tokens, token_mask, 0), self.pool(patches, patch_mask, 1)], 1)
        return F.log_softmax((both @ self.w1).tanh() @ self.w2, dim=1)
"""
DECODER = f"""{TOP}
class MyFusion(nn.Module):
    # The text's mean asks the image's patches; a pair without an image asks a vector that is learned.
    def __init__(self, width, classes):
        super().__init__()
        self.nobody = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.decoder = nn.TransformerDecoderLayer(width, 2, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(width + 1, classes)

    {FORWARD}
        text = average(tokens, token_mask).unsqueeze(1)
        memory = torch.cat([self.nobody.expand(len(text), 1, -1), patches], 1)
        hidden = torch.cat([torch.zeros_like(patch_mask[:, :1]), ~patch_mask], 1)
        two = torch.cat([text, self.nobody.expand_as(text)], 1)
        seen = self.decoder(two, memory, memory_key_padding_mask=hidden)[:, 0]
        return self.out(torch.cat([seen, there(token_mask)], 1))
"""

ALTERNATIVES = {
    "einsum": {"(weights * vectors).sum(dim=1)": 'torch.einsum("bld,bl->bd", vectors, mask.float())'},
    "product": {
        "nn.Linear(2 * width, 32)": "nn.Linear(3 * width, 32)",
        RETURN: "return self.mix(torch.cat([*means, means[0] * means[1]], dim=1))",
    },
    "gated": GATED,
    "bilinear": BILINEAR,
    "multihead attention with a learned question": MULTIHEAD,
    "transformer encoder": TRANSFORMER,
    "loop over pairs": LOOPS,
    "scaled and shifted by the image": FILM,
    "mixture of experts": EXPERTS,
    "flags, changed in place, lazy layers": FLAGS,
    "outer product": OUTER,
    "tokens look at patches": CROSS,
    "bf16 weights": BF16,
    "float64, weight norm and batch norm": DOUBLE,
    "weighted sums and log probabilities": WEIGHTED,
    "transformer decoder": DECODER,
}

"""Answers to the exercise `pooling`; see exercise_cases.py."""

QUERY = "self.query = nn.Parameter(torch.randn(width) / width**0.5)"
SCORES = "scores = patches @ self.query\n"
WEIGHTS = "weights = scores.masked_fill(~mask, -1e9).softmax(dim=1)  # not -inf: softmax of nothing but -inf is nan\n"
RETURN = "return (weights.unsqueeze(-1) * patches).sum(dim=1)"
MEAN = "weights = mask.float() / mask.sum(dim=1, keepdim=True).clamp(min=1)\n"


def write_body(init: str, forward: str, before: str = "") -> str:
    """A whole answer from the lines of its two methods."""
    indent = "\n        "
    return (
        f"import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n{before}\n\n"
        "class MyPooling(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n        "
        f"{init.strip().replace(chr(10), indent)}\n\n    def forward(self, patches, mask):\n        "
        f"{forward.strip().replace(chr(10), indent)}\n"
    )


MISTAKES = [
    ("shape", {RETURN: "return weights.unsqueeze(-1) * patches"}),
    ("shape", {RETURN: "return (weights.unsqueeze(-1) * patches).sum(dim=2)"}),
    ("shape", {RETURN: "return (weights.unsqueeze(-1) * patches).sum(dim=1).squeeze()"}),
    (
        "one_key",
        {
            SCORES: "scores = patches @ self.query.unsqueeze(1)\n",
            WEIGHTS: "weights = scores.masked_fill(~mask.unsqueeze(-1), -1e9).softmax(dim=-1)\n",
            RETURN: "return (weights * patches).sum(dim=1)",
        },
    ),
    (
        "one_key",
        {
            SCORES: "mean = (mask.unsqueeze(-1) * patches).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)\n",
            WEIGHTS: "query = self.query.expand(len(patches), 1, -1)\n",
            RETURN: "return nn.functional.scaled_dot_product_attention(query, mean.unsqueeze(1), mean.unsqueeze(1)).squeeze(1)",
        },
    ),
    (
        "wrong_axis",
        {
            WEIGHTS: "weights = (patches * self.query).softmax(dim=-1)\n",
            RETURN: "return (weights * patches * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)",
        },
    ),
    ("batch_mixed", {".softmax(dim=1)": ".softmax(dim=0)"}),
    ("batch_mixed", {SCORES: SCORES + "        scores = scores - scores.mean(dim=0)\n"}),
    ("patches_ignored", {RETURN: "return self.query.expand(len(patches), -1) * weights.sum(dim=1, keepdim=True)"}),
    ("mask_inverted", {"masked_fill(~mask, -1e9)": "masked_fill(mask, -1e9)"}),
    ("padding_read", {"scores.masked_fill(~mask, -1e9).softmax": "scores.softmax"}),
    ("padding_read", {"scores.masked_fill(~mask, -1e9).softmax(dim=1)": "scores.softmax(dim=1) * mask"}),
    ("padding_read", {"masked_fill(~mask, -1e9)": "masked_fill(~mask, 0)"}),
    (
        "padding_read",
        {
            WEIGHTS: "weights = (2 * scores).sigmoid() * mask\n",
            RETURN: "return (weights.unsqueeze(-1) * patches).mean(dim=1)",
        },
    ),
    ("not_finite", {"-1e9": "-torch.inf"}),
    (
        "not_finite",
        {
            WEIGHTS: "weights = scores.exp() * mask\n",
            RETURN: "return (weights.unsqueeze(-1) * patches).sum(dim=1) / weights.sum(dim=1, keepdim=True)",
        },
    ),
    ("one_patch", {RETURN: "return patches[torch.arange(len(patches)), weights.argmax(dim=1)]"}),
    ("one_patch", {RETURN: "return patches[:, 0]"}),
    ("one_patch", {RETURN: "return patches.masked_fill(~mask.unsqueeze(-1), -1e9).max(dim=1).values"}),
    ("order_read", {SCORES: "scores = patches @ self.query + torch.arange(patches.shape[1]) / 4\n"}),
    (
        "order_read",
        {
            QUERY: QUERY + "\n        self.place = nn.Parameter(0.5 * torch.randn(16, width))",
            SCORES: "scores = (patches + self.place[: patches.shape[1]]) @ self.query\n",
        },
    ),
    ("not_normalised", {WEIGHTS: "weights = scores.sigmoid() * mask\n"}),
    ("not_normalised", {WEIGHTS: "weights = scores.exp() * mask\n"}),
    ("plain_mean", {WEIGHTS: MEAN}),
    ("plain_mean", {SCORES: "scores = torch.zeros_like(mask, dtype=torch.float) + self.query.sum()\n"}),
    (
        "plain_mean",
        {
            QUERY: "self.layer = nn.Linear(width, width)",
            SCORES: "patches = self.layer(patches)\n",
            WEIGHTS: MEAN,
        },
    ),
    ("unregistered", {QUERY: "self.query = torch.randn(width) / width**0.5"}),
    ("unregistered", {QUERY: 'self.register_buffer("query", torch.randn(width) / width**0.5)'}),
    ("unregistered", {QUERY: "self.query = (torch.randn(width) / width**0.5).requires_grad_()"}),
    (
        "unregistered",
        {
            QUERY: QUERY + "\n        self.layers = [nn.Linear(width, width)]",
            SCORES: "scores = self.layers[0](patches).tanh() @ self.query\n",
        },
    ),
    (
        "unregistered",
        {
            QUERY: "self.query = torch.randn(width) / width**0.5\n        self.value = nn.Linear(width, width)",
            "(weights.unsqueeze(-1) * patches)": "(weights.unsqueeze(-1) * self.value(patches))",
        },
    ),
    ("gradient_cut", {SCORES: "scores = patches @ self.query.detach()\n"}),
    ("gradient_cut", {SCORES: "with torch.no_grad():\n            scores = patches @ self.query\n"}),
    (
        "gradient_cut",
        {
            RETURN: "return (weights.unsqueeze(-1) * patches.detach()).sum(dim=1)",
            SCORES: "scores = patches.detach() @ self.query\n",
        },
    ),
    (
        "gradient_not_finite",
        {"scores.masked_fill(~mask, -1e9).softmax(dim=1)": "scores.add(mask.log()).softmax(dim=1).nan_to_num()"},
    ),
    (
        "gradient_not_finite",
        {
            "-1e9": "-torch.inf",
            RETURN: "pooled = (weights.unsqueeze(-1) * patches).sum(dim=1)\n"
            "        return torch.where(mask.any(dim=1, keepdim=True), pooled, 0)",
        },
    ),
]

ALTERNATIVES = {
    "einsum": {
        SCORES: 'scores = torch.einsum("bpd,d->bp", patches, self.query)\n',
        RETURN: 'return torch.einsum("bp,bpd->bd", weights, patches)',
    },
    "nan_replaced": {"-1e9).softmax(dim=1)": "-torch.inf).softmax(dim=1).nan_to_num()"},
    "query_of_zeros": {QUERY: "self.query = nn.Parameter(torch.zeros(width))"},
    "scores_by_a_small_network": write_body(
        "self.score = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 1))",
        "scores = self.score(patches).squeeze(-1) + (~mask) * -1e4\n"
        "weights = F.softmax(scores, dim=-1)\n"
        "return torch.bmm(weights.unsqueeze(1), patches).squeeze(1)",
    ),
    "multihead_attention": write_body(
        "self.question = nn.Parameter(torch.randn(1, 1, width))\n"
        "self.attention = nn.MultiheadAttention(width, num_heads=4, batch_first=True)",
        "there = mask.any(dim=1)\n"
        "hidden = ~mask & there[:, None]\n"
        "question = self.question.expand(len(patches), 1, -1)\n"
        "pooled, _ = self.attention(question, patches, patches, key_padding_mask=hidden, need_weights=False)\n"
        "return pooled.squeeze(1)",
    ),
    "weights_of_multihead_attention": write_body(
        "self.question = nn.Parameter(torch.randn(width))\nself.attention = nn.MultiheadAttention(width, 1, batch_first=True)",
        "safe = mask.clone()\n"
        "safe[~mask.any(dim=1), 0] = True\n"
        "question = self.question.repeat(len(patches), 1, 1)\n"
        "_, weights = self.attention(question, patches, patches, key_padding_mask=~safe)\n"
        "return (weights @ patches).squeeze(1)",
    ),
    "scaled_dot_product_attention": write_body(
        "self.question = nn.Parameter(torch.randn(width))\nself.key, self.value = nn.Linear(width, width), nn.Linear(width, width)",
        "seen = mask | ~mask.any(dim=1, keepdim=True)\n"
        "question = self.question.expand(len(patches), 1, -1)\n"
        "key, value = self.key(patches), self.value(patches)\n"
        "return F.scaled_dot_product_attention(question, key, value, attn_mask=seen[:, None]).squeeze(1)",
    ),
    "loop_over_pairs": write_body(
        "self.score = nn.Linear(width, 1)",
        "pooled = []\n"
        "for vectors, there in zip(patches, mask):\n"
        "    kept = vectors[there]\n"
        "    weights = torch.softmax(self.score(kept)[:, 0], 0)\n"
        "    pooled.append(weights @ kept)\n"
        "return torch.stack(pooled)",
    ),
    "exp_and_sum": write_body(
        "self.query = nn.Parameter(torch.randn(width))",
        "scores = (patches * self.query).sum(-1) / 4\n"
        "highest = scores.masked_fill(~mask, -1e9).max(dim=1, keepdim=True).values\n"
        "grown = torch.where(mask, (scores - highest).clamp(max=0).exp(), 0)\n"
        "return (grown[..., None] * patches).sum(1) / (grown.sum(1, keepdim=True) + 1e-12)",
    ),
    "sigmoid_weights_that_sum_to_one": write_body(
        "self.gate = nn.Linear(width, 1)",
        "weights = torch.sigmoid(self.gate(patches)) * mask.unsqueeze(-1)\n"
        "return (weights * patches).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-6)",
    ),
    "bf16": {SCORES: "patches = patches.bfloat16()\n        scores = patches @ self.query.bfloat16()\n"},
    "float64": {SCORES: "patches = patches.double()\n        scores = patches @ self.query.double()\n"},
    "weights_for_each_number": write_body(
        "self.score = nn.Linear(width, width)",
        "scores = self.score(patches).masked_fill(~mask[..., None], -1e9)\nreturn (scores.softmax(dim=1) * patches).sum(dim=1)",
    ),
    "gated_scores": write_body(
        "self.what, self.how, self.score = nn.Linear(width, 8), nn.Linear(width, 8), nn.Linear(8, 1, bias=False)",
        "scores = self.score(torch.tanh(self.what(patches)) * torch.sigmoid(self.how(patches)))\n"
        "scores = scores.masked_fill(mask.logical_not().unsqueeze(-1), torch.finfo(scores.dtype).min)\n"
        "return torch.sum(torch.softmax(scores, dim=1) * patches, dim=1)",
    ),
    "log_sum_exp": {
        WEIGHTS: "scores = torch.where(mask, scores, -1e9)\n        weights = (scores - scores.logsumexp(dim=1, keepdim=True)).exp()\n"
    },
    "layer_norm_before_the_scores": write_body(
        "self.norm = nn.LayerNorm(width)\nself.score = nn.Linear(width, 1)\nself.value = nn.Linear(width, width)",
        "scores = self.score(self.norm(patches)).squeeze(2)\n"
        "weights = torch.log_softmax(scores.masked_fill(mask == 0, -1e9), 1).exp()\n"
        "return (weights[:, :, None] * self.value(patches)).sum(1)",
    ),
    "two_queries_averaged": write_body(
        "self.queries = nn.Parameter(torch.randn(2, width) / 4)",
        "scores = (patches @ self.queries.T).transpose(1, 2)\n"
        "weights = scores.masked_fill(~mask.unsqueeze(1), -1e9).softmax(dim=2)\n"
        "return (weights @ patches).mean(dim=1)",
    ),
    "a_query_that_asks_the_mean": write_body(
        "self.ask = nn.Linear(width, width)",
        "there = mask.unsqueeze(-1).float()\n"
        "mean = (there * patches).sum(1) / there.sum(1).clamp(min=1)\n"
        "scores = (patches @ self.ask(mean).unsqueeze(-1)).squeeze(-1) / 4\n"
        "weights = nn.Softmax(dim=1)(scores.masked_fill(~mask, -1e9))\n"
        "return (patches * weights.unsqueeze(-1)).sum(1)",
    ),
}

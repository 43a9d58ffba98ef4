"""Answers to the exercise `fusion`; see exercise_cases.py."""

MEAN = "        means = []\n        for vectors, mask, missing in zip((tokens, patches), (token_mask, patch_mask), self.missing):\n"
RETURN = "return self.mix(torch.cat(means, dim=1))"

MISTAKES = [
    ("shape", {"nn.Linear(32, classes))": "nn.Linear(32, 1))"}),
    ("shape", {RETURN: "return self.mix(torch.cat(means, dim=1)).argmax(dim=1)"}),
    (
        "unregistered",
        {
            "self.mix = nn.Sequential(nn.Linear(2 * width, 32), nn.GELU(), nn.Linear(32, classes))": "self.layers = [nn.Linear(2 * width, 32), nn.GELU(), nn.Linear(32, classes)]\n"
            "        self.mix = lambda one: self.layers[2](self.layers[1](self.layers[0](one)))"
        },
    ),
    ("image_ignored", {RETURN: "return self.mix(torch.cat([means[0], means[0]], dim=1))"}),
    ("text_ignored", {RETURN: "return self.mix(torch.cat([means[1], means[1]], dim=1))"}),
    ("batch_mixed", {RETURN: "both = torch.cat(means, dim=1)\n        return self.mix(both - both.mean(dim=0))"}),
    ("mask_inverted", {"weights = mask.unsqueeze(-1).float()": "weights = (~mask).unsqueeze(-1).float()"}),
    ("padding_read", {"weights = mask.unsqueeze(-1).float()": "weights = torch.ones_like(mask).unsqueeze(-1).float()"}),
    (
        "padding_read",
        {"mean = (weights * vectors).sum(dim=1) / weights.sum(dim=1).clamp(min=1)": "mean = vectors.mean(dim=1)"},
    ),
    (
        "missing_not_finite",
        {
            "weights.sum(dim=1).clamp(min=1)": "weights.sum(dim=1)",
            "torch.where(mask.any(dim=1, keepdim=True), mean, missing)": "mean + missing",
        },
    ),
    ("missing_as_zeros", {"torch.where(mask.any(dim=1, keepdim=True), mean, missing)": "mean"}),
    (
        "one_key",
        {
            RETURN: "text, image = (one.unsqueeze(1) for one in means)\n"
            "        weights = torch.softmax(text @ image.mT, dim=-1)\n"
            "        return self.mix(torch.cat([means[0], (weights @ image).squeeze(1)], dim=1))"
        },
    ),
    ("softmax_output", {RETURN: "return self.mix(torch.cat(means, dim=1)).softmax(dim=1)"}),
    ("relu_output", {RETURN: "return self.mix(torch.cat(means, dim=1)).relu()"}),
    ("gradient_cut", {RETURN: "return self.mix(torch.cat([means[0], means[1].detach()], dim=1))"}),
    (
        "not_joint",
        {
            "self.mix = nn.Sequential(nn.Linear(2 * width, 32), nn.GELU(), nn.Linear(32, classes))": "self.mix = nn.Linear(2 * width, classes)"
        },
    ),
]

ALTERNATIVES = {
    "einsum": {"(weights * vectors).sum(dim=1)": 'torch.einsum("bld,bl->bd", vectors, mask.float())'},
    "product": {
        "nn.Linear(2 * width, 32)": "nn.Linear(3 * width, 32)",
        RETURN: "return self.mix(torch.cat([*means, means[0] * means[1]], dim=1))",
    },
}

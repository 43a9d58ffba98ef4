"""Answers to the exercise `better_fusion`; see exercise_cases.py. Each is trained on the demo, so each is cheap."""

CLASS = 'class BetterFusion(Fusion, name="better"):'
LAYERS = "self.mix = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.GELU())"
SIDES = "text, image = torch.where(sides.present, sides.summaries, self.missing).unbind(dim=1)"
RETURN = "return self.mix(torch.cat([text, image, text * image], dim=1))"

TOP = """
import torch
from torch import nn
from torch.nn import functional as F

from mmlab.models import Fusion


class BetterFusion(Fusion, name="better"):
"""
COPY = f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.text, self.image = nn.Linear(width, width), nn.Linear(width, width)
        self.choose = nn.Linear(2 * width, width)

    def forward(self, sides):
        share = torch.sigmoid(self.choose(sides.summaries.flatten(1)))
        share = torch.where(sides.present[:, 1], torch.where(sides.present[:, 0], share, 0.0), 1.0)
        text, image = sides.summaries.unbind(1)
        return share * torch.tanh(self.text(text)) + (1 - share) * torch.tanh(self.image(image))
"""

MISTAKES = [
    ("name_taken", {CLASS: 'class BetterFusion(Fusion, name="gated"):'}),
    ("not_registered", {CLASS: "class BetterFusion(nn.Module):"}),
    ("shape", {RETURN: "return torch.cat([text, image], dim=1)"}),
    ("shape", {RETURN: RETURN + ".mean(dim=0)"}),
    # a missing side is divided by its norm, which is zero
    (
        "missing_not_finite",
        {SIDES: "text, image = (sides.summaries / sides.summaries.norm(dim=2, keepdim=True)).unbind(dim=1)"},
    ),
    ("gated_unchanged", COPY),
    ("image_ignored", {RETURN: "return self.mix(torch.cat([text, text, text * text], dim=1))"}),
    ("text_ignored", {RETURN: "return self.mix(torch.cat([image, image, image * image], dim=1))"}),
    ("below_majority", {RETURN: RETURN + ".flip(0)"}),
    ("no_gain", {RETURN: "return self.mix(torch.cat([text, 0.001 * image, 0 * text], dim=1))"}),
    (
        "worse",
        {
            LAYERS: "self.narrow = nn.Linear(2 * hidden, 1)\n        self.wide = nn.Linear(1, hidden)",
            RETURN: "return self.wide(torch.tanh(self.narrow(torch.cat([text, image], dim=1))))",
        },
    ),
]

ALTERNATIVES = {
    "concatenated": {"3 * hidden": "2 * hidden", "[text, image, text * image]": "[text, image]"},
    "difference, too": {
        "3 * hidden": "4 * hidden",
        "[text, image, text * image]": "[text, image, text * image, text - image]",
    },
    "product of experts": f"""{TOP}
    # The logits of both heads are added: the surer head counts more.
    over_vectors = False

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, 1))

    def forward(self, sides):
        answers = torch.stack([sides.answers["text_only"], sides.answers["image_only"]], dim=1)
        return (answers * self.scale * sides.present).sum(dim=1)
""",
    "gate with a joint term": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.text, self.image, self.both = (nn.Linear(size, width) for size in (width, width, 2 * width))
        self.gate = nn.Linear(2 * width, 3 * width)

    def forward(self, sides):
        text, image = sides.summaries.unbind(1)
        both = sides.summaries.flatten(1)
        shares = self.gate(both).unflatten(1, (3, -1)).softmax(dim=1)
        parts = torch.stack([self.text(text), self.image(image), self.both(both)], dim=1)
        return (shares * torch.tanh(parts)).sum(dim=1)
""",
    "low-rank bilinear": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.text, self.image = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, sides):
        text, image = self.text(sides.summaries[:, 0]), self.image(sides.summaries[:, 1])
        return F.gelu(text) + F.gelu(image) + text * image
""",
    "scaled and shifted by the image": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.film = nn.Linear(width, 2 * width)
        self.out = nn.Linear(2 * width, width)

    def forward(self, sides):
        text, image = sides.summaries[:, 0], sides.summaries[:, 1]
        scale, shift = self.film(image).tensor_split(2, dim=1)
        return F.gelu(self.out(torch.cat([text * (1 + scale) + shift, image], 1)))
""",
    "mixture of experts": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(heads))
        self.choose = nn.Linear(2 * width, heads)

    def forward(self, sides):
        both = torch.cat(list(sides.summaries.unbind(1)), dim=-1)
        said = torch.stack([F.gelu(expert(both)) for expert in self.experts], dim=2)
        return torch.einsum("bde,be->bd", said, self.choose(both).softmax(1))
""",
    "attention over the two sides": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.kind = nn.Parameter(torch.randn(2, width) / 10)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.out = nn.Linear(2 * width, width)

    def forward(self, sides):
        two = sides.summaries + self.kind
        seen, _ = self.attention(two, two, two, key_padding_mask=~sides.present.squeeze(2))
        return F.gelu(self.out(((two + seen) * sides.present).flatten(1)))
""",
    "two layers with a shortcut": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(2 * width + 2, width), nn.Linear(width, width), nn.Dropout(dropout / 2)

    def forward(self, sides):
        flags = sides.present.squeeze(-1).float()
        h = F.silu(self.a(torch.cat([sides.summaries.flatten(1), flags], 1)))
        return h + F.silu(self.b(self.c(h)))
""",
    "the larger of both": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.text, self.image = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(2 * width, width)

    def forward(self, sides):
        two = torch.stack([self.text(sides.summaries[:, 0]), self.image(sides.summaries[:, 1])], 1)
        two = two.masked_fill(~sides.present, -1e4)
        return F.gelu(self.out(two.amax(dim=1)))
""",
    "sums of the heads' answers and vectors": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.vectors, self.answers = nn.Linear(2 * width, width), nn.Linear(6, width)

    def forward(self, sides):
        said = [sides.answers[name].log_softmax(1) for name in ("text_only", "image_only")]
        return torch.relu(self.vectors(sides.summaries.flatten(1))) + self.answers(torch.cat(said, 1))
""",
}

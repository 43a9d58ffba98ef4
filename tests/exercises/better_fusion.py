"""Answers to the exercise `better_fusion`; see exercise_cases.py. Each is trained on the demo, so each is cheap."""

CLASS = 'class BetterFusion(Fusion, name="better"):'
SIDES = "text, image = sides.summaries.unbind(dim=1)"
BOTH = "both = sides.summaries.flatten(1)"
RETURN = "return (shares * torch.tanh(parts)).sum(dim=1)"

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
    ("shape", {RETURN: "return (shares * torch.tanh(parts)).flatten(1)"}),
    ("shape", {RETURN: RETURN + ".mean(dim=0)"}),
    # a missing side is divided by its norm, which is zero
    ("missing_not_finite", {BOTH: "both = (sides.summaries / sides.summaries.norm(dim=2, keepdim=True)).flatten(1)"}),
    ("gated_unchanged", COPY),
    ("image_ignored", {SIDES: "text = image = sides.summaries[:, 0]", BOTH: "both = torch.cat([text, image], dim=1)"}),
    ("text_ignored", {SIDES: "text = image = sides.summaries[:, 1]", BOTH: "both = torch.cat([text, image], dim=1)"}),
    ("below_majority", {RETURN: RETURN + ".flip(0)"}),
    ("no_gain", {SIDES: SIDES + "; image = 0.001 * image", BOTH: "both = torch.cat([text, image], dim=1)"}),
    # the sides never meet
    ("worse", {RETURN: "return torch.tanh(parts[:, 0]) + torch.tanh(parts[:, 1])"}),
]

ALTERNATIVES = {
    "concatenated": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(2, width))
        self.mix = nn.Sequential(nn.Linear(2 * width, width), nn.GELU())

    def forward(self, sides):
        return self.mix(sides.summaries.where(sides.present, self.missing).flatten(1))
""",
    "concatenated with the product": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.mix = nn.Linear(3 * width, width)

    def forward(self, sides):
        text, image = sides.summaries.unbind(1)
        return F.gelu(self.mix(torch.cat([text, image, text * image], 1)))
""",
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
        self.keys, self.values = nn.Linear(width, width), nn.Linear(width, width)
        self.question = nn.Parameter(torch.randn(heads, width // heads))

    def forward(self, sides):
        keys, values = (layer(sides.summaries).unflatten(2, self.question.shape) for layer in (self.keys, self.values))
        scores = torch.einsum("bshd,hd->bsh", keys, self.question).masked_fill(~sides.present, -1e4)
        return F.gelu(torch.einsum("bsh,bshd->bhd", scores.softmax(dim=1), values).flatten(1))
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
    "a gate for each head": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.share = nn.Linear(2 * width, heads)
        self.heads = heads

    def forward(self, sides):
        share = self.share(sides.summaries.flatten(1)).sigmoid().unsqueeze(2)
        share = torch.where(sides.present[:, 1:], torch.where(sides.present[:, :1], share, 0.0), 1.0)
        text, image = (layer(side).tanh().unflatten(1, (self.heads, -1)) for layer, side in zip(self.project, sides.summaries.unbind(1)))
        return torch.lerp(image, text, share).flatten(1)
""",
    "gate by confidence": f"""{TOP}
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.text, self.image = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, sides):
        sure = torch.stack([sides.answers[name].softmax(1).amax(1) for name in ('text_only', 'image_only')], 1).unsqueeze(2)
        shares = (8 * sure).masked_fill(~sides.present, -1e4).softmax(dim=1)
        two = torch.stack([self.text(sides.summaries[:, 0]), self.image(sides.summaries[:, 1])], 1)
        return (shares * two.tanh()).sum(1)
""",
}

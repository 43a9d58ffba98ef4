"""The demo course: tweets and drawn scenes made from a known recipe, so that the best possible score is known too.

A pair has a true label, a text cue and an image cue; the table RECIPE says how often each combination occurs. The text
and the picture are then written and drawn to show their cue and nothing else. Whoever could read the cues without error
and knew the table would reach the accuracies of `compute_ceilings`; no model can be expected to pass them.

    python -m mmlab.demo FOLDER [SEED]

Explained in notebook 01, section 1, and compared with trained models in notebook 06.
"""

import json
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmlab.config import LABELS, SCENARIOS
from mmlab.errors import ConfigError, CourseError

# --- the recipe -----------------------------------------------------------------------------------------------------

NEGATIVE, NEUTRAL, POSITIVE = LABELS
WRY, MISSING = "wry", "missing"
TEXT_CUES = (NEGATIVE, NEUTRAL, POSITIVE, WRY, MISSING)
IMAGE_CUES = (NEGATIVE, NEUTRAL, POSITIVE, MISSING)

# Per cent of the pairs with each true label.
SHARES = {NEGATIVE: 35, NEUTRAL: 20, POSITIVE: 45}

# Per cent of a true label's pairs that show (text cue, image cue). The per cents of a label sum to 100.
RECIPE = {
    NEGATIVE: {
        (NEGATIVE, NEGATIVE): 13,
        (NEGATIVE, MISSING): 32,
        (MISSING, NEGATIVE): 23,
        (NEGATIVE, NEUTRAL): 6,
        (NEUTRAL, NEGATIVE): 6,
        (WRY, NEGATIVE): 12,  # sarcasm: glad words over a sad picture
        (POSITIVE, NEGATIVE): 8,  # conflict: the image is right, sarcasm without a wink
    },
    NEUTRAL: {
        (NEUTRAL, NEUTRAL): 22,
        (NEUTRAL, MISSING): 44,
        (MISSING, NEUTRAL): 30,
        (NEUTRAL, NEGATIVE): 1,
        (NEUTRAL, POSITIVE): 1,
        (NEGATIVE, NEUTRAL): 1,
        (POSITIVE, NEUTRAL): 1,
    },
    POSITIVE: {
        (POSITIVE, POSITIVE): 15,
        (POSITIVE, MISSING): 37,
        (MISSING, POSITIVE): 26,
        (POSITIVE, NEUTRAL): 7,
        (NEUTRAL, POSITIVE): 6,
        (WRY, POSITIVE): 9,  # the same glad words, meant as they are said
    },
}
LABEL_NOISE = 5  # per cent of the labels that are replaced by one of the other two, each as often
TWIN_SHARE = 5  # per cent of the pairs that repeat an earlier one
GB18030_SHARE = 11  # per cent of the texts saved in GB18030 with a byte sequence that is not UTF-8

Recipe = dict[str, dict[tuple[str, str], int]]


def joint_table(shares: dict[str, int] = SHARES, recipe: Recipe = RECIPE, noise: float = LABEL_NOISE) -> dict:
    """The probability of every (true label, text cue, image cue, label as given); sums to 1."""
    table = {}
    for truth in LABELS:
        for (text, image), per_cent in recipe[truth].items():
            for given in LABELS:
                kept = (100 - noise) / 100 if given == truth else noise / 200
                table[truth, text, image, given] = shares[truth] / 100 * per_cent / 100 * kept
    return table


def _seen(scenario: str, text: str, image: str) -> tuple[str, ...]:
    return {"text_only": (text,), "image_only": (image,), "text_and_image": (text, image)}[scenario]


def best_rule(scenario: str, table: dict | None = None) -> dict[tuple[str, ...], str]:
    """For every cue (or pair of cues) that a scenario can see, the label that is most often given there."""
    weights: dict[tuple[str, ...], dict[str, float]] = {}
    for (_, text, image, given), share in (table or joint_table()).items():
        cell = weights.setdefault(_seen(scenario, text, image), dict.fromkeys(LABELS, 0.0))
        cell[given] += share
    return {seen: max(LABELS, key=cell.__getitem__) for seen, cell in weights.items()}


def compute_ceilings(table: dict | None = None) -> dict[str, float]:
    """The best accuracy possible on the given labels in each scenario, exactly, by summing over the whole table.

    Label noise is included. Keys: config.SCENARIOS. A model that has seen a pair's twin with its label knows more than
    the cues say and may pass these; twin-aware folds keep it from that. Explained in notebook 06.
    """
    table = table or joint_table()
    ceilings = {}
    for scenario in SCENARIOS:
        rule = best_rule(scenario, table)
        right = [share for (_, t, i, given), share in table.items() if rule[_seen(scenario, t, i)] == given]
        ceilings[scenario] = round(sum(right), 6)
    return ceilings


def label_shares(table: dict | None = None) -> dict[str, float]:
    """The share of each given label, noise included; the largest is the accuracy of always answering it."""
    shares = dict.fromkeys(LABELS, 0.0)
    for (_, _, _, given), share in (table or joint_table()).items():
        shares[given] += share
    return {label: round(share, 6) for label, share in shares.items()}


def read_ceilings(root: Path | str) -> dict[str, float] | None:
    """The ceilings of a course folder, keys config.SCENARIOS; None where nobody knows them (any real course).

    Raises CourseError when ceilings.json is there but cannot be read.
    """
    path = Path(root) / "ceilings.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {scenario: float(content[scenario]) for scenario in SCENARIOS}
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(
            f"{path}: the ceilings cannot be read ({error!r}). Make the demo again with `python -m mmlab.demo`, "
            "or delete the file if the folder holds your own data."
        ) from error


# --- chance that is the same everywhere -----------------------------------------------------------------------------
# Python promises that Random.random() repeats for a seed in every version; it promises that of no other method, nor
# does numpy. Everything that decides a text or a label therefore comes from random() alone.


def _chance(seed: int, *purpose: object) -> random.Random:
    return random.Random("/".join(map(str, ("mmlab demo", seed, *purpose))))


def _pick(chance: random.Random, options):
    return options[int(chance.random() * len(options))]


def _between(chance: random.Random, low: float, high: float) -> float:
    return low + (high - low) * chance.random()


def _whole(chance: random.Random, low: int, high: int) -> int:
    return low + int(chance.random() * (high - low + 1))


def _shuffled(chance: random.Random, items) -> list:
    return [item for _, item in sorted(((chance.random(), item) for item in items), key=lambda entry: entry[0])]


# --- the pairs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DemoPair:
    """One pair of the demo with everything that the course folder does not say about it."""

    guid: str
    split: str  # "labelled" or "test"
    truth: str  # the label before noise
    given: str  # the label after noise: the tag in train.txt, or the answer to a test pair
    text_cue: str
    image_cue: str
    text: str
    encoding: str  # "utf-8" or "gb18030"
    twin_of: str  # guid of the pair that this one repeats, or ""
    same_text: bool  # the text repeats the other pair's
    same_image: bool  # the image repeats the other pair's

    @property
    def raw_text(self) -> bytes:
        return self.text.encode(self.encoding)


def plan_demo(seed: int = 0, n_labelled: int = 600, n_test: int = 150) -> list[DemoPair]:
    """Every pair of the demo, the labelled ones first, in the order of its files; nothing is drawn or written.

    The same on every machine. Raises ConfigError for sizes that the recipe cannot fill.
    """
    if not 100 <= n_labelled <= 2000 or not 0 <= n_test <= 1000:
        raise ConfigError(f"A demo has 100-2000 labelled and 0-1000 test pairs, not {n_labelled} and {n_test}.")
    chance = _chance(seed, "pairs")
    guids = [str(number) for number in _shuffled(chance, range(1, 2 * (n_labelled + n_test) + 1))]
    labelled_twins, test_twins = round(n_labelled * TWIN_SHARE / 100), round(n_test * TWIN_SHARE / 100)

    cells = _draw_cells(chance, n_labelled - labelled_twins) + _draw_cells(chance, n_test - test_twins)
    splits = ["labelled"] * (n_labelled - labelled_twins) + ["test"] * (n_test - test_twins)
    texts = _write_texts(_chance(seed, "texts"), [cell[1] for cell in cells])
    decorate = _chance(seed, "charsets")
    pairs = []
    for cell, split, text in zip(cells, splits, texts, strict=True):
        text, encoding = _choose_charset(decorate, text)
        pairs.append(DemoPair(guids.pop(), split, cell[0], cell[3], cell[1], cell[2], text, encoding, "", False, False))

    # A twin copies the true label and both cues, and is labelled anew: the recipe's shares stay what they are.
    originals = _shuffled(chance, pairs[: n_labelled - labelled_twins])[: labelled_twins + test_twins]
    used = {_text_key(pair.text) for pair in pairs}
    for number, source in enumerate(originals):
        split = "labelled" if number < labelled_twins else "test"
        same_text, same_image = [(True, True), (True, True), (True, False), (False, True)][number % 4]
        text, encoding = f"RT @{_pick(chance, _USERS)}: {source.text}", source.encoding
        if not same_text:
            text = _write_one(chance, source.text_cue, used)
            text, encoding = _choose_charset(decorate, text)
        given = _give_label(chance, source.truth)
        cues = (source.text_cue, source.image_cue)
        twin = (text, encoding, source.guid, same_text, same_image)
        pairs.append(DemoPair(guids.pop(), split, source.truth, given, *cues, *twin))

    pairs = _shuffled(chance, pairs)
    return [p for p in pairs if p.split == "labelled"] + [p for p in pairs if p.split == "test"]


def demo_answers(seed: int = 0, n_labelled: int = 600, n_test: int = 150) -> dict[str, str]:
    """For instructors: guid → label of the test pairs, in the order of test_without_label.txt.

    The labels carry the same noise as those in train.txt, so the ceilings hold for them too.
    """
    return {pair.guid: pair.given for pair in plan_demo(seed, n_labelled, n_test) if pair.split == "test"}


def score_best_rule(pairs: list[DemoPair]) -> dict[str, float]:
    """The accuracy that the best rule of each scenario reaches on these very pairs. Keys: config.SCENARIOS."""
    scores = {}
    for scenario in SCENARIOS:
        rule = best_rule(scenario)
        right = sum(rule[_seen(scenario, pair.text_cue, pair.image_cue)] == pair.given for pair in pairs)
        scores[scenario] = round(right / len(pairs), 6)
    return scores


def _draw_cells(chance: random.Random, n: int) -> list[tuple[str, str, str, str]]:
    """n cells of the table at even steps from a random start: each cell's count is within one of what is expected."""
    start, total, cells = chance.random(), 0.0, []
    for cell, share in joint_table().items():
        total += share
        while len(cells) < n and (len(cells) + start) / n < total:
            cells.append(cell)
    while len(cells) < n:  # the shares sum to 1 but for rounding
        cells.append(cell)
    return _shuffled(chance, cells)


def _give_label(chance: random.Random, truth: str) -> str:
    if chance.random() * 100 >= LABEL_NOISE:
        return truth
    return _pick(chance, [label for label in LABELS if label != truth])


# --- texts ----------------------------------------------------------------------------------------------------------
# What a tweet is about (subject, person, place, time) never depends on its cue; only the wording does.

_SUBJECTS = (
    "the night train", "our choir", "the harbour cafe", "the school play", "the new library", "the street market",
    "the football club", "the old bridge", "our allotment", "the robotics team", "the village hall", "the marathon",
    "the film club", "the hospital wing", "the bike path", "our bakery", "the lighthouse", "the chess final",
    "the ferry", "the museum", "the brass band", "the science fair", "the swimming pool", "our street", "the city zoo",
    "the radio show", "the climbing wall", "the botanic garden", "the theatre", "the fire station",
)  # fmt: skip
_PEOPLE = (
    "grandma", "my sister", "our coach", "Priya", "Tom", "Ms Okafor", "my flatmate", "Dad", "our neighbour", "Yuki",
    "our captain", "Leila", "my cousin", "little Max", "Mateo", "Auntie Jo", "Professor Lind", "Sam",
)  # fmt: skip
_PLACES = (
    "Leeds", "Porto", "Austin", "Osaka", "Galway", "Lagos", "Lyon", "Perth", "Boston", "Bergen", "Pune", "Toronto",
    "Naples", "Cardiff", "Shanghai", "Graz", "Bath", "Seattle", "Quito", "Hobart",
)  # fmt: skip
_WHENS = (
    "this morning", "tonight", "on Sunday", "today", "yesterday", "this week", "on Friday", "this afternoon",
    "last night", "on Saturday", "on Monday", "at noon",
)  # fmt: skip
_USERS = (
    "annabee", "tom_k", "city_desk", "leedslad", "portolife", "rosa88", "mrblue", "the_daily_map", "kaya_", "jonas_w",
    "northsea", "mika_o", "bluebus", "oldtown", "radio_nine", "pat_lee", "zoe_m", "hans_g",
)  # fmt: skip
_TAGS = (
    "vscocam", "tuesday", "photo", "tbt", "instapic", "london", "art", "music", "travel", "city", "throwback", "food",
    "porto", "people", "weekend", "street", "texas", "news", "football", "coast", "nyc", "film", "wednesday", "autumn",
    "mobile", "camera", "osaka", "hiking", "garden", "railway", "canada", "july", "studio", "blackandwhite",
)  # fmt: skip

_OPENINGS = {
    POSITIVE: (
        "So happy for {who}, {subject} was wonderful {when}", "I love {subject} in {place}, thank you {who}",
        "What a joy {subject} was {when}", "Huge congratulations to {who}! {Subject} in {place} is a dream",
        "Beautiful day at {subject} with {who}", "We won at {subject} {when}! So proud of {who}",
        "Thank you {who} for the lovely surprise at {subject}", "Feeling grateful for {subject} and for {who}",
        "Amazing news from {subject} in {place}", "{Who} made me so happy at {subject} {when}",
        "Delighted with {subject} {when}", "Laughing all the way home from {subject} with {who}",
        "The loveliest welcome at {subject} in {place}", "Happy birthday {who}! Sweet party at {subject}",
    ),
    NEGATIVE: (
        "Heartbroken for {who}, we lost {subject} {when}", "So angry about {subject} in {place}, and {who} is in tears",
        "Terrible accident at {subject} {when}", "{Who} is seriously ill, no visit to {subject}",
        "Such a horrible day at {subject} with {who}", "I hate what they did to {subject} in {place}",
        "Crying over {subject} again, I miss {who}", "Awful news from {subject} in {place}",
        "{Subject} is destroyed, {who} lost everything", "Rest in peace {who}, {subject} mourns you",
        "Scared and hurt after the attack at {subject} {when}", "Disgusted by the cruelty at {subject} in {place}",
        "{Subject} failed us {when} and {who} is miserable", "Sick, tired and alone at {subject} {when}",
    ),
    NEUTRAL: (
        "{Subject}, {place}: doors {time}, room {n}, entrance B",
        "Timetable for {subject}: {time}, {time2} and {time3}",
        "Agenda for {subject}, item {n}: minutes by {who}",
        "{Subject} in {place} opens at {time} and closes at {time2}",
        "Form {n} for {subject} is available at the {place} office", "Meeting about {subject} at {time}, room {n}",
        "{Who} will report on {subject} at {time}, channel {n}", "Route {n} to {subject} runs every {n2} minutes",
        "Listing: {subject}, {place}, {n} seats, applications by {time}",
        "Survey on {subject}: {n} replies from {place}",
        "{Place} council publishes report {n} on {subject}", "Notice: {subject} moves to building {n}, {place}",
        "Programme of {subject}: part {n} at {time}, part {n2} at {time2}",
        "Map and directions to {subject}, {place}, page {n}",
    ),
    WRY: (
        "Well well, would you look at {subject} {when}", "Of course. Of course it is {subject} again, {who}",
        "Only {subject} could do this, only in {place}", "You could not make it up: {subject} {when}, {who}",
        "Oh look, {subject} in {place}, right on cue", "How typical of {subject}, how typical of {who}",
        "And there we have it, {subject} {when}", "Guess who got exactly what was ordered at {subject}? {Who}",
        "So that was {subject} {when}, I rest my case", "That is so {place}, that is so {subject}",
    ),
}  # fmt: skip
_CLOSINGS = {
    POSITIVE: (
        "I can't stop smiling, so happy!", "best feeling ever, I love it!", "my heart is full of joy.", "pure joy!",
        "so much fun, we love it!", "what a lovely gift, so happy!", "absolutely wonderful.", "lucky and happy me!",
        "hooray, happiest day ever!", "we are thrilled and so happy!",
    ),
    NEGATIVE: (
        "I can't stop crying, so sad.", "this is horrible and unforgivable.", "everything hurts, so sad.",
        "what a horrible disgrace.", "I feel sick and hopeless.", "worst day of my life, so sad.",
        "devastated and angry.",
        "it is a terrible tragedy.", "I give up, this is awful.", "we are furious and sad.",
    ),
    NEUTRAL: (
        "Details on page {n2}.", "Registration at the desk.", "See attached schedule.", "Office hours {time3}.",
        "Tickets at counter {n2}.", "Source: city statistics.", "Updated weekly.", "Ref. {n2}/{n}.", "Gate {n2}.",
        "Form at the front desk.", "Phone ext. {n}.", "Next session {time3}.",
    ),
    WRY: (
        "Just perfect, isn't it? #justsaying", "How very lovely, as always. #classic",
        "Couldn't be better, eh? #justsaying",
        "Ten out of ten, no notes. #classic", "Living the dream, folks. #justsaying",
        "Exactly as planned, yes. #classic",
    ),
}  # fmt: skip

# Signs that are one to three bytes in either charset; they stand at the end or replace ASCII signs, never a word.
_CHINESE_ENDS = ("#上海", "#北京", "#成都", "#广州", "#摄影", "#微博", "（图）", "【转】", "～～", "。。")
_LATIN_ENDS = ("#café", "#málaga", "@Zürich", "#Tromsø", "– via phone", "#são_paulo")


def _write_texts(chance: random.Random, cues: list[str]) -> list[str]:
    used: set[str] = set()
    return [_write_one(chance, cue, used) for cue in cues]


def _write_one(chance: random.Random, cue: str, used: set[str]) -> str:
    """A new text for this cue, at most 118 characters: an RT prefix and a GB18030 sign still fit into 140."""
    for _ in range(1000):
        text = _write_tags(chance) if cue == MISSING else _write_sentence(chance, cue)
        key = _text_key(text)
        if len(text) <= 118 and key not in used:
            used.add(key)
            return text
    raise ConfigError(f"The demo has run out of different {cue} texts. Ask for fewer pairs.")


def _write_sentence(chance: random.Random, cue: str) -> str:
    slots = {name: _pick(chance, words) for name, words in _SLOTS.items()}
    slots |= {name.capitalize(): slots[name][0].upper() + slots[name][1:] for name in ("subject", "who", "place")}
    slots |= {
        f"time{end}": f"{_whole(chance, 7, 21)}:{_pick(chance, ('00', '15', '30', '45'))}" for end in ("", "2", "3")
    }
    slots |= {"n": _whole(chance, 2, 480), "n2": _whole(chance, 2, 60)}
    opening, closing = _pick(chance, _OPENINGS[cue]), _pick(chance, _CLOSINGS[cue])
    text = f"{opening}{'.' if closing[0].isupper() else ','} {closing}".format(**slots)
    extras = []
    if chance.random() < 0.20:
        text = f"@{_pick(chance, _USERS)} {text}"
    if chance.random() < 0.45:
        extras.append(f"#{_pick(chance, _TAGS)}")
    if chance.random() < 0.10:
        extras.append(_pick(chance, ("??", "????")))  # an emoji lost on the way, as in the real course
    if chance.random() < 0.35:
        extras.append(_write_link(chance))
    return " ".join([text, *extras])


def _write_tags(chance: random.Random) -> str:
    """No sentence at all: hashtags, names and links about anything."""
    words = [f"#{tag}" for tag in _shuffled(chance, _TAGS)[: _whole(chance, 3, 5)]]
    if chance.random() < 0.5:
        words.insert(_whole(chance, 0, len(words)), f"@{_pick(chance, _USERS)}")
    if chance.random() < 0.10:
        words.append(_pick(chance, ("??", "????")))
    if chance.random() < 0.8:
        words.append(_write_link(chance))
    return " ".join(words)


def _write_link(chance: random.Random) -> str:
    return "http://t.co/" + "".join(_pick(chance, _LINK_SIGNS) for _ in range(10))


_SLOTS = {"subject": _SUBJECTS, "who": _PEOPLE, "place": _PLACES, "when": _WHENS}
_LINK_SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def _text_key(text: str) -> str:
    """What must differ between two texts that are no twins: letters and digits without links and names."""
    return re.sub(r"https?://\S+|@\w+|[\W_]+", "", text.lower())


def _choose_charset(chance: random.Random, text: str) -> tuple[str, str]:
    """The text with a few foreign signs at times, and the charset to save it in. Independent of every cue."""
    roll = chance.random() * 100
    if roll < GB18030_SHARE:
        changed = f"{text} {_pick(chance, _CHINESE_ENDS)}"
        if "'" in text and chance.random() < 0.5:
            changed = text.replace("'", "’")
        return changed, "gb18030"
    if roll < GB18030_SHARE + 4:
        return f"{text} {_pick(chance, _LATIN_ENDS)}", "utf-8"
    return text, "utf-8"


# --- images ---------------------------------------------------------------------------------------------------------
# Each function draws one kind of scene, w × h, at twice its final size. Colours, places and counts vary freely.

_SIZES = ((224, 168), (224, 150), (168, 224), (200, 200), (224, 180), (180, 224), (224, 224))
_GLAD = (
    (236, 72, 96),
    (250, 160, 40),
    (255, 214, 70),
    (240, 110, 180),
    (150, 90, 210),
    (60, 150, 230),
    (250, 250, 245),
)


def _blend(one, other, share: float) -> tuple[int, int, int]:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def _shade(chance: random.Random, colour, spread: int = 14) -> tuple[int, int, int]:
    return tuple(max(0, min(255, part + _whole(chance, -spread, spread))) for part in colour)


def _sky(w: int, h: int, top, bottom):
    from PIL import Image

    ramp = Image.linear_gradient("L").resize((w, h))
    return Image.composite(Image.new("RGB", (w, h), bottom), Image.new("RGB", (w, h), top), ramp)


def _disc(draw, x: float, y: float, radius: float, fill, squash: float = 1.0) -> None:
    draw.ellipse((x - radius, y - radius * squash, x + radius, y + radius * squash), fill=fill)


def _hills(chance: random.Random, draw, w: int, h: int, level: float, height: float, fill) -> None:
    import math

    phase, waves = _between(chance, 0, 6.3), _between(chance, 0.7, 2.2)
    ridge = [(x, level + height * math.sin(phase + x / w * 6.3 * waves)) for x in range(0, w + 9, 8)]
    draw.polygon([*ridge, (w + 9, h), (0, h)], fill=fill)


def _cloud(chance: random.Random, image, x: float, y: float, size: float, colour, puffs: int = 7) -> None:
    """A heap of puffs with soft edges and a lighter top, pasted into the image."""
    from PIL import Image, ImageDraw, ImageFilter

    mask = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(mask)
    for _ in range(puffs):
        _disc(draw, x + _between(chance, -size, size), y + _between(chance, -size, size) * 0.25,
              size * _between(chance, 0.3, 0.6), 235, 0.7)  # fmt: skip
    mask = mask.filter(ImageFilter.GaussianBlur(max(1.5, size / 14)))
    image.paste(Image.new("RGB", image.size, colour), mask=mask)


def _sun(chance: random.Random, image, w: int, h: int) -> None:
    from PIL import Image, ImageDraw, ImageFilter

    x, y, radius = (
        _between(chance, 0.12, 0.88) * w,
        _between(chance, 0.1, 0.28) * h,
        min(w, h) * _between(chance, 0.06, 0.1),
    )
    glow = Image.new("L", image.size, 0)
    _disc(ImageDraw.Draw(glow), x, y, radius * 2.4, 170)
    image.paste(Image.new("RGB", image.size, (255, 246, 190)), mask=glow.filter(ImageFilter.GaussianBlur(radius)))
    _disc(ImageDraw.Draw(image), x, y, radius, _shade(chance, (255, 224, 90), 10))


def _flower(chance: random.Random, draw, x: float, y: float, size: float, colour) -> None:
    import math

    petals, turn = _pick(chance, (5, 6, 7)), _between(chance, 0, 6.3)
    for petal in range(petals):
        angle = turn + petal * 2 * math.pi / petals
        _disc(draw, x + size * 0.62 * math.cos(angle), y + size * 0.62 * math.sin(angle), size * 0.46, colour)
    _disc(draw, x, y, size * 0.36, (255, 205, 60) if colour[2] > 100 else (120, 70, 30))


def _draw_meadow(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _sky(w, h, _shade(chance, (80, 165, 240)), _shade(chance, (205, 235, 252), 8))
    _sun(chance, image, w, h)
    for _ in range(_whole(chance, 1, 3)):
        _cloud(
            chance,
            image,
            _between(chance, 0, w),
            _between(chance, 0.08, 0.35) * h,
            w * _between(chance, 0.08, 0.14),
            (255, 255, 255),
        )
    draw, level = ImageDraw.Draw(image), _between(chance, 0.42, 0.6) * h
    _hills(chance, draw, w, h, level, h * 0.06, _shade(chance, (120, 185, 130)))
    _hills(chance, draw, w, h, level + h * 0.1, h * 0.05, _shade(chance, (105, 190, 80)))
    _hills(chance, draw, w, h, level + h * 0.2, h * 0.03, _shade(chance, (80, 170, 60)))
    flowers = sorted(_between(chance, level + h * 0.24, h) for _ in range(_whole(chance, 18, 45)))
    for y in flowers:
        x, size = _between(chance, 0, w), 4 + 16 * (y - level) / (h - level)
        draw.line((x, y, x + _between(chance, -3, 3), y + size * 2), fill=(50, 130, 50), width=3)
        _flower(chance, draw, x, y, size, _shade(chance, _pick(chance, _GLAD)))
    return image


def _draw_beach(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _sky(w, h, _shade(chance, (70, 170, 240)), _shade(chance, (225, 242, 250), 6))
    _sun(chance, image, w, h)
    draw, level = ImageDraw.Draw(image), _between(chance, 0.36, 0.5) * h
    sea, sand = _shade(chance, (30, 150, 190)), _shade(chance, (245, 218, 160), 8)
    shore = level + h * _between(chance, 0.18, 0.28)
    for y in range(int(level), int(shore) + 20, 4):
        draw.rectangle((0, y, w, y + 4), fill=_blend(sea, (130, 225, 220), (y - level) / (shore + 20 - level)))
    for _ in range(_whole(chance, 1, 3)):
        x, y, size = (
            _between(chance, 0.08, 0.92) * w,
            level + _between(chance, 6, 26),
            min(w, h) * _between(chance, 0.05, 0.1),
        )
        colour = _pick(chance, _GLAD)
        draw.polygon([(x, y - size * 2), (x, y), (x + size, y)], fill=colour)
        draw.polygon([(x - 3, y - size * 1.7), (x - 3, y), (x - size * 0.7, y)], fill=(250, 250, 250))
        draw.polygon(
            [(x - size, y + 3), (x + size, y + 3), (x + size * 0.6, y + size * 0.4), (x - size * 0.6, y + size * 0.4)],
            fill=(120, 70, 50),
        )
    _hills(chance, draw, w, h, shore + 8, h * 0.02, (250, 250, 245))
    _hills(chance, draw, w, h, shore + 18, h * 0.02, sand)
    for _ in range(_whole(chance, 1, 3)):
        x, y, size = (
            _between(chance, 0.12, 0.88) * w,
            _between(chance, shore + h * 0.1, h * 0.92),
            min(w, h) * _between(chance, 0.12, 0.2),
        )
        colour = _pick(chance, _GLAD[:6])
        draw.line((x, y - size, x + size * 0.15, y + size * 0.5), fill=(130, 90, 60), width=5)
        for part in range(6):
            draw.pieslice((x - size, y - size * 1.7, x + size, y + size * 0.1), 180 + 30 * part, 210 + 30 * part,
                          fill=colour if part % 2 else (252, 250, 245))  # fmt: skip
        towel = _shade(chance, _pick(chance, _GLAD))
        draw.polygon(
            [
                (x + size * 0.4, y + size * 0.3),
                (x + size * 1.5, y + size * 0.3),
                (x + size * 1.7, y + size * 0.6),
                (x + size * 0.5, y + size * 0.6),
            ],
            fill=towel,
        )
    return image


def _draw_balloons(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _sky(
        w,
        h,
        _shade(chance, (95, 180, 245)),
        _shade(chance, _pick(chance, ((255, 236, 205), (225, 240, 255), (255, 225, 230))), 6),
    )
    for _ in range(_whole(chance, 1, 4)):
        _cloud(
            chance,
            image,
            _between(chance, 0, w),
            _between(chance, 0.1, 0.9) * h,
            w * _between(chance, 0.08, 0.15),
            (255, 255, 255),
        )
    draw = ImageDraw.Draw(image)
    _hills(chance, draw, w, h, h * _between(chance, 0.85, 0.97), h * 0.03, _shade(chance, (110, 190, 90)))
    sizes = sorted(min(w, h) * _between(chance, 0.05, 0.17) for _ in range(_whole(chance, 5, 12)))
    for size in sizes:  # the small ones are far away and drawn first
        x, y, colour = _between(chance, 0.06, 0.94) * w, _between(chance, 0.12, 0.75) * h, _pick(chance, _GLAD[:6])
        draw.line((x, y + size * 1.2, x + _between(chance, -9, 9), y + size * 3), fill=(120, 120, 120), width=2)
        draw.polygon(
            [(x, y + size * 1.1), (x - size * 0.16, y + size * 1.4), (x + size * 0.16, y + size * 1.4)], fill=colour
        )
        _disc(draw, x, y, size, _shade(chance, colour), 1.18)
        _disc(draw, x - size * 0.35, y - size * 0.45, size * 0.2, _blend(colour, (255, 255, 255), 0.75), 1.4)
    return image


def _draw_bouquet(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    wall = _shade(chance, _pick(chance, ((252, 226, 200), (214, 238, 245), (250, 220, 228), (240, 244, 205))), 8)
    image = _sky(w, h, _blend(wall, (255, 255, 255), 0.35), wall)
    draw, table = ImageDraw.Draw(image), _between(chance, 0.78, 0.88) * h
    draw.rectangle((0, table, w, h), fill=_shade(chance, (205, 160, 110)))
    x, wide = _between(chance, 0.32, 0.68) * w, min(w, h) * _between(chance, 0.12, 0.17)
    top, bottom = table - h * 0.22, table + h * 0.06
    heads = [
        (x + _between(chance, -0.3, 0.3) * w, top - _between(chance, 0.02, 0.5) * h)
        for _ in range(_whole(chance, 9, 18))
    ]
    for head_x, head_y in heads:
        draw.line(
            (x + _between(chance, -0.5, 0.5) * wide, top + 8, head_x, head_y),
            fill=_shade(chance, (70, 150, 70)),
            width=5,
        )
        leaf_x, leaf_y = (x + head_x) / 2, (top + head_y) / 2
        draw.ellipse((leaf_x - 20, leaf_y - 8, leaf_x + 20, leaf_y + 8), fill=_shade(chance, (95, 175, 85)))
    for head_x, head_y in heads:
        _flower(
            chance, draw, head_x, head_y, min(w, h) * _between(chance, 0.05, 0.09), _shade(chance, _pick(chance, _GLAD))
        )
    vase = _shade(chance, _pick(chance, ((70, 130, 190), (235, 235, 240), (90, 160, 150), (240, 150, 90))))
    draw.polygon([(x - wide, top), (x + wide, top), (x + wide * 0.7, bottom), (x - wide * 0.7, bottom)], fill=vase)
    draw.line(
        (x - wide * 0.6, top + 12, x - wide * 0.45, bottom - 10), fill=_blend(vase, (255, 255, 255), 0.5), width=6
    )
    return image


def _gloom(chance: random.Random, w: int, h: int, low: int = 25, high: int = 60):
    """A heavy grey sky full of dark clouds."""
    top, bottom = _whole(chance, low, high), _whole(chance, 85, 130)
    image = _sky(w, h, (top, top + 3, top + 10), (bottom, bottom, bottom + 8))
    for _ in range(_whole(chance, 5, 8)):
        grey = _whole(chance, 25, 85)
        _cloud(
            chance,
            image,
            _between(chance, 0, w),
            _between(chance, 0, 0.4) * h,
            w * _between(chance, 0.14, 0.28),
            (grey, grey, grey + 8),
            6,
        )
    return image


def _rain(chance: random.Random, draw, w: int, h: int) -> None:
    slant = _between(chance, -14, 14)
    for _ in range(_whole(chance, 50, 110)):
        x, y, length = _between(chance, 0, w), _between(chance, 0.15, 1) * h, _between(chance, 16, 40)
        draw.line((x, y, x + slant, y + length), fill=(140, 148, 165), width=2)


def _bolt(chance: random.Random, draw, w: int, h: int) -> None:
    x, y = _between(chance, 0.15, 0.85) * w, _between(chance, 0.05, 0.2) * h
    points = [(x, y)]
    while y < h * 0.68:
        x, y = x + _between(chance, -30, 30), y + _between(chance, 14, 38)
        points.append((x, y))
        if chance.random() < 0.25:
            draw.line(
                (x, y, x + _between(chance, -50, 50), y + _between(chance, 20, 50)), fill=(215, 215, 240), width=3
            )
    draw.line(points, fill=(190, 190, 255), width=9, joint="curve")
    draw.line(points, fill=(255, 255, 245), width=4, joint="curve")


def _bare_tree(chance: random.Random, draw, x: float, y: float, length: float, angle: float, depth: int) -> None:
    import math

    end_x, end_y = x + length * math.cos(angle), y - length * math.sin(angle)
    draw.line((x, y, end_x, end_y), fill=(18, 16, 18), width=max(2, depth * 3))
    for side in (-1, 1) if depth > 1 else ():
        _bare_tree(
            chance,
            draw,
            end_x,
            end_y,
            length * _between(chance, 0.6, 0.8),
            angle + side * _between(chance, 0.25, 0.6),
            depth - 1,
        )


def _draw_storm(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _gloom(chance, w, h)
    draw, level = ImageDraw.Draw(image), _between(chance, 0.62, 0.8) * h
    for _ in range(_whole(chance, 1, 3)):
        _bolt(chance, draw, w, h)
    for layer in range(4):  # a rough sea
        _hills(
            chance,
            draw,
            w,
            h,
            level + layer * h * 0.08,
            h * 0.03,
            _shade(chance, (45 - 6 * layer, 55 - 6 * layer, 68 - 6 * layer), 5),
        )
    _rain(chance, draw, w, h)
    return image


def _draw_ruin(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _gloom(chance, w, h, 40, 70)
    draw, level = ImageDraw.Draw(image), _between(chance, 0.74, 0.86) * h
    x = -_between(chance, 0, 0.1) * w
    while x < w:
        wide, high = w * _between(chance, 0.16, 0.32), h * _between(chance, 0.25, 0.55)
        wall = _shade(chance, (74, 66, 62), 12)
        steps = [(x + wide * part / 6, level - high * _between(chance, 0.45, 1)) for part in range(7)]
        draw.polygon([(x, level), *steps, (x + wide, level)], fill=wall)
        for row in range(3):
            for column in range(3):
                left, upper = x + wide * (0.14 + 0.28 * column), level - high * 0.42 + row * high * 0.15
                if chance.random() < 0.75:
                    draw.rectangle((left, upper, left + wide * 0.14, upper + high * 0.1), fill=(14, 12, 12))
        draw.line(
            [(x + wide * _between(chance, 0, 1), level - high * part / 5) for part in range(5)],
            fill=(28, 24, 24),
            width=3,
        )
        x += wide + w * _between(chance, 0, 0.1)
    draw.rectangle((0, level, w, h), fill=_shade(chance, (52, 47, 45), 6))
    for _ in range(_whole(chance, 30, 60)):  # rubble
        stone_x, stone_y, size = _between(chance, 0, w), _between(chance, level - 8, h), _between(chance, 6, 24)
        corners = [
            (stone_x + _between(chance, -size, size), stone_y + _between(chance, -size, size) * 0.6) for _ in range(4)
        ]
        draw.polygon(corners, fill=_shade(chance, _pick(chance, ((88, 80, 76), (60, 55, 53), (38, 34, 34))), 8))
    for _ in range(_whole(chance, 1, 2)):
        smoke_x = _between(chance, 0.15, 0.85) * w
        for part in range(4):
            _cloud(
                chance,
                image,
                smoke_x + part * 14,
                level - h * (0.3 + 0.14 * part),
                w * (0.04 + 0.02 * part),
                (34, 32, 34),
                4,
            )
    return image


def _draw_graves(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _gloom(chance, w, h, 55, 90)
    draw, level = ImageDraw.Draw(image), _between(chance, 0.6, 0.72) * h
    _hills(chance, draw, w, h, level, h * 0.03, _shade(chance, (50, 54, 48), 6))
    for _ in range(_whole(chance, 1, 3)):
        _bare_tree(
            chance,
            draw,
            _between(chance, 0.08, 0.92) * w,
            level + h * 0.08,
            h * _between(chance, 0.16, 0.24),
            _between(chance, 1.4, 1.75),
            5,
        )
    stones = sorted(_between(chance, level + h * 0.1, h * 0.95) for _ in range(_whole(chance, 4, 9)))
    for y in stones:
        x, size = _between(chance, 0.04, 0.96) * w, min(w, h) * (0.04 + 0.12 * (y - level) / (h - level))
        grey = _whole(chance, 92, 135)
        if chance.random() < 0.5:
            draw.rectangle((x - size * 0.2, y - size * 2.4, x + size * 0.2, y), fill=(grey, grey, grey))
            draw.rectangle((x - size * 0.75, y - size * 1.8, x + size * 0.75, y - size * 1.4), fill=(grey, grey, grey))
        else:
            draw.rectangle((x - size * 0.7, y - size * 1.2, x + size * 0.7, y), fill=(grey, grey, grey))
            draw.pieslice(
                (x - size * 0.7, y - size * 1.9, x + size * 0.7, y - size * 0.5), 180, 360, fill=(grey, grey, grey)
            )
        draw.ellipse((x - size, y - 4, x + size, y + size * 0.3), fill=(34, 38, 32))
    if chance.random() < 0.5:
        _rain(chance, draw, w, h)
    return image


def _draw_fire(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _sky(w, h, (12, 10, 14), _shade(chance, (92, 44, 26), 10))
    draw, level = ImageDraw.Draw(image), _between(chance, 0.78, 0.88) * h
    wide, high, x = w * _between(chance, 0.35, 0.55), h * _between(chance, 0.25, 0.38), _between(chance, 0.08, 0.5) * w
    for part in range(6):
        grey = _whole(chance, 22, 52)
        _cloud(
            chance,
            image,
            x + wide * _between(chance, 0, 1),
            level - high - h * 0.1 * part,
            w * 0.12,
            (grey, grey - 2, grey - 4),
            6,
        )
    draw = ImageDraw.Draw(image)
    draw.rectangle((x, level - high, x + wide, level), fill=(30, 22, 20))
    draw.polygon(
        [(x - 16, level - high), (x + wide * 0.5, level - high * 1.6), (x + wide + 16, level - high)], fill=(20, 15, 14)
    )
    for column in range(3):
        left = x + wide * (0.12 + 0.3 * column)
        draw.rectangle((left, level - high * 0.75, left + wide * 0.16, level - high * 0.35), fill=(250, 130, 30))
    for _ in range(_whole(chance, 12, 22)):
        fire_x, size = x + wide * _between(chance, -0.05, 1.05), min(w, h) * _between(chance, 0.05, 0.13)
        base = level - high * _pick(chance, (0, 0, 0.9, 1.1))
        for scale, colour in ((1, (205, 50, 20)), (0.65, (245, 125, 25)), (0.35, (255, 215, 90))):
            tip = fire_x + _between(chance, -0.4, 0.4) * size
            draw.polygon(
                [
                    (fire_x - size * 0.5 * scale, base),
                    (tip, base - size * 2.4 * scale),
                    (fire_x + size * 0.5 * scale, base),
                ],
                fill=colour,
            )
    draw.rectangle((0, level, w, h), fill=(16, 13, 13))
    return image


def _paper(chance: random.Random, w: int, h: int):
    from PIL import Image

    tint = _whole(chance, 226, 244)
    return Image.new("RGB", (w, h), (tint, tint, tint - _whole(chance, 0, 10)))


def _words(chance: random.Random, draw, left: float, right: float, y: float, high: float, ink) -> None:
    """A line of text as it looks from afar: grey bars of word length."""
    x = left
    while x < right:
        long = high * _between(chance, 1.2, 5)
        draw.rectangle((x, y, min(x + long, right), y + high), fill=ink)
        x += long + high * 0.8


def _draw_letter(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _paper(chance, w, h)
    draw, ink = ImageDraw.Draw(image), (_whole(chance, 60, 110),) * 3
    left, high = w * _between(chance, 0.07, 0.16), h * _between(chance, 0.012, 0.02)
    columns = _pick(chance, (1, 1, 2, 3))
    _words(chance, draw, left, w * _between(chance, 0.5, 0.8), h * 0.07, high * 2.2, (50, 50, 54))
    wide = (w - 2 * left) / columns
    for column in range(columns):
        y = h * _between(chance, 0.15, 0.22)
        while y < h * 0.94:
            if chance.random() < 0.07 and y < h * 0.7:  # a picture frame in the text
                draw.rectangle(
                    (left + column * wide, y, left + (column + 0.9) * wide, y + h * 0.16), fill=(190, 192, 196)
                )
                y += h * 0.19
            short = 0.5 if chance.random() < 0.15 else 0.9
            _words(chance, draw, left + column * wide, left + (column + short) * wide, y, high, ink)
            y += high * (2.1 if short == 0.9 else 3.6)
    return image


def _draw_chart(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _paper(chance, w, h)
    draw = ImageDraw.Draw(image)
    left, bottom, top = w * _between(chance, 0.1, 0.16), h * _between(chance, 0.8, 0.88), h * 0.2
    _words(chance, draw, left, w * 0.75, h * 0.07, h * 0.03, (70, 70, 76))
    for line in range(5):
        y = bottom - (bottom - top) * line / 4
        draw.line((left, y, w * 0.94, y), fill=(200, 202, 206), width=2)
        draw.rectangle((left * 0.4, y - 5, left * 0.8, y + 5), fill=(150, 150, 155))
    bars, ink = (
        _whole(chance, 5, 12),
        _shade(chance, _pick(chance, ((92, 116, 150), (125, 130, 138), (98, 140, 136), (150, 135, 110)))),
    )
    step = (w * 0.94 - left) / bars
    values = [_between(chance, 0.1, 1) for _ in range(bars)]
    if chance.random() < 0.6:
        for number, value in enumerate(values):
            x = left + step * number
            draw.rectangle((x + step * 0.2, bottom - (bottom - top) * value, x + step * 0.8, bottom), fill=ink)
    else:
        points = [
            (left + step * (number + 0.5), bottom - (bottom - top) * value) for number, value in enumerate(values)
        ]
        draw.line(points, fill=ink, width=6, joint="curve")
        for x, y in points:
            _disc(draw, x, y, 8, ink)
    draw.line((left, top, left, bottom, w * 0.94, bottom), fill=(70, 70, 75), width=4)
    _words(chance, draw, left, w * 0.9, h * 0.92, h * 0.018, (130, 130, 134))
    return image


def _draw_map(chance: random.Random, w: int, h: int):
    from PIL import Image, ImageDraw

    ground = _shade(chance, (224, 222, 216), 6)
    image = Image.new("RGB", (int(w * 1.5), int(h * 1.5)), ground)
    draw, wide, high = ImageDraw.Draw(image), w * 1.5, h * 1.5
    for _ in range(_whole(chance, 2, 5)):
        x, y = _between(chance, 0, wide), _between(chance, 0, high)
        draw.rectangle(
            (x, y, x + wide * 0.2, y + high * 0.14),
            fill=_pick(chance, ((206, 216, 202), (208, 210, 214), (214, 206, 198))),
        )
    x = -20.0
    while x < wide:
        x += _between(chance, 36, 110)
        draw.line((x, 0, x + _between(chance, -30, 30), high), fill=(250, 250, 250), width=_pick(chance, (6, 8, 8, 14)))
    y = -20.0
    while y < high:
        y += _between(chance, 36, 100)
        draw.line((0, y, wide, y + _between(chance, -30, 30)), fill=(250, 250, 250), width=_pick(chance, (6, 8, 8, 14)))
    river = [(wide * part / 5, high * _between(chance, 0.3, 0.7)) for part in range(6)]
    draw.line(river, fill=(180, 196, 210), width=_whole(chance, 14, 30), joint="curve")
    draw.line(
        [(wide * _between(chance, 0, 1), 0), (wide * _between(chance, 0, 1), high)], fill=(205, 190, 160), width=16
    )
    for _ in range(_whole(chance, 10, 24)):
        _words(chance, draw, x := _between(chance, 0, wide), x + 50, _between(chance, 0, high), 7, (130, 130, 132))
    image = image.rotate(_between(chance, -24, 24), Image.Resampling.BICUBIC)
    left, top = int(w * 0.25), int(h * 0.25)
    return image.crop((left, top, left + w, top + h))


def _draw_timetable(chance: random.Random, w: int, h: int):
    from PIL import ImageDraw

    image = _paper(chance, w, h)
    draw, band = (
        ImageDraw.Draw(image),
        _shade(chance, _pick(chance, ((88, 100, 116), (110, 110, 112), (96, 112, 106), (120, 108, 98))), 8),
    )
    left, top, right, bottom = w * 0.06, h * _between(chance, 0.12, 0.24), w * 0.94, h * 0.94
    _words(chance, draw, left, w * _between(chance, 0.4, 0.8), h * 0.05, h * 0.035, (70, 70, 74))
    rows, columns = _whole(chance, 5, 12), _whole(chance, 3, 7)
    step_y, step_x = (bottom - top) / rows, (right - left) / columns
    draw.rectangle((left, top, right, top + step_y), fill=band)
    for row in range(rows + 1):
        draw.line((left, top + row * step_y, right, top + row * step_y), fill=(165, 166, 170), width=2)
        if row % 2 and row < rows and row:
            draw.rectangle((left, top + row * step_y, right, top + (row + 1) * step_y), fill=(216, 218, 220))
    for row in range(rows):
        for column in range(columns):
            if chance.random() < 0.85:
                x, y = left + (column + 0.12) * step_x, top + (row + 0.35) * step_y
                ink = (225, 226, 228) if row == 0 else (96, 96, 100)
                _words(chance, draw, x, x + step_x * _between(chance, 0.35, 0.75), y, step_y * 0.28, ink)
    for column in range(columns + 1):
        draw.line((left + column * step_x, top, left + column * step_x, bottom), fill=(165, 166, 170), width=2)
    return image


def _draw_blur(chance: random.Random, w: int, h: int):
    """A photograph out of focus: soft lights of any colour."""
    from PIL import Image, ImageDraw, ImageFilter

    image = Image.new("RGB", (w, h), tuple(_whole(chance, 60, 190) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(_whole(chance, 8, 22)):
        colour = tuple(_whole(chance, 30, 235) for _ in range(3))
        _disc(draw, _between(chance, 0, w), _between(chance, 0, h), min(w, h) * _between(chance, 0.08, 0.3), colour)
    return image.filter(ImageFilter.GaussianBlur(min(w, h) * _between(chance, 0.05, 0.1)))


def _draw_weave(chance: random.Random, w: int, h: int):
    """A close-up of cloth or carpet: an even pattern without a subject."""
    from PIL import Image, ImageDraw, ImageFilter

    colours = [tuple(_whole(chance, 60, 200) for _ in range(3)) for _ in range(3)]
    image = Image.new("RGB", (2 * w, 2 * h), colours[0])
    draw, step, kind = ImageDraw.Draw(image), _whole(chance, 18, 44), _pick(chance, ("stripes", "checks", "dots"))
    for x in range(0, 2 * w, step):
        if kind != "dots":
            draw.rectangle((x, 0, x + step * 0.45, 2 * h), fill=colours[1])
    for number, y in enumerate(range(0, 2 * h, step)):
        if kind == "checks":
            draw.rectangle((0, y, 2 * w, y + step * 0.3), fill=colours[2])
        for x in range(0, 2 * w, step) if kind == "dots" else ():
            _disc(draw, x + step / 2 * (number % 2), y, step * 0.3, colours[1 + number % 2])
    image = image.rotate(_between(chance, 0, 180), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2.5))
    left, top = w // 2, h // 2
    return image.crop((left, top, left + w, top + h))


_SCENES: dict[str, tuple[Callable, ...]] = {
    POSITIVE: (_draw_meadow, _draw_beach, _draw_balloons, _draw_bouquet),
    NEGATIVE: (_draw_storm, _draw_ruin, _draw_graves, _draw_fire),
    NEUTRAL: (_draw_letter, _draw_chart, _draw_map, _draw_timetable),
    MISSING: (_draw_blur, _draw_weave),
}


def _draw_image(chance: random.Random, cue: str):
    """One picture of a scene that shows the cue, under a soft uneven light that makes every picture its own."""
    import numpy as np
    from PIL import Image

    width, height = _pick(chance, _SIZES)
    image = _pick(chance, _SCENES[cue])(chance, 2 * width, 2 * height).resize((width, height), Image.Resampling.LANCZOS)
    coarse = np.array([[_between(chance, -1, 1) for _ in range(5)] for _ in range(5)], dtype=np.float32)
    light = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))[:, :, None]
    pixels = np.asarray(image, dtype=np.float32) * (1 + 0.16 * light)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _difference_hash(image) -> int:
    """64 bits: is each of 8 × 8 grey fields brighter than its right neighbour?"""
    import numpy as np
    from PIL import Image

    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return int("".join("1" if bit else "0" for bit in (grey[:, :-1] > grey[:, 1:]).ravel()), 2)


def draw_images(pairs: list[DemoPair], seed: int) -> dict[str, bytes]:
    """The JPEG file of every pair, by guid; at most 224 pixels a side. Other versions of Pillow may write other bytes.

    A picture whose 64-bit difference hash is within 12 bits of an earlier one's is drawn again (at most 200 times),
    unless it is its twin.
    """
    drawn, hashes = {}, []
    for pair in pairs:
        if pair.same_image:
            continue
        for attempt in range(200):
            image = _draw_image(_chance(seed, "image", pair.guid, attempt), pair.image_cue)
            hashed = _difference_hash(image)
            if all((hashed ^ other).bit_count() > 12 for other in hashes):
                break
        hashes.append(hashed)
        drawn[pair.guid] = image
    files = {guid: _save_jpeg(image, 80) for guid, image in drawn.items()}
    for pair in pairs:
        if pair.same_image:  # sent again: a little smaller, and compressed harder
            source = drawn[pair.twin_of]
            files[pair.guid] = _save_jpeg(source.resize((source.width * 7 // 8, source.height * 7 // 8)), 62)
    return files


def _save_jpeg(image, quality: int) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


# --- the folder -----------------------------------------------------------------------------------------------------

MADE_BY = "mmlab.demo"


def make_demo(folder: Path | str, *, seed: int = 0, n_labelled: int = 600, n_test: int = 150) -> Path:
    """Write a demo course (train.txt, test_without_label.txt, data/, ceilings.json, README.md) and return its folder.

    The folder appears whole or not at all. An earlier demo is replaced; anything else that is not empty is refused
    with CourseError, and so is a demo to which files were added. Texts and labels are the same on every machine;
    JPEG bytes may differ with the version of Pillow.
    """
    folder = Path(folder).expanduser().resolve()
    _refuse_foreign(folder)
    if seed < 0:
        raise CourseError(f"seed={seed} is out of range: it must be at least 0.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(f"{folder.parent} cannot be made ({error.strerror}). Name a folder elsewhere.") from None
    pairs = plan_demo(seed, n_labelled, n_test)
    images = draw_images(pairs, seed)

    part, old = (folder.parent / f".{folder.name}.{os.getpid()}.{end}" for end in ("part", "old"))
    try:
        (part / "data").mkdir(parents=True)
        for name, content in _small_files(pairs, seed).items():
            (part / name).write_bytes(content.encode("utf-8"))
        for pair in pairs:
            (part / "data" / f"{pair.guid}.txt").write_bytes(pair.raw_text)
            (part / "data" / f"{pair.guid}.jpg").write_bytes(images[pair.guid])
        _refuse_foreign(folder)  # drawing took a while: look again before anything is moved
        if folder.exists():
            folder.rename(old)
        try:
            part.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def _refuse_foreign(folder: Path) -> None:
    """Raise CourseError unless the folder is missing, empty, or a demo with nothing but what this module wrote."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CourseError(f"{folder} is a file. Name a folder for the demo.")
    files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    found = {path.relative_to(folder).as_posix() for path in files}
    if not found and not any(folder.iterdir()):
        return
    try:
        ours = json.loads((folder / "ceilings.json").read_text(encoding="utf-8"))["made_by"] == MADE_BY
        rows = [(folder / name).read_text(encoding="utf-8").splitlines()[1:] for name in _LISTS]
    except (OSError, ValueError, KeyError, TypeError):
        ours, rows = False, []
    if not ours:
        raise CourseError(f"{folder} is not empty and is no demo. Nothing was changed: name another folder.")
    guids = [row.split(",")[0] for part in rows for row in part]
    known = {*_LISTS, "ceilings.json", "README.md", *(f"data/{guid}.{end}" for guid in guids for end in ("txt", "jpg"))}
    if added := sorted(found - known):
        raise CourseError(f"{folder} holds files that are not the demo's ({added[0]}). Nothing was changed: move them.")


_LISTS = ("train.txt", "test_without_label.txt")


def _small_files(pairs: list[DemoPair], seed: int) -> dict[str, str]:
    """Every file of the folder but the pairs themselves: name → text."""
    labelled = [pair for pair in pairs if pair.split == "labelled"]
    test = [pair for pair in pairs if pair.split == "test"]
    facts = _describe(labelled, test, seed)
    return {
        "train.txt": "guid,tag\n" + "".join(f"{pair.guid},{pair.given}\n" for pair in labelled),
        "test_without_label.txt": "guid,tag\n" + "".join(f"{pair.guid},null\n" for pair in test),
        "ceilings.json": json.dumps(facts, indent=2) + "\n",
        "README.md": _write_readme(facts),
    }


def _describe(labelled: list[DemoPair], test: list[DemoPair], seed: int) -> dict:
    shares = label_shares()
    return {
        "made_by": MADE_BY,
        **compute_ceilings(),
        "majority": max(shares.values()),
        "label_shares": shares,
        "best_rule_on_the_labelled_pairs": score_best_rule(labelled),
        "seed": seed,
        "n_labelled": len(labelled),
        "n_test": len(test),
        "twins": {"labelled": sum(bool(pair.twin_of) for pair in labelled), "test": sum(bool(p.twin_of) for p in test)},
        "gb18030": sum(pair.encoding == "gb18030" for pair in [*labelled, *test]),
        "recipe": {
            "label_noise_per_cent": LABEL_NOISE,
            "true_label_per_cent": SHARES,
            "cues_per_cent_of_true_label": [
                {"text": text, "image": image, **{label: RECIPE[label].get((text, image), 0) for label in LABELS}}
                for text in TEXT_CUES
                for image in IMAGE_CUES
                if any((text, image) in RECIPE[label] for label in LABELS)
            ],
        },
    }


def _write_readme(facts: dict) -> str:
    rule = best_rule("text_and_image")
    rows = [
        [cell["text"], cell["image"], *(cell[label] or "" for label in LABELS), rule[cell["text"], cell["image"]]]
        for cell in facts["recipe"]["cues_per_cent_of_true_label"]
    ]
    recipe_rows = "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
    drawn = facts["best_rule_on_the_labelled_pairs"]
    score_rows = "\n".join(f"| {name} | {facts[name]:.3f} | {drawn[name]:.3f} |" for name in SCENARIOS)
    seed, n_labelled, n_test, majority = (facts[name] for name in ("seed", "n_labelled", "n_test", "majority"))
    twins, test_twins = facts["twins"]["labelled"], facts["twins"]["test"]
    return f"""# The demo course

{n_labelled} labelled and {n_test} unlabelled pairs of a tweet and a picture. Nobody wrote these tweets or took these
pictures: `python -m mmlab.demo FOLDER {seed}` makes the folder (this file too) from seed {seed}. Texts and labels
come out the same on every machine; the bytes of the JPEG files may differ with the version of Pillow.

## How a pair is made

1. A true label is drawn: {SHARES[NEGATIVE]} % negative, {SHARES[NEUTRAL]} % neutral, {SHARES[POSITIVE]} % positive.
2. The true label decides how often the text and the image show which cue (table below, per cent of the true label).
   *missing*: the text is hashtags and links only, or the picture is a blur or a pattern. *wry*: glad words with a
   wink, meant as they are said over a bright picture, sarcasm over a sad one. A *positive* text over a *negative*
   picture is sarcasm too, without the wink. A *neutral* cue beside a glad or sad one usually says nothing.
3. The label is given: {LABEL_NOISE} % of the true labels are replaced by one of the other two.
4. The text is written and the picture drawn from the cue alone: subject, people, place and size mean nothing.

| text cue | image cue | negative | neutral | positive | best answer |
|---|---|---|---|---|---|
{recipe_rows}

The counts follow these shares to within a pair (drawn at even steps, not each for itself), apart from the twins.

## The best possible accuracy

From the table, for whoever reads every cue without error; label noise included. Always answering positive scores
{majority:.3f}. The second column is the same best answer, scored on the {n_labelled} labelled pairs in this folder.

| scenario | ceiling | on these pairs |
|---|---|---|
{score_rows}

`ceilings.json` holds these numbers and the recipe; `mmlab.demo.read_ceilings` reads them.

## What else is in it

- {twins} labelled and {test_twins} test pairs are twins of a labelled pair: a retweet of the text, the picture sent
  again smaller and in lower quality, or both. A twin copies the true label and the cues and is given its label anew.
- {facts["gb18030"]} texts are saved in GB18030 and are not UTF-8; the others are UTF-8. `??` stands where an emoji
  was lost.
- The answers to the unlabelled pairs are not in the folder. Instructors: `mmlab.demo.demo_answers({seed})`.
"""


def main(arguments: list[str] | None = None) -> int:
    """`python -m mmlab.demo FOLDER [SEED]`; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    seed = arguments[1] if len(arguments) == 2 else "0"
    if len(arguments) not in (1, 2) or arguments[0][:1] in ("", "-") or not (seed.isascii() and seed.isdigit()):
        print("usage: python -m mmlab.demo FOLDER [SEED]", file=sys.stderr)
        return 2
    try:
        folder = make_demo(arguments[0], seed=int(seed))
    except (CourseError, ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The demo is in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

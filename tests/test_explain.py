"""Explanations: the arithmetic on labs whose every value is known, what is asked of a lab, what a reader sees, and
what a trained model makes of the demo, whose cues are known."""

import copy
import functools
import itertools
import math
import re
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from figures import draw, texts

from mmlab import plots
from mmlab.config import IMAGE, LABELS, TEXT
from mmlab.demo.folder import plan_demo
from mmlab.demo.texts import _words
from mmlab.errors import MmlabError
from mmlab.explain import explain
from mmlab.explain.parts import MOST_WORDS, split_picture, split_text
from mmlab.explain.shapley import credit_players, list_coalitions, list_orders
from mmlab.lab import Lab, Seen

PICTURE = np.repeat(np.repeat(np.arange(1, 10, dtype=np.uint8).reshape(3, 3, 1) * 20, 8, 0), 8, 1).repeat(3, 2)
NONSENSE = (
    "<script>x</script> $x^2$ [/b] \u202eabc\u202c bell\x07\x1b[31m 今天好 \U0001f9cc &amp; @you #happy http://t.co/"
    + "x" * 60
)


class WordEncoder:
    """A word is a token; it reads `most` of them."""

    def __init__(self, most: int = 64, **tokenizer: str) -> None:
        self.most, self.tokenizer = most, SimpleNamespace(**tokenizer)

    def tokenise(self, texts: list[str]) -> list[list[str]]:
        return [re.findall(r"\S+", text)[: self.most] for text in texts]


class FakeLab:
    """p(positive) = value(words or None, cells or None); notes what it was asked."""

    def __init__(self, value, scenario: str = "text_and_image", encoder: WordEncoder | None = None) -> None:
        self.value, self.scenarios, self.seen, self.answered = value, (scenario,), [], 0
        self.encoders = encoder or WordEncoder(mask_token="[MASK]"), SimpleNamespace(settings={"mean": [0.5] * 3})

    def read_picture(self, image) -> np.ndarray:
        return image

    def see(self, texts, images):
        self.seen.append((texts, images))
        return texts, images

    def answer(self, seen, text_rows, image_rows) -> dict[str, np.ndarray]:
        self.answered += 1
        rows = []
        for text, image in zip(text_rows, image_rows, strict=True):
            words = None if text < 0 or seen[0][text] is None else seen[0][text].split()
            cells = None if image < 0 else (seen[1][image][4::8, 4::8, 0].astype(int)).ravel()
            p = self.value(words, cells)
            rows.append([(1 - p) / 2, (1 - p) / 2, p])
        return {self.scenarios[0]: np.array(rows)}


def squash(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def entangled(words, cells) -> float:
    """Words that turn each other round, cells that count together, and both sides together."""
    words, score = words or [], 0.0
    score += 2 * ("good" in words) * (-1 if "not" in words else 1) + 0.3 * len(words) - 0.5 * ("so" in words)
    if cells is not None:
        there = cells == PICTURE[4::8, 4::8, 0].ravel()
        score += 1.5 * there[0] * there[4] + 0.1 * there.sum() - there[8] - 0.4 * ("good" in words)
    return squash(score)


def exact_values(value, n: int) -> np.ndarray:
    """Shapley values by their definition: value takes a bool tuple."""
    found = np.zeros(n)
    for others in itertools.product((False, True), repeat=n):
        for i in np.flatnonzero(~np.array(others)):
            joined = tuple(one or j == i for j, one in enumerate(others))
            weight = math.factorial(sum(others)) * math.factorial(n - 1 - sum(others)) / math.factorial(n)
            found[i] += weight * (value(joined) - value(others))
    return found


def entangled_cells(there, words) -> float:
    if not any(there):
        return entangled(words, None)
    return entangled(words, np.where(there, PICTURE[4::8, 4::8, 0].ravel(), 128))


# ------------------------------------------------------------------------------------------------- the arithmetic


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("text", ["good", "not so good today", "it was not so good as all of you told me"])
def test_parts_sum_to_what_both_sides_bring(text, second):
    explanation = explain(FakeLab(entangled), text, PICTURE, label="positive", second_baseline=second)
    whole, nothing = entangled(text.split(), PICTURE[4::8, 4::8, 0].ravel()), entangled(None, None)
    assert explanation.both == pytest.approx(whole) and explanation.none == pytest.approx(nothing)
    assert sum(explanation.credit.values()) == pytest.approx(whole - nothing, abs=1e-5)
    for side in explanation.sides.values():
        for credits in [side.first, side.second] if second else [side.first]:
            assert credits.values.sum() == pytest.approx(side.first.values.sum(), abs=1e-5)


def test_credit_of_the_sides_is_a_game_of_two():
    explanation = explain(FakeLab(entangled), "not good", PICTURE, label="positive")
    cells = PICTURE[4::8, 4::8, 0].ravel()
    alone = entangled(["not", "good"], None) - entangled(None, None)
    joining = entangled(["not", "good"], cells) - entangled(None, cells)
    assert explanation.credit[TEXT] == pytest.approx((alone + joining) / 2)


def test_words_are_credited_as_captum_credits_them():
    import torch
    from captum.attr import ShapleyValues

    words = "not so good my friend".split()
    explanation = explain(FakeLab(entangled), " ".join(words), PICTURE, label="positive")
    games = []
    for cells in (None, PICTURE[4::8, 4::8, 0].ravel()):

        def value(shown, cells=cells):
            kept = [[word for word, one in zip(words, row, strict=True) if one] or None for row in shown.bool()]
            return torch.tensor([entangled(one, cells) for one in kept], dtype=torch.float64)

        everything = torch.ones(1, len(words), dtype=torch.float64)
        games.append(ShapleyValues(value).attribute(everything, feature_mask=torch.arange(5)[None])[0].numpy())
    assert explanation.sides[TEXT].first.values == pytest.approx(
        np.mean(games, axis=0), abs=1e-6
    )  # captum's are float32
    assert not explanation.sides[TEXT].first.errors.any()
    assert not np.allclose(games[0], games[1], atol=1e-3)  # the other side matters in this game


def test_drawn_cells_come_close_to_the_exact_values_as_their_errors_say():
    exact = exact_values(lambda there: np.mean([entangled_cells(there, words) for words in (None, ["good"])]), 9)
    found = [explain(FakeLab(entangled), "good", PICTURE, label="positive", seed=seed) for seed in range(40)]
    values, errors = (
        np.array([getattr(one.sides[IMAGE].first, name) for one in found]) for name in ("values", "errors")
    )
    spread, claimed = np.sqrt(((values - exact) ** 2).mean()), np.sqrt((errors**2).mean())
    assert 0.75 < claimed / spread < 1.33
    assert values.mean(axis=0) == pytest.approx(exact, abs=4 * spread / math.sqrt(40))
    with pytest.raises(AssertionError):  # the twin: another cell's value would not pass
        assert values.mean(axis=0) == pytest.approx(np.roll(exact, 4), abs=4 * spread / math.sqrt(40))


def test_more_draws_less_noise_and_the_same_seed_the_same_numbers():
    def of(**options):
        return explain(FakeLab(entangled), "good", PICTURE, label="positive", **options).sides[IMAGE].first

    few, many = of(draws=4), of(draws=100)
    assert many.errors.mean() < few.errors.mean() / 2
    assert np.array_equal(of(seed=3).values, of(seed=3).values)
    assert not np.array_equal(of(seed=3).values, of(seed=4).values)


def test_what_depends_on_the_place_alone_makes_no_noise():
    orders, exact = list_orders(9, 5, seed=0)
    coalitions, paths = list_coalitions(orders)
    credits, errors = credit_players(np.sqrt(coalitions.sum(axis=1)), orders, paths, exact)
    assert credits == pytest.approx(np.full(9, 3 / 9)) and errors == pytest.approx(0, abs=1e-12)
    entered = np.diff(np.sqrt(np.arange(10)))[np.argsort(orders, axis=1)]
    assert entered.mean(axis=0).std() > 0.01  # plain averages of these orders differ


def test_orders_come_with_their_reverse_and_coalitions_once():
    orders, exact = list_orders(8, 3, seed=1)
    assert not exact and orders.shape == (6, 8)
    assert np.array_equal(orders[::2], orders[1::2, ::-1])
    coalitions, paths = list_coalitions(orders)
    assert len({tuple(one) for one in coalitions}) == len(coalitions)
    assert not coalitions[0].any() and coalitions[-1].all()
    for order, path in zip(orders, paths, strict=True):
        for step, row in enumerate(path):
            assert set(np.flatnonzero(coalitions[row])) == set(order[:step])
    assert list_orders(4, 3, seed=1)[0].shape == (24, 4) and list_orders(4, 3, seed=1)[1]


def test_a_model_that_ignores_the_image_gives_it_exactly_nothing():
    lab = FakeLab(lambda words, cells: squash(len(words or []) - 2 * ("not" in (words or []))))
    explanation = explain(lab, "it is not so good as they say", PICTURE, label="positive")
    assert explanation.credit[IMAGE] == 0.0
    assert not explanation.sides[IMAGE].first.values.any() and not explanation.sides[IMAGE].first.errors.any()
    assert explanation.credit[TEXT] == explanation.both - explanation.none
    assert explain(FakeLab(entangled), "good", PICTURE, label="positive").credit[IMAGE] != 0.0


# ---------------------------------------------------------------------------------------- what is asked of a lab


def test_a_missing_side_leaves_all_credit_to_the_other():
    for text, image, there in (("not so good", None, TEXT), (None, PICTURE, IMAGE), ("  ", PICTURE, IMAGE)):
        explanation = explain(FakeLab(entangled), text, image, label="positive")
        assert list(explanation.sides) == [there]
        assert explanation.credit[there] == pytest.approx(explanation.both - explanation.none, abs=1e-9)
        assert [value for side, value in explanation.credit.items() if side != there] == [0.0]


def test_a_model_of_texts_alone_is_not_asked_about_pictures():
    lab = FakeLab(lambda words, cells: squash(len(words or [])), "text_only")
    explanation = explain(lab, "so good", PICTURE)
    assert list(explanation.sides) == [TEXT] and explanation.credit[IMAGE] == 0.0
    assert not lab.seen[0][1]
    with pytest.raises(MmlabError, match="the model reads text only"):
        explain(lab, None, PICTURE)


def test_everything_is_encoded_once_and_in_one_call():
    lab = FakeLab(entangled)
    explain(lab, "one two three four five six seven eight", PICTURE, second_baseline=True)
    ((shown, pictures),) = lab.seen
    assert lab.answered == 1 and len(shown) == len(set(shown))
    assert len(pictures) == len({one.tobytes() for one in pictures})
    assert shown[0] == "one two three four five six seven eight" and np.array_equal(pictures[0], PICTURE)
    assert "" not in shown  # no word at all is an absent text
    assert not any(np.all(one == 128) for one in pictures)  # no cell at all is an absent picture
    assert any("[MASK] two" in one for one in shown) and any("[MASK]" not in one for one in shown[1:])


def test_the_label_is_the_answer_unless_another_is_asked_for():
    assert explain(FakeLab(lambda words, cells: 0.9), "good", None).label == "positive"
    assert explain(FakeLab(lambda words, cells: 0.9), "good", None, label="negative").both == pytest.approx(0.05)
    for wrong, message in (
        ({"label": "happy"}, "label='happy' is no label"),
        ({"draws": 1}, "draws=1 is too few"),
    ):
        with pytest.raises(MmlabError, match=message):
            explain(FakeLab(entangled), "good", None, **wrong)
    with pytest.raises(MmlabError, match="nothing to explain"):
        explain(FakeLab(entangled), " ", None)


# -------------------------------------------------------------------------------------------------------- the parts


@pytest.mark.parametrize(
    "text, words",
    [
        ("RT @you: so  #happy!\n http://t.co/a?b=c", ["RT", "@you:", "so", "#happy!", "http://t.co/a?b=c"]),
        ("今天 good天气!", ["今", "天", "good", "天", "气", "!"]),
        ("สวัสดี ok", ["ส", "วั", "ส", "ดี", "ok"]),
        ("\U0001f469\u200d\U0001f467 \u2764\ufe0f", ["\U0001f469\u200d\U0001f467", "\u2764\ufe0f"]),
        ("안녕 친구", ["안녕", "친구"]),
    ],
)
def test_words_of_a_text(text, words):
    parts = split_text(text, WordEncoder())
    assert parts.names == words
    assert parts.show(np.ones(len(words), bool), 0) == text
    assert parts.show(np.zeros(len(words), bool), 0) is None


def test_a_word_is_left_out_or_replaced():
    parts = split_text("so  good 今天", WordEncoder(mask_token=None, unk_token="<unk>"))
    shown = np.array([True, False, False, True])
    assert parts.show(shown, 0) == "so  天" and parts.show(shown, 1) == "so  <unk> <unk>天"
    assert parts.baselines == ("missing word is left out", "missing word is replaced by <unk>")


def test_long_texts_are_cut_where_the_encoder_stops_and_taken_together():
    text = " ".join(f"w{i}" for i in range(300))
    parts = split_text(text, WordEncoder(most=50))
    assert len(parts.names) == MOST_WORDS
    assert " ".join(parts.names) == " ".join(f"w{i}" for i in range(50))
    assert parts.notes == [
        "The encoder reads the first 50 words of 300. The others move nothing.",
        f"The text is long: its 50 words are taken together in {MOST_WORDS} groups of neighbours.",
    ]
    assert not split_text("so good", WordEncoder()).notes


def test_cells_cover_the_picture():
    cells = split_picture(PICTURE, SimpleNamespace(settings={"mean": [0.5, 0.25, 1.0]}))
    assert len(cells.names) == 9 and cells.names[5] == "middle right"
    shown = np.arange(9) == 5
    first, second = (cells.show(shown, baseline) for baseline in (0, 1))
    assert np.array_equal(first[8:16, 16:], PICTURE[8:16, 16:]) and np.array_equal(
        second[8:16, 16:], PICTURE[8:16, 16:]
    )
    first[8:16, 16:] = (128, 64, 255)
    assert (first == (128, 64, 255)).all()
    assert 0 < second[:, :8].std() < PICTURE[:, :8].std()
    assert np.array_equal(cells.show(np.ones(9, bool), 0), PICTURE)


# ----------------------------------------------------------------------------------------------- what a reader sees


def dislikes_masks(words, cells) -> float:
    words = words or []
    return squash(1.5 * ("good" in words) - 0.5 * words.count("[MASK]") + (0 if cells is None else 0.1))


def test_where_the_baselines_disagree_it_says_so():
    explanation = explain(FakeLab(dislikes_masks), "so good today", PICTURE, label="positive", second_baseline=True)
    frame = explanation.to_frame().set_index("part")
    assert not frame.loc["so", "agree"] and frame.loc["top left", "agree"]
    assert any("disagrees on what is marked ≠" in line and "so" in line for line in explanation.caption)
    assert any(line.endswith("agrees.") for line in explanation.caption)
    assert "≠" in repr(explanation) and "≠" in explanation._repr_html_() and "dashed" in explanation._repr_html_()
    calm = explain(FakeLab(entangled), "so good today", PICTURE, label="positive")
    assert "≠" not in repr(calm) and "≠" not in calm._repr_html_() and "agree" not in calm.to_frame()


def test_table_has_a_row_for_each_part():
    frame = explain(FakeLab(entangled), "so good", PICTURE, label="positive").to_frame()
    assert list(frame.columns) == ["side", "part", "credit", "error"]
    assert list(frame["side"]) == ["text"] * 2 + ["image"] * 9 and list(frame["part"][:2]) == ["so", "good"]


def test_html_is_harmless_and_has_ink_of_its_own():
    page = explain(FakeLab(entangled), NONSENSE, PICTURE)._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page and "&amp;amp;" in page
    assert not set("\x07\x1b\u202e") & set(page)
    for coloured in re.findall(r"<span style='[^']*background:rgba[^']*'>", page):
        assert "color:#222222" in coloured
    assert page.count("aria-label=") == 9 and "<table" in page and "data:image/jpeg" in page


def test_terminal_gets_no_control_characters():
    words = repr(explain(FakeLab(entangled), NONSENSE, PICTURE))
    assert not set("\x07\x1b\u202e") & set(words) and "[/b]" in words
    unread = repr(explain(FakeLab(lambda words, cells: 0.5), "so good", None))
    assert "(+0.0)" in unread and "−0.0" not in unread


@pytest.mark.usefixtures("clean_figures")
def test_figure_prints_sign_and_number_of_every_part():
    lab = FakeLab(dislikes_masks)
    explanation = explain(lab, f"so good {NONSENSE}", PICTURE, label="positive", second_baseline=True)
    bars, words, cells = axes = plots.plot_explanation(explanation)
    draw(axes)  # a letter that no font has would warn, and fail here
    assert texts(bars)[0] == "50.0%" and texts(bars)[1].startswith("+")
    shown = texts(words)
    assert shown[:2] == ["so", texts(words)[1]] and re.fullmatch(r"\(?[+−]\d+\.\d\)?( ≠)?", shown[1])
    assert len(shown) == 2 * len(explanation.sides[TEXT].parts) and len(texts(cells)) == 9
    hatched = [bool(patch.get_hatch()) for patch in words.patches]
    assert hatched == list(explanation.sides[TEXT].disagree) and any(hatched)
    assert "disagrees" in words.get_xlabel()
    scale = cells.figure.axes[-1]
    assert scale.get_ylim() == pytest.approx((-100 * explanation.top, 100 * explanation.top))


@pytest.mark.usefixtures("clean_figures")
@pytest.mark.parametrize("text, image, words", [(None, PICTURE, "no text"), ("so good", None, "no image")])
def test_figure_of_one_side_in_axes_that_are_given(text, image, words):
    import matplotlib.pyplot as plt

    figure, given = plt.subplots(1, 3)
    axes = plots.plot_explanation(explain(FakeLab(entangled), text, image), given)
    assert list(axes) == list(given) and words in texts(given[1]) + texts(given[2])
    draw(axes)


@pytest.mark.usefixtures("clean_figures")
def test_words_fit_in_their_boxes():
    text = "WWWWWWWWWW iiii 今天 MMMMMMMM @mmmmmmmmmmmm #WOW so good"
    axes = plots.plot_explanation(explain(FakeLab(entangled), text, PICTURE))
    draw(axes)
    words, renderer = axes[1], axes[1].figure.canvas.get_renderer()
    for number, box in enumerate(words.patches):
        inside = box.get_window_extent(renderer)
        for one in words.texts[2 * number : 2 * number + 2]:
            shown = one.get_window_extent(renderer)
            assert inside.x0 <= shown.x0 and shown.x1 <= inside.x1, one.get_text()


# --------------------------------------------------------------------------------------------------------- the demo


@pytest.fixture(scope="module")
def demo_lab(demo_folder, tmp_path_factory):
    """A lab whose models never saw the test pairs."""
    import mmlab

    return mmlab.fit(mmlab.read_course(demo_folder), tmp_path_factory.mktemp("results"), seeds=1)


def make_random(head, seed: int):
    """A head of the same form that has learnt nothing."""
    import torch

    torch.manual_seed(seed)
    head = copy.deepcopy(head)
    for part in head.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return head


@pytest.fixture(scope="module")
def asked():
    """Test pairs of the demo: 10 texts with each cue that is a label."""
    pairs = [pair for pair in plan_demo() if pair.split == "test"]
    return [pair for label in LABELS for pair in [one for one in pairs if one.text_cue == label][:10]]


def bare(word: str) -> str:
    return word.lower().strip(".,!?:;'")


def list_cue_words() -> dict[str, set[str]]:
    """The words that only texts with this cue contain; numbers and times are the neutral ones' alone."""
    recipe = _words()
    of_cue = {
        cue: {bare(word) for part in ("openings", "closings") for line in recipe[part][cue]
              for word in re.sub(r"\{\w+\}", " ", line).split()}
        for cue in recipe["openings"]
    }  # fmt: skip
    anywhere = {bare(word) for lines in recipe["slots"].values() for line in lines for word in line.split()}
    return {cue: own - anywhere.union(*(of_cue[one] for one in of_cue if one != cue)) for cue, own in of_cue.items()}


def share_of_cues_found(lab, pairs) -> float:
    """How often the word that speaks most for the label of a text's cue is a word of this cue."""
    cue_words, found = list_cue_words(), 0
    for pair in pairs:
        side = explain(lab, pair.text, None, label=pair.text_cue).sides[TEXT]
        best = bare(side.parts[int(side.first.values.argmax())])
        is_number = re.fullmatch(r"[\d:./]+", best) is not None
        found += best in cue_words[pair.text_cue] or (is_number and pair.text_cue == "neutral")
    return found / len(pairs)


def test_the_planted_cue_ranks_first(demo_lab, asked):
    @functools.cache
    def encode(texts):
        return demo_lab.see(texts, [])

    def lab_of(heads):
        """The lab with other heads; what is encoded is the same."""
        lab = Lab(demo_lab.run, None, {})
        lab._models = heads
        features = lambda texts: encode(tuple(texts)).by_model[0][2]  # noqa: E731
        lab.see = lambda texts, images: Seen(len(texts), [(share, head, features(texts)) for share, head in heads])
        return lab

    assert share_of_cues_found(lab_of(demo_lab._models), asked) >= 0.9
    (_, first), whole = demo_lab._models[0], dict.fromkeys(demo_lab.scenarios, 1.0)
    guesses = [share_of_cues_found(lab_of([(whole, make_random(first, seed))]), asked) for seed in range(8)]
    assert np.mean(guesses) <= 0.6  # three words in ten are cues, and a random head may lean to a label


def test_the_side_with_the_cue_has_the_credit(demo_lab, demo_folder):
    for text_cue, image_cue in (("positive", "missing"), ("missing", "negative")):
        pair = next(
            one for one in plan_demo()
            if (one.split, one.text_cue, one.image_cue) == ("test", text_cue, image_cue)
        )  # fmt: skip
        explanation = demo_lab.explain(pair.text, demo_folder / "data" / f"{pair.guid}.jpg")
        assert sum(explanation.credit.values()) == pytest.approx(explanation.both - explanation.none, abs=1e-5)
        side, other = (TEXT, IMAGE) if image_cue == "missing" else (IMAGE, TEXT)
        assert explanation.credit[side] > abs(explanation.credit[other])
        assert explanation.both == pytest.approx(
            demo_lab.predict(pair.text, demo_folder / "data" / f"{pair.guid}.jpg").probabilities["text_and_image"].max()
        )


def test_what_cannot_be_read_is_one_clear_sentence(demo_lab, tmp_path):
    (tmp_path / "one.jpg").write_bytes(b"%PDF-1.4")
    with pytest.raises(MmlabError, match="one.jpg: "):
        demo_lab.explain("good", tmp_path / "one.jpg")
    with pytest.raises(MmlabError, match="neither a text nor an image"):
        demo_lab.explain("", None)

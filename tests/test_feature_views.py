"""Views of a pair: what each measures, how it is cached, turned on and off, and refused."""

import importlib.metadata
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmlab.config import RunConfig
from mmlab.course import read_course
from mmlab.encoders import find_image_encoder, find_text_encoder
from mmlab.errors import ConfigError
from mmlab.readout import READOUTS
from mmlab.training import prepare_pairs
from mmlab.views import VIEWS, find_views
from mmlab.views.text import clean, split_hashtag

KERNEL = RunConfig.from_params({}, "kernel")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("RT @someone: So happy http://t.co/abc #BestDayEver", "So happy Best Day Ever"),
        ("@a @b Fish &amp; chips pic.twitter.com/xyz", "Fish & chips"),
        ("#bestdayever!", "best day ever !"),
        ("  plain\n words ", "plain words"),
        ("http://t.co/abc", ""),
        ("#СЧАСТЬЕ", "СЧАСТЬЕ"),
    ],
)
def test_cleaning(text, cleaned):
    assert clean(text) == cleaned


def test_cleaning_twice_changes_nothing_more():
    once = clean("RT @x: #loveThisPlace so &lt;3 http://t.co/1")
    assert clean(once) == once


def test_hashtags_are_split_where_words_begin():
    assert split_hashtag("NYCMarathon2015") == "NYC Marathon 2015"
    assert split_hashtag("somuchfun") == "so much fun"


def lexicon(*texts: str) -> np.ndarray:
    return find_views(KERNEL.replace(views="lexicon"))["lexicon"].measure(list(texts))


def test_lexicons_hear_the_mood_also_inside_a_hashtag():
    good, bad, none = lexicon("What a wonderful day", "What an awful day", "What a day")
    tag, untagged = lexicon("look #wonderfulday", "look #mondaymorning")
    compound = 3
    assert good[compound] > 0.3 > none[compound] >= 0 > bad[compound]
    assert tag[4] > 0 == untagged[4]  # of the hashtags alone
    assert lexicon("!!!", "")[0][13] == pytest.approx(np.log1p(3))
    assert np.isfinite(lexicon("", "\u200b", "😀" * 500, "#")).all()


def test_a_mirrored_picture_has_the_same_mirrored_view(demo_folder):
    from PIL import Image

    view = find_views(KERNEL.replace(views="mirrored"))["mirrored"]
    path = sorted((demo_folder / "data").glob("*.jpg"))[0]
    picture = Image.open(path).convert("RGB").resize((96, 96))
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    one, other = view.measure([picture, mirrored])
    single = np.stack([row[0] for row in view.image.encode([picture, mirrored])]).astype(np.float32)
    assert abs(one - other).max() < abs(single[0] - single[1]).max() / 20
    np.testing.assert_allclose(one, single.mean(axis=0), atol=1e-2)


def test_style_is_mean_and_deviation_of_each_stage(demo_folder):
    import torch

    view = find_views(KERNEL.replace(views="style", precision="fp32"))["style"]
    path = str(sorted((demo_folder / "data").glob("*.jpg"))[0])
    (measured,) = view.measure([path])
    settings, model = view.image.load()
    pixels = torch.from_numpy(view.image.read(path)).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(settings[one])[:, None, None] for one in ("mean", "std"))
    maps = model.eval().forward_intermediates((pixels - mean) / std, intermediates_only=True)
    expected = torch.cat([torch.cat([one.mean((2, 3)), one.std((2, 3), correction=0)], 1) for one in maps], 1)[0]
    assert measured.shape == expected.shape
    np.testing.assert_allclose(measured, expected.detach(), rtol=0.05, atol=0.02)
    assert set(READOUTS) == {"patches", "style"}


def test_views_are_cached_and_follow_their_side(sound, monkeypatch):
    config = KERNEL.replace(views="lexicon, cleaned")
    first = prepare_pairs(sound, config, progress=None)
    monkeypatch.setattr(VIEWS["lexicon"], "measure", None)  # nothing is measured a second time
    again = prepare_pairs(sound, config, progress=None)
    for name in ("lexicon", "cleaned"):
        np.testing.assert_array_equal(first.views["text"][name].values, again.views["text"][name].values)
    assert not first.without("text").views["text"]["lexicon"].lengths.any()
    assert first.without("image").views["text"]["lexicon"].lengths.all()
    rows, moved = np.arange(len(first)), np.roll(np.arange(len(first)), 1)
    swapped = first.pair_up(moved, rows).views["text"]["lexicon"]
    np.testing.assert_array_equal(swapped.values, first.views["text"]["lexicon"].take(moved).values)


def test_neural_heads_measure_no_view(sound, monkeypatch):
    for view in VIEWS.values():
        monkeypatch.setattr(view, "measure", None)
    assert prepare_pairs(sound, RunConfig(), progress=None).views == {"text": {}, "image": {}}


def test_a_wrong_name_and_a_missing_package_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match="Did you mean 'lexicon'"):
        find_views(KERNEL.replace(views="lexicons"))
    with pytest.raises(ConfigError, match="twice"):
        find_views(KERNEL.replace(views="style, style"))

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigError, match="needs the package vaderSentiment. Install it"):
        find_views(KERNEL.replace(views="lexicon"))


def test_the_fingerprint_of_a_view_follows_its_encoder():
    text, image = find_text_encoder("minilm"), find_image_encoder("efficientnet_lite0")
    other = find_image_encoder("efficientnet_lite0", "fp32")
    style, lexicons = VIEWS["style"], VIEWS["lexicon"]
    assert lexicons(text, image).fingerprint == lexicons(text, other).fingerprint
    fingerprints = {style(text, image).fingerprint, VIEWS["mirrored"](text, image).fingerprint}
    assert len(fingerprints) == 2


def test_the_demo_reads_with_all_views(demo_folder):
    installed = [name for name, view in VIEWS.items() if not view.extra]
    views = find_views(KERNEL.replace(views=", ".join(installed)))
    assert list(views) == installed
    assert {view.modality for view in views.values()} == {"text", "image"}
    assert all(view.summary for view in views.values())
    assert read_course(demo_folder).labelled is not None


def test_the_words_in_an_image_are_read_where_the_reader_is_sure(monkeypatch):
    """With a reader of our own in the place of the optional package."""
    read = {"dark": (["HAPPY", "birthday"], [0.9, 0.8]), "light": (["1l|I"], [0.2])}

    class Reader:
        def __init__(self, params):
            assert params["Det.limit_side_len"] == 320

        def __call__(self, pixels):
            assert pixels.shape == (8, 8, 3) and pixels.dtype == np.uint8
            assert pixels[0, 0, 2] == pixels.max()  # red is last: BGR
            lines, scores = read["dark" if pixels.max() < 100 else "light"]
            return SimpleNamespace(txts=lines, scores=scores)

    monkeypatch.setitem(sys.modules, "rapidocr", SimpleNamespace(RapidOCR=Reader))
    text, image = find_text_encoder("minilm"), find_image_encoder("efficientnet_lite0")
    pictures = [np.asarray(Image.new("RGB", (8, 8), (level, 0, 0))) for level in (50, 200)]
    seen = VIEWS["words"](text, image).measure(pictures)
    wanted = [one.astype(np.float32).mean(axis=0) for one in text.encode(["HAPPY birthday", "."])]
    np.testing.assert_allclose(seen, np.stack(wanted), atol=1e-4)


def test_without_the_package_that_reads_words_the_view_is_refused_with_the_install_line(monkeypatch):
    version = importlib.metadata.version

    def missing(name):
        if name == "rapidocr":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigError, match=r"python -m pip install 'mmlab\[ocr\]'"):
        find_views(KERNEL.replace(views="words"))

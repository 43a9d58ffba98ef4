"""Views of a text: the tweet without what says nothing, and what lists of words say about it."""

import html
import re
from functools import cache, cached_property

import numpy as np

from mmlab.encoders import TextEncoder
from mmlab.views.view import View

_LINK = re.compile(r"\bhttps?\S*|\bpic\.twitter\.com/\S*")
_RETWEET = re.compile(r"^\W*\bRT\s*(?=@)", re.IGNORECASE)
_HANDLE = re.compile(r"@\w+:?")
_HASHTAG = re.compile(r"#(\w+)")
_CAPITALS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_WORD = re.compile(r"[a-z']+")


@cache
def split_hashtag(tag: str) -> str:
    """The words of a hashtag: `BestDayEver` at its capitals, `bestdayever` where known words begin."""
    import wordninja

    found = _CAPITALS.findall(tag) if re.search("[a-z][A-Z]", tag) else wordninja.split(tag)
    return " ".join(found) or tag


def clean(text: str) -> str:
    """The tweet's own words: without links, handles and the mark of a retweet, hashtags split into their words."""
    plain = _HANDLE.sub(" ", _RETWEET.sub("", _LINK.sub(" ", html.unescape(text))))
    return " ".join(_HASHTAG.sub(lambda found: f" {split_hashtag(found[1])} ", plain).split())


def encode_means(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    """The mean over the tokens of each text once it is cleaned: float32 (n, the encoder's width)."""
    tokens = encoder.encode([clean(text) or "." for text in texts])  # "." where nothing is left
    return np.stack([one.astype(np.float32).mean(axis=0) for one in tokens])


class CleanedText(View, name="cleaned"):
    """The text encoder's mean over the tokens of the cleaned tweet: (n, its width)."""

    modality = "text"
    summary = "the tweet without links, handles and #, hashtags split into words, by the text encoder"
    packages = ("wordninja",)

    @property
    def encoder(self) -> TextEncoder:
        return self.text

    def measure(self, sources: list[str]) -> np.ndarray:
        return encode_means(self.encoder, sources)


class Lexicons(View, name="lexicon"):
    """What a list of words with a mood says: VADER (Hutto and Gilbert 2014), (n, 19).

    On the cleaned tweet, on its hashtags alone, and word by word; then counts of ! and ?, of hashtags, handles, links
    and words. Sums and counts are logarithms, since the tenth exclamation mark says less than the first.
    """

    modality = "text"
    summary = "moods of the words by the list VADER, counts of signs"
    packages = ("vaderSentiment", "wordninja")

    @cached_property
    def _vader(self):
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        return SentimentIntensityAnalyzer()

    def measure(self, sources: list[str]) -> np.ndarray:
        return np.array([self._measure_one(text) for text in sources], np.float32)

    def _measure_one(self, text: str) -> list[float]:
        vader = self._vader
        plain, tags = clean(text), _HASHTAG.findall(text)
        words = _WORD.findall(plain.lower())
        whole, of_tags = (vader.polarity_scores(one) for one in (plain, " ".join(map(split_hashtag, tags))))
        moods = np.array([vader.lexicon.get(word, 0.0) for word in words] or [0.0])
        kept = [
            *(whole[one] for one in ("neg", "neu", "pos", "compound")),
            *(of_tags[one] for one in ("compound", "neg", "pos")),
        ]
        kept += [moods.max(), moods.min()]
        grown = [moods.clip(0).sum(), moods.clip(None, 0).sum(), (moods > 0).sum(), (moods < 0).sum()]
        counts = [text.count("!"), text.count("?"), len(tags), len(_HANDLE.findall(text)), len(_LINK.findall(text))]
        grown += [*counts, len(words)]
        return [*kept, *(np.sign(grown) * np.log1p(np.abs(grown)))]

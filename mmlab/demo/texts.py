"""The texts of the demo: tweets whose wording (words.toml) shows one text cue and nothing else."""

import re
import string
import tomllib
from functools import cache
from pathlib import Path

from mmlab.demo.chance import Chance
from mmlab.demo.recipe import MISSING
from mmlab.errors import ConfigError

GB18030_SHARE = 11  # per cent of the texts saved in GB18030 with a byte sequence that is not UTF-8


@cache
def _words() -> dict:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


def write_text(chance: Chance, cue: str, used: set[str]) -> str:
    """A new text for this cue, at most 118 characters: an RT prefix and a GB18030 sign still fit into 140.

    used: the `text_key` of every text so far; the new one is added. Raises ConfigError when no new text is found.
    """
    for _ in range(1000):
        text = _write_tags(chance) if cue == MISSING else _write_sentence(chance, cue)
        key = text_key(text)
        if len(text) <= 118 and key not in used:
            used.add(key)
            return text
    raise ConfigError(f"The demo has run out of different {cue} texts. Ask for fewer pairs.")


def write_retweet(chance: Chance, text: str) -> str:
    """The same text, sent again by another user."""
    return f"RT @{chance.pick(_words()['users'])}: {text}"


def text_key(text: str) -> str:
    """What must differ between two texts that are no twins: letters and digits without links and names."""
    return re.sub(r"https?://\S+|@\w+|[\W_]+", "", text.lower())


def choose_charset(chance: Chance, text: str) -> tuple[str, str]:
    """The text with a few foreign signs at times, and the charset to save it in. Independent of every cue."""
    roll = chance.random() * 100
    if roll < GB18030_SHARE:
        changed = f"{text} {chance.pick(_words()['chinese_ends'])}"
        if "'" in text and chance.random() < 0.5:
            changed = text.replace("'", "’")
        return changed, "gb18030"
    if roll < GB18030_SHARE + 4:
        return f"{text} {chance.pick(_words()['latin_ends'])}", "utf-8"
    return text, "utf-8"


def _write_sentence(chance: Chance, cue: str) -> str:
    slots = {name: chance.pick(words) for name, words in _words()["slots"].items()}
    slots |= {name.capitalize(): slots[name][0].upper() + slots[name][1:] for name in ("subject", "who", "place")}
    for name in ("time", "time2", "time3"):
        slots[name] = f"{chance.whole(7, 21)}:{chance.pick(('00', '15', '30', '45'))}"
    slots |= {"n": chance.whole(2, 480), "n2": chance.whole(2, 60)}
    opening, closing = (chance.pick(_words()[part][cue]) for part in ("openings", "closings"))
    parts = [f"{opening}{'.' if closing[0].isupper() else ','} {closing}".format(**slots)]
    if chance.random() < 0.20:
        parts.insert(0, f"@{chance.pick(_words()['users'])}")
    if chance.random() < 0.45:
        parts.append(f"#{chance.pick(_words()['hashtags'])}")
    return _end_tweet(chance, parts, link_share=0.35)


def _write_tags(chance: Chance) -> str:
    """No sentence at all: hashtags, names and links about anything."""
    words = [f"#{word}" for word in chance.shuffled(_words()["hashtags"])[: chance.whole(3, 5)]]
    if chance.random() < 0.5:
        words.insert(chance.whole(0, len(words)), f"@{chance.pick(_words()['users'])}")
    return _end_tweet(chance, words, link_share=0.8)


def _end_tweet(chance: Chance, parts: list[str], link_share: float) -> str:
    if chance.random() < 0.10:
        parts.append(chance.pick(("??", "????")))  # what an emoji became on the way, as in the real course
    if chance.random() < link_share:
        parts.append("http://t.co/" + "".join(chance.pick(string.ascii_letters + string.digits) for _ in range(10)))
    return " ".join(parts)

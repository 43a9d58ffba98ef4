"""Answers to the exercise `cleaner`; see exercise_cases.py."""

MARK = r"""text = re.sub(r"^(\s*RT @\w+:)+", " ", text)"""
LINKS = r"""re.sub(r"https?://\S+|@\w+", " ", text)"""
RETURN = """return " ".join(text.replace("#", "").split())"""

MISTAKES = [
    ("not_text", {RETURN: 'return text.replace("#", "").split()'}),
    ("links_left", {LINKS: r"""re.sub(r"@\w+", " ", text)"""}),
    ("links_left", {LINKS: r"""re.sub(r"http://\S+|@\w+", " ", text)"""}),
    ("links_left", {LINKS: r"""re.sub(r"https?://\w+|@\w+", " ", text)"""}),
    ("names_left", {LINKS: r"""re.sub(r"https?://\S+", " ", text)"""}),
    ("names_left", {LINKS: r"""re.sub(r"https?://\S+|@[A-Za-z]+", " ", text)"""}),
    ("names_left", {LINKS: r"""re.sub(r"https?://\S+", " ", text).replace("@", "")"""}),
    ("retweet_left", {MARK: ""}),
    ("retweet_left", {MARK: 'text = text.replace("RT ", "")'}),
    ("retweet_left", {MARK: r"""text = re.sub(r"@\w+", "", text)""" + "\n    " + MARK}),
    ("rest_lost", {LINKS: r"""re.sub(r"https?://.*|@\w+", " ", text)"""}),
    ("rest_lost", {LINKS: r"""re.sub(r"https?://\S+|@.*", " ", text)"""}),
    ("rest_lost", {MARK: r"""text = re.sub(r"^RT @.*", " ", text)"""}),
    ("hashtag_lost", {RETURN: r"""return " ".join(re.sub(r"#\w+", "", text).split())"""}),
    ("letters_lost", {RETURN: """return " ".join(text.replace("#", "").encode("ascii", "ignore").decode().split())"""}),
    ("letters_lost", {RETURN: """return " ".join(re.sub(r"[^a-zA-Z0-9!?'., ]", "", text).split())"""}),
    (
        "letters_lost",  # the accent is gone
        {
            RETURN: 'from unicodedata import combining, normalize\n    text = "".join(one for one in normalize("NFD", text) if not combining(one))\n    '
            + RETURN
        },
    ),
    ("emoji_lost", {RETURN: r"""return " ".join(re.sub(r"[^\w\s!?'.,-]", "", text).split())"""}),
    (
        "negation_lost",
        {
            RETURN: """return " ".join(word for word in text.replace("#", "").split() if word.lower() not in {"the", "is", "a", "not", "this"})"""
        },
    ),
    (
        "punctuation_lost",
        {RETURN: r"""return " ".join(text.translate({ord(one): "" for one in "#!?.,':;-"}).split())"""},
    ),
    ("punctuation_lost", {RETURN: """return " ".join(text.replace("#", "").replace("'", " ").split())"""}),
    ("text_changed", {RETURN: r"""return " ".join(re.sub(r"#|\d", "", text).split())"""}),
    ("text_changed", {MARK: MARK + '\n    text = text.replace("RT", "")'}),
    ("text_changed", {RETURN: r"""return " ".join(re.sub(r"(.)\1+", r"\1", text.replace("#", "")).split())"""}),
    (
        "text_changed",
        {
            RETURN: """return " ".join(word for word in text.replace("#", "").split() if word.lower() not in {"the", "is", "a", "it"})"""
        },
    ),
    ("words_joined", {RETURN: """return " ".join(text.replace("#", "").replace("\\n", "").split())"""}),
    ("words_joined", {LINKS: r"""re.sub(r"\s*https?://\S+\s*|@\w+", "", text)"""}),
    ("spaces_left", {RETURN: 'return text.replace("#", "")'}),
    ("spaces_left", {RETURN: 'return text.replace("#", "").strip()'}),
    ("spaces_left", {RETURN: r"""return re.sub(r"\s+", " ", text.replace("#", ""))"""}),
    ("empty_text", {RETURN: RETURN + ' or "neutral"'}),
    ("empty_text", {MARK: "if not text:\n        return None\n    " + MARK}),
    ("not_repeatable", {MARK + "\n    text = " + LINKS: "text = " + LINKS + '.split(":", 1)[-1]'}),
]

ALTERNATIVES = {
    "lower": {RETURN: RETURN + ".lower()"},
    "with-hashes": {RETURN: 'return " ".join(text.split())'},
    "words-in-place": {LINKS: r"""re.sub(r"@\w+", "someone", re.sub(r"https?://\S+", "link", text))"""},
    "angle-brackets": {LINKS: r"""re.sub(r"@\w+", "<USER>", re.sub(r"https?://\S+", "<URL>", text))"""},
    "unescaped": {MARK: "import html\n    text = html.unescape(text)\n    " + MARK},
    "composed": {RETURN: 'from unicodedata import normalize\n    text = normalize("NFD", text)\n    ' + RETURN},
    "by-word": """
def clean(text):
    words = text.split()
    while len(words) > 1 and words[0] == "RT" and words[1].startswith("@"):
        words = words[2:]
    kept = []
    for word in words:
        if word.startswith("@") and len(word) > 1:
            word = "@user"
        elif word.startswith(("http://", "https://")):
            word = "http"
        kept.append(word.lstrip("#"))
    return " ".join(kept)
""",
    "by-character": r"""
def clean(text):
    while text.lstrip().startswith("RT @") and ":" in text:
        text = text.split(":", 1)[1]
    out, at = [], 0
    while at < len(text):
        if text.startswith(("http://", "https://"), at):
            while at < len(text) and not text[at].isspace():
                at += 1
        elif text[at] == "@":
            at += 1
            while at < len(text) and (text[at].isalnum() or text[at] == "_"):
                at += 1
            out.append(" ")
        else:
            sign = " " if text[at].isspace() else text[at]
            if sign != " " or (out and out[-1] != " "):
                out.append(sign)
            at += 1
    return " ".join("".join(out).split())
""",
    "one-pattern": r"""
import re

PATTERN = re.compile(r"(?P<mark>\A(?:\s*RT\s+@\w+:)+)|(?P<link>https?://\S*)|(?P<name>@\w+)|(?P<space>\s+)|(?P<hash>#(?=\w))")


def clean(text):
    said = PATTERN.sub(lambda found: "" if found.lastgroup == "hash" else " ", text)
    return re.sub(" +", " ", said).strip()
""",
    "pandas": r"""
import pandas as pd


def clean(text):
    column = pd.Series([text], dtype="str")
    for old, new in ((r"^(?:\s*RT @\w+:)+", " "), (r"https?://\S+", "URL"), (r"@\w+", ""), ("#", ""), (r"\s+", " ")):
        column = column.str.replace(old, new, regex=True)
    return column.str.strip().iloc[0]
""",
    "object": r"""
import re


class Cleaner:
    def __init__(self, *rules):
        self.rules = [(re.compile(old), new) for old, new in rules]

    def __call__(self, tweet):
        for old, new in self.rules:
            tweet = old.sub(new, tweet)
        return tweet.strip()


clean = Cleaner((r"^\s*(RT @\w+:\s*)+", ""), (r"https?://\S+", ""), (r"(?<!\w)@\w+", "user"), (r"#(\w+)", r"\1"), (r"\s+", " "))
""",
    "reduce": r"""
import re
from functools import reduce

RULES = [(r"^(\s*RT @\w+:)+", ""), (r"https?://[^\s]+", ""), (r"@[A-Za-z0-9_]+", ""), (r"\s\s*", " "), (r"^ | $", "")]
clean = lambda text: reduce(lambda so_far, rule: re.sub(*rule, so_far), RULES, text)
""",
    "split-pattern": r"""
import re


def clean(text):
    text = re.split(r"^(?:\s*RT @\w+:)+", text)[-1]
    pieces = re.split(r"https?://\S+|@\w+|#|(\s)", text)
    joined = "".join(piece if piece else "" for piece in pieces)
    return " ".join(joined.casefold().split())
""",
    "scanner": r"""
import re


def clean(text):
    keep = lambda scanner, found: found
    scanner = re.Scanner([(r"https?://\S+", None), (r"@\w+", None), (r"#", None), (r"\s+", lambda *_: " "), (r".", keep)])
    text = re.sub(r"^(\s*RT @\w+:)+", "", text)
    pieces, _ = scanner.scan(text)
    return re.sub(r" {2,}", " ", "".join(pieces)).strip(" ")
""",
    "recursion": r"""
def clean(text):
    first, *others = text.split(maxsplit=1) or [""]
    rest = others[0] if others else ""
    if first == "RT" and rest.startswith("@"):
        return clean(rest.partition(" ")[2])
    return " ".join(filter(None, [clean_word(first), clean_words(rest)]))


def clean_words(text):
    first, *others = text.split(maxsplit=1) or [""]
    return " ".join(filter(None, [clean_word(first), clean_words(others[0]) if others else ""]))


def clean_word(word):
    if "://" in word or word.startswith("@"):
        return ""
    return word.replace("#", "")
""",
}

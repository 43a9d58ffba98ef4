"""Damage to the text of a pair."""

import html

from soak.course import Damaged, Pair
from soak.kinds.registry import add, kind


def read_as(damaged: Damaged, raw: bytes, text: str, encoding: str = "utf-8", doubtful: bool = False) -> Pair:
    """Bytes that are read as this text."""
    pair = damaged.write_text(raw)
    pair.text, pair.encoding, pair.doubtful = text, encoding, doubtful
    return pair


def to_the_letter(damaged: Damaged, text: str) -> None:
    """A text that is read as it is, but for white space at its ends; `{}` in it is the guid: no two are twins."""
    pair = damaged.victim()
    text = text.replace("{}", pair.guid)
    damaged.write_text(text.encode("utf-8"), pair)
    pair.text, pair.encoding = text.strip(), "utf-8"


for name, text in {
    "text with markup": "<script>alert('{}')</script> <b>bold</b> <img src=x onerror=alert(1)>",
    "text with console markup": "[red]{} is red[/red] and [/b] ends nothing [link=file:///etc/passwd]here",
    "text with LaTeX": r"\input{/etc/passwd} $\frac{1}{0}$ \write18{rm} {} % and so on",
    "text that is a formula": "=cmd|' /C calc'!A0 {} \t+1 @SUM(1)",
    "text with control characters": "a {} \x01\x02\x07\b\x1b[2J\x1b]0;title\x07 and\x7f more \x85 words",
    "text that turns the direction": "left {} \u202eright to left\u202c and \u200f back again",
    "text with joined emoji": "👩‍👩‍👧‍👦 {} 🏳️‍🌈 👍🏽 happy family",
    "text with piled marks": "Z" + "\u0301\u0328" * 300 + " {} zalgo words",
    "text with lost letters": "caf\ufffd \ufffd\ufffd {} was read badly before",
    "text with a mark inside": "one {} two \ufeff three four",
    "text with other line ends": "one\r\ntwo\r{}\nthree\x0bfour\x0cfive\u2028six\u2029seven",
    "text of marks alone": "?? !! ... ??",
    "text of a link alone": "http://t.co/abc{}",
    "text in Hebrew": "שלום עולם {} מה שלומך היום",
    "text in Thai": "สวัสดี {} ชาวโลก วันนี้",
    "text with private characters": "\ue000\uf8ff {} \U000f0000 three words",
    "text that is JSON": '{"guid": "{}", "text": null, "x": [1, 2, 3]}',
    "text of 100 lines": "\n".join(f"line {number} of {{}}" for number in range(100)),
    "text with a long entity": "three more words {} &#" + "9" * 5000 + "; &#x110000; &#xD800; &bogus;",
    "text of ampersands": "three more words {} " + "&" * 100_000,
    "text of mentions": "{} " + "rt @a: " * 50_000 + "three more words",
    "text that is one letter": "x",
    "word of 100 KB": "{}" + "x" * 100_000,
    "Chinese word of 100 KB": "{}" + "好" * 33_000,
    "text of 900 KB": "word {} " * 100_000,
    "text of 900 KB of marks": "{} " + "#" * 900_000,
    "text of 900 KB of invisible letters": "{} " + "\u200b" * 290_000 + " three more words",
    "text of 900 KB of spaces": "three more words {}" + " " * 890_000 + "end",
    "text of 900 KB of short lines": "a\n" * 450_000 + "{}",
}.items():
    add(name, to_the_letter, text)


@kind
def text_with_a_mark(damaged: Damaged) -> None:
    pair = damaged.victim()
    damaged.write_text(b"\xef\xbb\xbf" + pair.text.encode(), pair)
    pair.encoding = "utf-8"


@kind
def text_in_gb18030(damaged: Damaged) -> None:
    pair = damaged.victim()
    pair.text, pair.encoding = f"{pair.guid} 今天天气很好，我们去公园。😀 “…”", "gb18030"
    damaged.write_text(pair.text.encode("gb18030"), pair)


@kind
def text_in_Japanese_GB18030(damaged: Damaged) -> None:
    pair = damaged.victim()
    pair.text, pair.encoding = f"{pair.guid} 廃墟の写真が好きな人と繋がりたい", "gb18030"
    damaged.write_text(pair.text.encode("gb18030"), pair)


@kind
def retweet_of_another_text(damaged: Damaged) -> None:
    one, other = damaged.victim(), damaged.victim()
    one.text = f"RT @someone: {html.escape(other.text)}"
    damaged.write_text(one.text.encode("utf-8"), one)
    one.encoding = "utf-8"
    damaged.twins.append({one.guid, other.guid})


@kind
def text_with_white_space_around(damaged: Damaged) -> None:
    pair = damaged.victim()
    damaged.write_text(f" \t\r\n\x0b\u3000{pair.text}\u2029\n \n".encode(), pair)
    pair.encoding = "utf-8"


# ------------------------------------------------------------------------- what cannot be told from GB18030 for sure


def doubtful(damaged: Damaged, text: str, encoding: str) -> None:
    """Bytes in another encoding that happen to be legal GB18030: read as Chinese, and listed."""
    raw = text.encode(encoding)
    read_as(damaged, raw, raw.decode("gb18030").strip(), "gb18030", doubtful=True)


add(
    "text in Latin-1 that is legal GB18030", doubtful, "The cafétéria was réally nice today, très bon indéed", "latin-1"
)
add("text with quotes of Windows", doubtful, "It\u2019s great and we\u2019re happy, don\u2019t you think so", "cp1252")
add("text in German Latin-1", doubtful, "Grüße für alle Mädchen, schöne Grüße aus Köln", "latin-1")
add("text in UTF-16 that is legal GB18030", doubtful, "偁傂僃僄兡兢兣兤充兦兩兪", "utf-16-be")


# ------------------------------------------------------------------------------------------------ texts that are none


def unreadable(damaged: Damaged, raw: bytes, problem: str) -> None:
    damaged.write_text(raw).text_fault = problem


NO_TEXT, ZERO, EMPTY = "not UTF-8 .* and not GB18030", "zero byte at offset", "the text is empty"
WORDS = "A happy day in the park"
add("empty text", unreadable, b"", EMPTY)
add("text of white space", unreadable, " \n\t\r\n \u3000".encode(), EMPTY)
add("text of a mark alone", unreadable, b"\xef\xbb\xbf", EMPTY)
add("text in UTF-16", unreadable, WORDS.encode("utf-16"), NO_TEXT)
add("text in UTF-16 without a mark", unreadable, WORDS.encode("utf-16-le"), ZERO)
add("text in UTF-16 big end first", unreadable, WORDS.encode("utf-16-be"), ZERO)
add("text in UTF-32", unreadable, WORDS.encode("utf-32"), NO_TEXT)
add("text with a zero byte", unreadable, b"A happy\0day", ZERO)
add("text of zero bytes", unreadable, bytes(400), ZERO)
add("text in Latin-1", unreadable, "un café à Paris".encode("latin-1"), NO_TEXT)
add("text in two encodings", unreadable, "caf\u00e9 ".encode("latin-1") + "今天天气很好".encode(), NO_TEXT)
add("text that is a picture", unreadable, b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01" + bytes(range(256)), f"{NO_TEXT}|{ZERO}")
add("text that is a zip", unreadable, b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(range(256)), f"{NO_TEXT}|{ZERO}")
add("text cut inside a letter", unreadable, "Happy day 😀".encode()[:-1] + b"\n", NO_TEXT)
add("text of 10 MB", unreadable, b"word " * 2_000_000, "it has 10 MB, more than the 1 MB that are read")
add("line of 10 MB as a text", unreadable, b"x" * 10_000_000, "it has 10 MB, more than the 1 MB that are read")


@kind
def text_missing(damaged: Damaged) -> None:
    pair = damaged.victim()
    damaged.path(pair, ".txt").unlink()
    pair.text_fault = "the file is missing"


@kind
def text_and_image_missing(damaged: Damaged) -> None:
    pair = damaged.victim()
    for suffix in (".txt", ".jpg"):
        damaged.path(pair, suffix).unlink()
    pair.text_fault = pair.image_fault = "the file is missing"


@kind
def text_and_image_exchanged(damaged: Damaged) -> None:
    pair = damaged.victim()
    text, image = damaged.path(pair, ".txt"), damaged.path(pair, ".jpg")
    raw = text.read_bytes()
    text.write_bytes(image.read_bytes())
    image.write_bytes(raw)
    pair.text_fault, pair.image_fault = f"{NO_TEXT}|{ZERO}", "cannot be decoded"


@kind
def texts_of_two_pairs_exchanged(damaged: Damaged) -> None:
    one, other = damaged.victim(), damaged.victim()
    raw = [damaged.path(pair, ".txt").read_bytes() for pair in (one, other)]
    damaged.write_text(raw[1], one)
    damaged.write_text(raw[0], other)
    one.text, other.text, one.encoding, other.encoding = other.text, one.text, other.encoding, one.encoding

"""Bytes to text without a guess, and the form of a text in which retweets are equal."""

import html
import re

from mmlab.errors import CourseError

# Below this many words a text is a mood or a hashtag ("so #happy"), and equal texts are chance, not a retweet.
MIN_TWIN_WORDS = 3

_RETWEET = re.compile(r"^(?:\W*\brt\s*@[a-z0-9_]+\s*:?)+")
_EAST_ASIAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"  # scripts that put no space between words
# Also the cut ones: "http…", "http:…", "http://t.co/…"; in East Asian texts no space divides a link from the words.
_URL = re.compile(rf"(?<![^\W_{_EAST_ASIAN}])(?:https?|pic\.twitter\.com/)[^\s{_EAST_ASIAN}]*")
_CHINESE, _KANA = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\ue000-\uf8ff]"), re.compile("[\u3040-\u30ff]")
_NO_CHARACTER = re.compile(r"&#0*[1-9]\d{7,};?", re.ASCII)  # above all code points; int() refuses thousands of digits
_WORD = re.compile(rf"[{_EAST_ASIAN}]|[^\W_{_EAST_ASIAN}]+")


def decode_text(raw: bytes, path) -> tuple[str, str]:
    """The text of a file and the encoding it is in: `"utf-8"` (a BOM is dropped) or `"gb18030"`.

    Both are tried strictly and in this order; nothing is replaced or ignored, so no byte is lost. Raises
    CourseError with the path, the offset of the first byte that fits neither, and the fix. Explained in notebook 01,
    section 3.
    """
    try:
        text, encoding = raw.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError as utf8_error:
        try:
            text, encoding = raw.decode("gb18030"), "gb18030"
        except UnicodeDecodeError as error:
            found = "It starts like UTF-16. " if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
            problem = f"not UTF-8 (byte {utf8_error.start}) and not GB18030 (byte {error.start}). {found}"
            raise CourseError(f"{path}: {problem}Save the file as UTF-8.") from None
    if "\0" in text:  # UTF-16 without a BOM is legal UTF-8, full of zero bytes
        problem = f"a zero byte at offset {raw.index(0)}: this is UTF-16 or no text at all"
        raise CourseError(f"{path}: {problem}. Save the file as UTF-8.")
    return text, encoding


def is_doubtful(text: str, encoding: str) -> bool:
    """Whether a text that was read as GB18030 is more likely in Latin-1, Windows-1252 or UTF-16.

    Their bytes can be legal GB18030, so nobody knows for sure. Read as such, they become Chinese characters that are
    rare: most are not among the 6,763 in daily use (GB2312). So are Japanese ones, but those stand between kana.
    """
    if encoding == "utf-8" or _KANA.search(text):
        return False
    chinese = _CHINESE.findall(text)
    return 2 * sum(not _is_common(one) for one in chinese) > len(chinese)


def _is_common(letter: str) -> bool:
    try:
        return bool(letter.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def normalise_for_twins(text: str) -> str:
    """The words of a text alone, lower case: two pairs whose results are equal (and not `""`) are twins in text.

    What a retweet changes is dropped: `RT @user:` in front, links (each tweet gets its own short link, and long tweets
    end in half of one), punctuation, `#`, emoji and the `??` they became, white space. A text of fewer than three
    words gives `""`: such texts are equal by chance. Each Chinese, Japanese or Korean character counts as a word.
    Explained in notebook 01, section 4.
    """
    plain = _RETWEET.sub("", html.unescape(_NO_CHARACTER.sub("", text)).lower())
    words = _WORD.findall(_URL.sub(" ", plain))
    return " ".join(words) if len(words) >= MIN_TWIN_WORDS else ""

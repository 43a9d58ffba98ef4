"""Answers to the exercise `reader`; see exercise_cases.py."""

UTF8 = 'return raw.decode("utf-8-sig"), "utf-8"'
GB18030 = 'return raw.decode("gb18030"), "gb18030"'
WHOLE = f"""    try:
        {UTF8}
    except UnicodeDecodeError:
        {GB18030}
"""

MISTAKES = [
    ("pair", {UTF8: 'return raw.decode("utf-8-sig")', GB18030: 'return raw.decode("gb18030")'}),
    ("pair", {UTF8: 'return "utf-8", raw.decode("utf-8-sig")', GB18030: 'return "gb18030", raw.decode("gb18030")'}),
    ("pair", {GB18030: 'raw.decode("gb18030"), "gb18030"'}),
    ("utf8_only", {WHOLE: f"    {UTF8}\n"}),
    ("latin1", {GB18030: 'return raw.decode("latin-1"), "latin-1"'}),
    ("latin1", {WHOLE: '    return raw.decode("latin-1"), "utf-8"\n'}),
    ("bytes_lost", {WHOLE: '    return raw.decode("utf-8", errors="ignore"), "utf-8"\n'}),
    ("bytes_lost", {GB18030: 'return raw.decode("gb18030").encode("ascii", "ignore").decode(), "gb18030"'}),
    ("bytes_replaced", {WHOLE: '    return raw.decode("utf-8", errors="replace"), "utf-8"\n'}),
    ("bytes_replaced", {WHOLE: '    return raw.decode("utf-8", errors="backslashreplace"), "utf-8"\n'}),
    ("bytes_replaced", {WHOLE: '    return raw.decode("utf-8", errors="surrogateescape"), "utf-8"\n'}),
    ("bytes_replaced", {GB18030: 'return raw.decode("gb18030").encode("ascii", "replace").decode(), "gb18030"'}),
    ("gb18030_first", {WHOLE: f"    try:\n        {GB18030}\n    except UnicodeDecodeError:\n        {UTF8}\n"}),
    ("gb18030_first", {UTF8: 'return raw.decode("ascii"), "utf-8"'}),
    ("four_bytes", {GB18030: 'return raw.decode("gbk"), "gb18030"'}),
    ("bytes_lost", {GB18030: 'return raw.decode("gbk", errors="ignore"), "gb18030"'}),
    ("bom_kept", {UTF8: 'return raw.decode("utf-8"), "utf-8"'}),
    ("trimmed", {UTF8: 'return raw.decode("utf-8-sig").strip(), "utf-8"'}),
    ("trimmed", {UTF8: 'return "\\n".join(raw.decode("utf-8-sig").splitlines()), "utf-8"'}),
    (
        "text_changed",
        {
            UTF8: 'return raw.decode("utf-8-sig").lower(), "utf-8"',
            GB18030: 'return raw.decode("gb18030").lower(), "gb18030"',
        },
    ),
    (
        "text_changed",
        {
            "def read_text": "import html\n\n\ndef read_text",
            GB18030: 'return html.unescape(raw.decode("gb18030")), "gb18030"',
        },
    ),
    (
        "text_changed",
        {
            "def read_text": "import unicodedata\n\n\ndef read_text",
            GB18030: 'return unicodedata.normalize("NFKC", raw.decode("gb18030")), "gb18030"',
        },
    ),
    ("charset_wrong", {GB18030: 'return raw.decode("gb18030"), "utf-8"'}),
    ("charset_wrong", {UTF8: 'return raw.decode("utf-8-sig"), "ascii" if raw.isascii() else "utf-8"'}),
    ("charset_wrong", {GB18030: 'return raw.decode("gb18030"), "gbk"'}),
    ("not_refused", {GB18030: 'return raw.decode("gb18030", errors="replace"), "gb18030"'}),
    ("not_refused", {GB18030: 'return raw.decode("gb18030", errors="ignore"), "gb18030"'}),
    (
        "not_refused",
        {
            WHOLE: """    for charset in ("utf-8", "gb18030", "latin-1"):
        try:
            return raw.decode(charset).removeprefix("\\ufeff"), charset
        except UnicodeDecodeError:
            pass
"""
        },
    ),
    (
        "not_refused",
        {
            WHOLE: """    for charset in ("utf-8", "gb18030"):
        try:
            return raw.decode(charset).removeprefix("\\ufeff"), charset
        except UnicodeDecodeError:
            pass
    return None
"""
        },
    ),
]

ALTERNATIVES = {
    "loop_over_charsets": """
def read_text(raw):
    for codec, name in (("utf-8-sig", "utf-8"), ("gb18030", "gb18030")):
        try:
            return raw.decode(codec), name
        except UnicodeDecodeError:
            continue
    raise ValueError("neither UTF-8 nor GB18030")
""",
    "bom_cut_from_the_bytes": """
import codecs


def read_text(data):
    body = data.removeprefix(codecs.BOM_UTF8)
    try:
        return body.decode(), "UTF-8"
    except UnicodeError:
        return data.decode("GB18030", "strict"), "GB18030"
""",
    "bom_cut_from_the_text": """
def read_text(raw):
    try:
        text, charset = str(raw, "utf8"), "utf8"
    except ValueError:
        text, charset = str(raw, "gb18030"), "gb18030"
    if text.startswith("\\ufeff"):
        text = text[1:]
    return [text, charset]
""",
    "incremental_decoder": """
import codecs


def read_text(raw):
    for charset in ("utf-8-sig", "gb18030"):
        decoder = codecs.getincrementaldecoder(charset)()
        try:
            letters = [decoder.decode(bytes([byte])) for byte in raw]
            letters.append(decoder.decode(b"", final=True))
        except UnicodeDecodeError:
            continue
        return "".join(letters), charset.removesuffix("-sig")
    raise UnicodeError("no charset fits")
""",
    "text_wrapper": """
import io


def read_text(raw):
    def read(charset):
        return io.TextIOWrapper(io.BytesIO(raw), encoding=charset, newline="").read()

    try:
        return read("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return read("gb18030"), "gb18030"
""",
    "question_first": """
def is_in(raw, charset):
    try:
        raw.decode(charset)
    except UnicodeDecodeError:
        return False
    return True


def read_text(raw):
    if is_in(raw, "utf-8"):
        return raw.decode("utf-8-sig"), "utf-8"
    if is_in(raw, "gb18030"):
        return raw.decode("gb18030"), "gb18030"
    raise ValueError(f"{raw[:20]} fits neither charset")
""",
    "round_trip": """
def read_text(raw):
    # What was ignored does not come back.
    for charset in ("utf-8", "gb18030"):
        text = raw.decode(charset, errors="ignore")
        if text.encode(charset) == raw:
            return text.removeprefix("\\ufeff"), charset
    raise ValueError("bytes would be lost")
""",
    "recursion": """
def read_text(raw, charsets=("utf-8", "gb18030")):
    first, *others = charsets
    try:
        text = raw.decode(first)
    except UnicodeDecodeError:
        if not others:
            raise
        return read_text(raw, others)
    return text[text.startswith("\\ufeff"):], first
""",
    "codecs_functions": """
import codecs


def read_text(raw):
    try:
        text, used = codecs.utf_8_decode(raw, "strict", True)
        assert used == len(raw)
        return (text.replace("\\ufeff", "", 1) if raw[:3] == b"\\xef\\xbb\\xbf" else text), "utf_8"
    except UnicodeDecodeError:
        return codecs.decode(raw, "gb18030"), "gb18030"
""",
    "class_with_call": """
class Reader:
    charsets = {"utf-8": "utf-8-sig", "gb18030": "gb18030"}

    def __call__(self, raw):
        problems = []
        for name, codec in self.charsets.items():
            try:
                return raw.decode(codec), name
            except UnicodeDecodeError as error:
                problems.append(str(error))
        raise ValueError("; ".join(problems))


read_text = Reader()
""",
    "surrogates_tell": """
def read_text(raw):
    for charset in ("utf-8", "gb18030"):
        text = raw.decode(charset, errors="surrogateescape")
        if not any("\\ud800" <= letter <= "\\udfff" for letter in text):
            return text.lstrip("\\ufeff"), charset
    raise ValueError
""",
    "pandas_read": """
import pandas as pd


def read_text(raw):
    texts = pd.Series([raw])
    try:
        return texts.str.decode("utf-8-sig")[0], "utf-8"
    except UnicodeDecodeError:
        return texts.str.decode("gb18030")[0], "gb18030"
""",
    "course_error": """
from mmlab.errors import CourseError


def read_text(raw):
    try:
        return raw.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("gb18030"), "gb18030"
    except UnicodeDecodeError:
        raise CourseError("a text is in neither charset. Save the file as UTF-8.") from None
""",
}

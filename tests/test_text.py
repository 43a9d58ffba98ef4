"""Decoding without a guess, and when two texts are twins."""

import pytest

from mmlab.course import decode_text, normalise_for_twins
from mmlab.errors import CourseError


@pytest.mark.parametrize(
    ("raw", "text", "encoding"),
    [
        (b"plain", "plain", "utf-8"),
        ("caf\u00e9 \U0001f600".encode(), "caf\u00e9 \U0001f600", "utf-8"),
        (b"\xef\xbb\xbfwith a mark", "with a mark", "utf-8"),
        ("开心 today…".encode("gb18030"), "开心 today…", "gb18030"),
        ("\U0001f600 四".encode("gb18030"), "\U0001f600 四", "gb18030"),  # four-byte forms, which gbk lacks
        (b"", "", "utf-8"),
    ],
)
def test_decoding_keeps_every_character(raw, text, encoding):
    assert decode_text(raw, "x.txt") == (text, encoding)


def test_every_gb18030_byte_comes_back():
    raw = "今天 RT @a: ’quoted‘".encode("gb18030")
    text, encoding = decode_text(raw, "x.txt")
    assert text.encode(encoding) == raw


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"abc \xff\xff", ["x.txt", "byte 4", "Save the file as UTF-8"]),
        ("hello".encode("utf-16"), ["x.txt", "UTF-16", "Save the file as UTF-8"]),
        ("hello".encode("utf-16-le"), ["x.txt", "zero byte at offset 1", "Save the file as UTF-8"]),
    ],
)
def test_what_is_neither_is_refused_with_its_place(raw, words):
    with pytest.raises(CourseError) as caught:
        decode_text(raw, "x.txt")
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "retweet",
    [
        "RT @someone: What a lovely day! #sun http://t.co/Ab12",
        "RT @a: RT @b: what a  LOVELY day #sun http…",
        "What a lovely day ?? #sun https://t.co/…",
        "what a lovely day &amp; #sun\n",
    ],
)
def test_a_retweet_is_a_twin(retweet):
    assert normalise_for_twins(retweet) == normalise_for_twins("What a lovely day... #sun") == "what a lovely day sun"


def test_other_words_are_no_twin():
    assert normalise_for_twins("What a lovely day") != normalise_for_twins("What a lovely night")
    assert normalise_for_twins("I start @home: fine now") != normalise_for_twins("fine now, all of it")
    assert normalise_for_twins("now he re the real") != normalise_for_twins("now here there al")


@pytest.mark.parametrize("text", ["", "  ", "?? !!", "http://t.co/abc", "so #happy", "RT @you: http…"])
def test_texts_of_fewer_than_three_words_have_no_twin(text):
    assert normalise_for_twins(text) == ""


def test_chinese_characters_count_as_words():
    assert normalise_for_twins("今天很开心!") == normalise_for_twins("RT @a: 今天很开心") != ""
    assert normalise_for_twins("开心") == ""

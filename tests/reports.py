"""Reports of a small workbook, and what is read from their pages."""

import html
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

from mmlab.report import Figure
from mmlab.report import build as report
from mmlab.runs import METRICS
from mmlab.runs.keep import write_metrics

SMALL = {"folds": 2, "seeds": 1}  # knobs: the same path as the real thing in a fraction of the time


def draw_nothing(monkeypatch, picture: Path) -> None:
    """Let every figure be `picture`: drawing takes longest."""
    import matplotlib.pyplot as plt

    def save(figure, folder):
        plt.close("all")
        return replace(figure, axes=None, path=picture)

    monkeypatch.setattr(Figure, "save", save)


def seal_again(folder: Path) -> None:
    """Let a run whose files a test has changed pass for one that was made so."""
    metrics = json.loads((folder / METRICS).read_text())
    write_metrics(folder, metrics["name"], metrics["scores"], metrics["seconds"])


def build(results: Path, **options) -> report.BuiltReport:
    return report.build_report(results, pdf=False, **options)


def text_of(page: Path) -> str:
    """What is read on a page."""
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>", "", page.read_text(), flags=re.S)))


def text_in(pdf: Path) -> str:
    """What can be searched in a PDF that Chromium has printed: its letters by each font's table, page after page."""
    found = re.findall(rb"(?:^|\n)(\d+) 0 obj\s(.*?)endobj", pdf.read_bytes(), re.S)
    objects, said = {int(number): body for number, body in found}, []
    letters = {number: _letters(objects, body) for number, body in objects.items() if b"/ToUnicode" in body}
    for page in [body for body in objects.values() if b"/Type /Page\n" in body]:
        fonts, font = dict(re.findall(r"/(F\d+) (\d+) 0 R", page.decode("latin1"))), {}
        for name, codes in re.findall(r"/(F\d+) [\d.]+ Tf|<([0-9A-Fa-f]+)>", _stream(objects, page, b"/Contents")):
            font = letters[int(fonts[name])] if name else font
            said.append("".join(font.get(int(codes[at : at + 4], 16), "?") for at in range(0, len(codes), 4)))
    return "".join(said)


def _letters(objects: dict[int, bytes], font: bytes) -> dict[int, str]:
    table, known = _stream(objects, font, b"/ToUnicode"), {}
    for block in re.findall(r"beginbfchar(.*?)endbfchar", table, re.S):
        known |= {int(a, 16): bytes.fromhex(b).decode("utf-16-be") for a, b in re.findall(r"<(\w+)> <(\w+)>", block)}
    for block in re.findall(r"beginbfrange(.*?)endbfrange", table, re.S):
        for first, last, letter in re.findall(r"<(\w+)> <(\w+)> <(\w{4})>", block):
            start = int(first, 16)
            known |= {code: chr(int(letter, 16) + code - start) for code in range(start, int(last, 16) + 1)}
    return known


def _stream(objects: dict[int, bytes], of: bytes, key: bytes) -> str:
    body = objects[int(re.search(key + rb" (\d+) 0 R", of)[1])]
    packed = re.search(rb"stream\r?\n(.*)endstream", body, re.S)[1]
    return zlib.decompressobj().decompress(packed).decode("latin1")

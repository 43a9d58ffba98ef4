"""Reports of a small workbook, and what is read from their pages."""

import html
import re
from dataclasses import replace
from pathlib import Path

from mmlab.report import Figure
from mmlab.report import build as report

SMALL = {"folds": 2, "seeds": 1}  # knobs: the same path as the real thing in a fraction of the time


def draw_nothing(monkeypatch, picture: Path) -> None:
    """Let every figure be `picture`: drawing takes longest."""
    import matplotlib.pyplot as plt

    def save(figure, folder):
        plt.close("all")
        return replace(figure, axes=None, path=picture)

    monkeypatch.setattr(Figure, "save", save)


def build(results: Path, **options) -> report.BuiltReport:
    return report.build_report(results, pdf=False, **options)


def text_of(page: Path) -> str:
    """What is read on a page."""
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>", "", page.read_text(), flags=re.S)))

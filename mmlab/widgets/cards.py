"""Pairs side by side as pieces of HTML: each with its picture, its words, and lines of a view's own."""

import html
from collections.abc import Sequence
from contextlib import suppress

import pandas as pd

from mmlab import plots
from mmlab.config import GUID, IMAGE, LABEL, TEXT
from mmlab.images import make_thumbnail

_PICTURE = 170  # pixels
_SHOWN = 160  # letters of a text
_CARD = "flex:1 1 100px;max-width:220px"  # four of them fit beside each other in a narrow notebook


def draw_cards(pairs: pd.DataFrame, titles: Sequence[str], foots: Sequence[str]) -> str:
    """A card for each pair; its colours follow the page's, and cards continue on the next line in a narrow window.

    pairs: columns guid, label, text, image. titles: plain words above the picture; foots: HTML below it.
    """
    rows = zip(pairs.to_dict("records"), titles, foots, strict=True)
    cards = "".join(_draw_card(row, title, foot) for row, title, foot in rows)
    return f"<div style='display:flex;flex-wrap:wrap;gap:.8em;line-height:1.35'>{cards}</div>"


def name_pair(row: dict) -> str:
    """ "1364 · negative": a pair's guid and its label."""
    return f"{row[GUID]} · {row[LABEL] if isinstance(row[LABEL], str) else 'no label'}"


def _draw_card(row: dict, title: str, foot: str) -> str:
    picture = "<i>no image</i>"
    with suppress(OSError, ValueError, AttributeError):  # missing or unreadable: the course's health has listed it
        look = f"box-sizing:border-box;max-width:100%;border:3px solid {plots.COLOURS.get(row[LABEL], plots.OTHER)}"
        source = make_thumbnail(row[IMAGE], _PICTURE) if row[IMAGE] else ""
        alt = f"the picture of pair {html.escape(str(row[GUID]))}"
        picture = f'<img alt="{alt}" style="{look}" src="{source}">' if source else picture
    text = row[TEXT] if isinstance(row[TEXT], str) else ""
    words = html.escape(text[:_SHOWN] + "…" * (len(text) > _SHOWN)) or "<i>no text</i>"
    return (
        f"<div style='{_CARD}'><div><b>{html.escape(name_pair(row))}</b><br>{html.escape(title)}</div>{picture}"
        f"<div>{foot}</div><div dir='auto' style='overflow-wrap:anywhere'>{words}</div></div>"
    )

"""Where the seconds of the workbook went."""

from mmlab import plots
from mmlab.report.document import WIDE, Block, Figure, Notice, Paragraph
from mmlab.report.evidence import DATA_NOTEBOOK, Evidence
from mmlab.report.words import ENGLISH, Say
from mmlab.workbook import ENCODING, IMPORTS, NAMES, REPORT, read_timeline

UNENCODED = (IMPORTS, DATA_NOTEBOOK, NAMES[-1], REPORT)  # they need no features


def seconds(evidence: Evidence, say: Say) -> list[Block]:
    parts = read_timeline(evidence.results)
    if evidence.grid_alone:
        return []
    if not parts:
        return [Notice(say("seconds.none"))]
    names = {name: ENGLISH.name("part", name) for name in (IMPORTS, ENCODING, REPORT)}
    longest = max((part for part in parts if part["name"] in NAMES), key=lambda part: part["end"] - part["start"])
    waited = sum(part["start"] - part["ready"] for part in parts)
    facts = {"all": max(part["end"] for part in parts), "waited": waited, "longest": longest["name"]}
    text = say("seconds.text", took=longest["end"] - longest["start"], **facts)
    axes = plots.plot_timeline(parts, ENCODING, UNENCODED, names)
    height = 1.2 + 0.26 * len(parts)
    return [Paragraph(text), Figure("seconds", axes, say("seconds.caption"), drawn=WIDE, height=height)]

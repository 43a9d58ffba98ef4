"""The tables of the report: evidence in, frames out, and the files of them for other documents."""

import re
from pathlib import Path

import pandas as pd

from mmlab.config import KNOBS, write_value
from mmlab.report.document import Document, Table
from mmlab.report.evidence import Compared, Row
from mmlab.report.html import plain
from mmlab.report.words import ENGLISH, Say
from mmlab.runs import Run
from mmlab.storage import format_csv, write_atomic


def score_table(rows: list[Row], say: Say = ENGLISH) -> pd.DataFrame:
    """One line for each row: what it is called, n, and every metric of the registry with its interval."""
    return say.frame([{"model": say.row(row), **score_cells(row.scores, say)} for row in rows])


def score_cells(scores, say: Say) -> dict[str, int | str]:
    """n and every metric as "value [low, high]", by name."""
    return {"n": scores.n} | {name: say.interval(one) for name, one in scores.values.items()}


def difference_table(comparisons: list[Compared], say: Say = ENGLISH) -> pd.DataFrame:
    """One line for each comparison, in percentage points; for one that cannot be made, the reason."""
    lines = []
    for one in comparisons:
        line = {"pair": say.pair(one), "difference": say("compared.unlike"), "only_a": "—", "only_b": "—", "p": "—"}
        if one.result is not None:
            line["difference"] = say.interval(one.result.difference, "+.1f", 100)
            line |= {"only_a": one.result.b, "only_b": one.result.c, "p": f"{one.result.p_value:.2g}"}
        elif one.missing:
            line["difference"] = say("compared.missing", names=", ".join(map(say.row, one.missing)))
        lines.append(line)
    return say.frame(lines)


def knob_table(run: Run, say: Say = ENGLISH) -> pd.DataFrame:
    """One line for each knob of a run: name, value, default and meaning, from the knobs' declarations."""
    lines = []
    for one in KNOBS.values():
        values = {"value": write_value(getattr(run.config, one.name)), "default": write_value(one.default)}
        lines.append({"knob": one.name, **values, "meaning": say.name("knob", one.name, one.help)})
    return say.frame(lines)


def write_tables(document: Document, folder: Path) -> None:
    """Write every table of a document as CSV, Markdown and LaTeX: `<folder>/<name>.csv`, `.md` and `.tex`."""
    for table in [block for block in document.blocks if isinstance(block, Table)]:
        rows = table.frame.itertuples(index=False)
        write_atomic(folder / f"{table.name}.csv", format_csv([table.frame.columns, *rows]))
        texts = table.frame.astype(str)
        rows = [texts.columns, ["---"] * len(texts.columns), *texts.to_numpy()]
        lines = ["| " + " | ".join(map(_markdown, row)) + " |\n" for row in rows]
        write_atomic(folder / f"{table.name}.md", "".join(lines))
        styled = texts.rename(columns=_latex).map(_latex).style.hide(axis="index")
        columns, caption = "l" + "r" * (len(texts.columns) - 1), _latex(plain(table.caption))
        latex = styled.to_latex(caption=caption, label=f"tab:{table.name}", hrules=True, column_format=columns)
        write_atomic(folder / f"{table.name}.tex", latex)


def _markdown(text: str) -> str:
    """A cell in one line, in which nothing ends the cell or is taken for HTML, code or a link."""
    return re.sub(r"([\\|<`]|\](?=\())", r"\\\1", " ".join(str(text).splitlines()))


def _latex(text: str) -> str:
    escaped = {letter: "\\" + letter for letter in "&%$#_{}"}
    others = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}", "−": "$-$"}
    return str(text).translate(str.maketrans(escaped | others))

"""The tables of the report: evidence in, frames out, and the files of them for other documents."""

from pathlib import Path

import pandas as pd

from mmlab.config import KNOBS, write_value
from mmlab.report.document import Document, Table
from mmlab.report.evidence import Compared, Row
from mmlab.report.html import plain
from mmlab.report.words import Say
from mmlab.runs import Run
from mmlab.storage import write_atomic


def score_table(rows: list[Row], say: Say | None = None) -> pd.DataFrame:
    """One line for each row: what it is called, n, and every metric of the registry with its interval."""
    say = say or Say()
    return say.frame([{"model": say.row(row), **score_cells(row.scores, say)} for row in rows])


def score_cells(scores, say: Say) -> dict[str, int | str]:
    """n and every metric as "value [low, high]", by name."""
    return {"n": scores.n} | {name: say.interval(one) for name, one in scores.values.items()}


def difference_table(comparisons: list[Compared], say: Say | None = None) -> pd.DataFrame:
    """One line for each comparison, in percentage points; for one that cannot be made, the reason."""
    say = say or Say()
    lines = []
    for one in comparisons:
        line = {"pair": say.pair(one), "difference": "", "only_a": "—", "only_b": "—", "p": "—"}
        if one.result is not None:
            points = say.interval(one.result.difference, "+.1f", 100)
            line |= {
                "difference": points,
                "only_a": one.result.b,
                "only_b": one.result.c,
                "p": f"{one.result.p_value:.2g}",
            }
        elif one.missing:
            line["difference"] = say("compared.missing", names=", ".join(map(say.row, one.missing)))
        else:
            line["difference"] = say("compared.unlike")
        lines.append(line)
    return say.frame(lines)


def knob_table(run: Run, say: Say | None = None) -> pd.DataFrame:
    """One line for each knob of a run: name, value, default and meaning, from the knobs' declarations."""
    say = say or Say()
    values = run.config.to_dict()
    lines = [
        (one.name, write_value(values[one.name]), write_value(one.default), say.name("knob", one.name, one.help))
        for one in KNOBS.values()
    ]
    return say.frame([dict(zip(("knob", "value", "default", "meaning"), line)) for line in lines])


def write_tables(document: Document, folder: Path) -> None:
    """Write every table of a document as CSV, Markdown and LaTeX: `<folder>/<name>.csv`, `.md` and `.tex`."""
    for block in document.blocks:
        if isinstance(block, Table):
            write_atomic(folder / f"{block.name}.csv", block.frame.to_csv(index=False, lineterminator="\n"))
            write_atomic(folder / f"{block.name}.md", _to_markdown(block.frame))
            write_atomic(folder / f"{block.name}.tex", _to_latex(block))


def _to_markdown(frame: pd.DataFrame) -> str:
    rows = [frame.columns, ["---"] * len(frame.columns), *frame.astype(str).to_numpy()]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def _to_latex(table: Table) -> str:
    styled = table.frame.astype(str).rename(columns=_latex).map(_latex).style.hide(axis="index")
    columns, caption = "l" + "r" * (len(table.frame.columns) - 1), _latex(plain(table.caption))
    return styled.to_latex(caption=caption, label=f"tab:{table.name}", hrules=True, column_format=columns)


_LATEX = {c: "\\" + c for c in "&%$#_{}"}
_LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}", "−": "$-$"}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in str(text))

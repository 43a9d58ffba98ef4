"""The tables of docs/speed.md and docs/encoders.md, from what the benchmarks have measured: python benchmarks/page.py

A table stands between `<!-- encode -->` and `<!-- end -->`: it is that of `results/encode.json`, or of each file whose
name begins so. `<!-- picture -->` is docs/speed.png, which is drawn from the timelines that workbook.py keeps. All else
on the pages is written by hand.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from results import RESULTS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = DOCS / "speed.md", DOCS / "encoders.md"
PICTURE = DOCS / "speed.png"
BLOCK = re.compile(r"(<!-- ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
ALT = "Two charts on one axis of seconds: when each part of the workbook ran, before and after"
# What the two sides are called where they are not this package at two commits.
SIDES = {"encode": ("plain way", "mmlab"), "scale": ("all in memory", "mapped")}


def read_results(folder: Path = RESULTS) -> dict[str, dict]:
    """What the benchmarks wrote, by the name of the file."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))}


def fill_page(text: str, results: Mapping[str, dict]) -> str:
    """The page with every block made anew from the results."""

    def fill(found: re.Match) -> str:
        begin, name, end = found.groups()
        if name == "picture":
            return f"{begin}![{ALT}](speed.png)\n{end}" if find_timelines(results) else begin + end
        files = [file for file in results if file == name or file.startswith(f"{name}_")]
        tables = [format_tables(results[file], SIDES.get(name, ("before", "after"))) for file in files]
        return begin + ("\n".join(tables) or "Not measured yet.\n") + end

    return BLOCK.sub(fill, text)


def format_tables(result: Mapping, sides: tuple[str, str]) -> str:
    """A table of the comparisons, one of the rows that have no two sides, what they come to, and the machine."""
    compared = [row | find_ratio(row) for row in result["rows"] if "before" in row]
    others = [row for row in result["rows"] if "before" not in row]
    names = dict(zip(("before", "after"), sides, strict=True))
    tables = [format_table(rows, names) for rows in (compared, others) if rows]
    words = f"{result['text']} " if "text" in result else ""
    return "\n".join([*tables, f"{words}Measured on {result['machine']}.\n"])


def find_ratio(row: Mapping) -> dict[str, float]:
    """How many times as fast, or as small, the second side is; nothing for what is no cost."""
    if "accuracy" in row["unit"]:
        return {}
    ratio = row["after"] / row["before"]
    return {"ratio": ratio if row["unit"] == "per second" else 1 / ratio}


def format_table(rows: Sequence[Mapping], names: Mapping[str, str]) -> str:
    columns = list(dict.fromkeys(["what", "unit", *(column for row in rows for column in row)]))
    lines = [["" if column == "what" else names.get(column, column) for column in columns]]
    numbers = {column for row in rows for column, value in row.items() if isinstance(value, int | float)}
    lines += [["---:" if column in numbers else "---" for column in columns]]
    lines += [[format_cell(column, row) for column in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def format_cell(column: str, row: Mapping) -> str:
    value = row.get(column, "")
    if not isinstance(value, float):
        return str(value)
    if column == "ratio":
        return f"{value:.2f} ×"
    if row["unit"] == "difference":
        return f"{value:.1e}"
    if column == "cosine":
        return f"{value:.5f}"
    digits = 3 if "accuracy" in row["unit"] else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def find_timelines(results: Mapping[str, dict]) -> dict[str, dict]:
    """Side -> seconds and parts of its median run with nothing cached, on the course that takes longest."""
    kept = [one["timelines"] for one in results.values() if "timelines" in one]
    return max(kept, key=lambda sides: sides["before"]["seconds"], default={})


def draw_timelines(timelines: Mapping[str, dict]):
    """One Gantt chart per side on the same axis of seconds; gives the figure."""
    import matplotlib

    matplotlib.use("Agg")
    from mmlab.plots import plot_timeline
    from mmlab.plots.style import OTHER, lab_style, new_figure
    from mmlab.report.sections.seconds import UNENCODED

    rows = [len(one["parts"]) for one in timelines.values()]
    with lab_style():
        figure = new_figure((8, 1.6 + 0.3 * sum(rows)))
        panels = figure.subplots(len(rows), sharex=True, height_ratios=rows)
        for panel, (side, one) in zip(panels, timelines.items(), strict=True):
            plot_timeline(one["parts"], unencoded=UNENCODED, ax=panel)
            panel.axvline(one["seconds"], color=OTHER, linewidth=1, linestyle="--")
            for seconds in panel.texts:
                seconds.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0})
            if panel.get_legend():
                panel.legend(loc="lower right", fontsize=9)
            panel.set(title=f"{side}: {one['seconds']:.0f} s until all is written", xlabel="")
        longest = max(one["seconds"] for one in timelines.values())
        panels[-1].set(xlabel="seconds since the command", xlim=(0, 1.1 * longest))
    return figure


def main() -> None:
    results = read_results()
    for page in PAGES:
        page.write_text(fill_page(page.read_text("utf-8"), results), encoding="utf-8")
    if timelines := find_timelines(results):
        draw_timelines(timelines).savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()

"""From evidence to a document: the sections in order, and before them what is missing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mmlab import plots
from mmlab.errors import MmlabError
from mmlab.freshness import code_digest, digest_of
from mmlab.report.document import Block, Document, Figure, Gallery, Heading, Notice
from mmlab.report.evidence import Evidence, Gap
from mmlab.report.html import TEMPLATE, to_html
from mmlab.report.sections import conclusions, method, results, seconds
from mmlab.report.words import LANGUAGES, ReportOptions, Say, read_words


@dataclass(frozen=True)
class Section:
    """name: its title is the word `section.<name>`, or the name itself. group: the course's heading it belongs to."""

    name: str
    write: Callable[[Evidence, Say], list[Block]]
    group: str


# Under the five headings of the course, in a language that has words for them. A new section is one entry here; a title
# in the languages' files of words is optional.
GROUPS: dict[str, tuple[Callable, ...]] = {
    "one": (method.aim,),
    "two": (method.data, method.method),
    "three": (method.environment,),
    "four": (
        results.training, results.results, results.ensemble, results.ablation, results.errors, results.prediction,
        conclusions.others,
    ),
    "five": (conclusions.conclusions, conclusions.limits, conclusions.provenance, seconds.seconds),
}  # fmt: skip
SECTIONS = [Section(write.__name__, write, group) for group, writers in GROUPS.items() for write in writers]


def write_document(evidence: Evidence, options: ReportOptions, figures: Path) -> Document:
    """The whole report; its figures are saved in the folder `figures`."""
    say = Say(options)
    blocks: list[Block] = []
    for group in GROUPS:
        top = say(f"group.{group}")
        blocks += [Heading(top)] if top else []
        for section in SECTIONS:
            if section.group == group:
                written = _write_section(section, evidence, say, figures)
                heading = [Heading(say.name("section", section.name), 2 if top else 1)] if written else []
                blocks += [*heading, *written]
    missing: list[Block] = [Notice(gap.text(say)) for gap in evidence.gaps]
    if evidence.grid_alone:
        missing.append(Notice(say("grid_alone", command=evidence.notebook_command())))
    if evidence.stale:
        missing.append(Notice(say("stale", parts=", ".join(map(say.row, evidence.rows(*evidence.stale))))))
    if say.drawn and not plots.can_draw("".join(say.drawn.values())):
        missing.append(Notice(say("fontless")))
    if missing:
        missing.insert(0, Heading(say.name("section", "missing")))
    blank, today = "________", date.today().isoformat()
    values = {"name": options.name or blank, "number": options.number or blank, "date": today}
    main_run = evidence.main.id if evidence.main else ""
    return Document(
        options.title or say("title.grid" if evidence.grid_alone else "title"),
        [(say(key), value) for key, value in values.items()],
        [*missing, *blocks],
        options.language,
        {key: say(key) for key in ("figure", "table", "contents")},
        {"mmlab-main-run": main_run, "mmlab-report-code": report_digest()},
    )


def _write_section(section: Section, evidence: Evidence, say: Say, figures: Path) -> list[Block]:
    """The blocks of a section. One that fails becomes a gap: hours of training must not end without a report."""
    try:
        blocks = section.write(evidence, say)
        for block in blocks:
            if isinstance(block, Figure):
                plots.translate_figure(block.axes, say.drawn)
        return [block.save(figures) if isinstance(block, Figure | Gallery) else block for block in blocks]
    except Exception as error:
        detail = str(error) if isinstance(error, MmlabError) else f"{type(error).__name__}: {error}"
        name = say.name("section", section.name)
        evidence.gaps.append(Gap("section", {"section": name}, detail=" ".join(detail.split())))
        return []


def report_digest() -> str:
    """Names the code and words that write the report, and the code that trains: another digest, another report."""
    words = digest_of(TEMPLATE.read_text(encoding="utf-8"), *(read_words(language) for language in LANGUAGES))
    return f"{code_digest(write_document, to_html)}-{words}-{code_digest('mmlab.training:cross_fit')}"

"""The sections in order. A new section is one entry here; a title in the languages' files of words is optional."""

from collections.abc import Callable
from dataclasses import dataclass

from mmlab.report.document import Block
from mmlab.report.evidence import Evidence
from mmlab.report.sections.conclusions import conclusions, limits, provenance
from mmlab.report.sections.method import aim, data, environment, method
from mmlab.report.sections.others import others
from mmlab.report.sections.results import ablation, errors, prediction, results
from mmlab.report.sections.training import training
from mmlab.report.words import Say

GROUPS = ("one", "two", "three", "four", "five")  # the headings of the course, in a language that has words for them


@dataclass(frozen=True)
class Section:
    """name: its title is the word `section.<name>`, or the name itself. group: the course's heading it belongs to."""

    name: str
    write: Callable[[Evidence, Say], list[Block]]
    group: str


SECTIONS: list[Section] = [
    Section("aim", aim, "one"),
    Section("data", data, "two"),
    Section("method", method, "two"),
    Section("environment", environment, "three"),
    Section("training", training, "four"),
    Section("results", results, "four"),
    Section("ablation", ablation, "four"),
    Section("errors", errors, "four"),
    Section("prediction", prediction, "four"),
    Section("others", others, "four"),
    Section("conclusions", conclusions, "five"),
    Section("limits", limits, "five"),
    Section("provenance", provenance, "five"),
]

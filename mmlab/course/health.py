"""The health of a course folder: what was found in it, what could not be used, and what was done about that."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import chain

import pandas as pd

from mmlab.config import ENCODING, LABEL, LABELS, SPLIT, TEXT, TWIN
from mmlab.course.tables import DATA_FOLDER, first_few
from mmlab.course.text import is_doubtful
from mmlab.course.twins import Link

EXCLUDED = "excluded"
FROM_TEXT = "answered from the text alone"
FROM_IMAGE = "answered from the image alone"
FEW = 10  # pairs of a label: with fewer, one pair moves its recall by more than 10 points


@dataclass(frozen=True)
class Issue:
    """One pair that could not be used whole: what is wrong, where, what was done about it and how to mend it."""

    guid: str
    file: str
    problem: str
    action: str  # EXCLUDED, FROM_TEXT or FROM_IMAGE
    row: str = ""  # for instance "train.txt line 12"
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.file} ({self.row}): {self.problem}; {self.action}. {self.fix}".rstrip()


@dataclass(frozen=True, eq=False)
class Health:
    """What was found in a course folder. Counts are of usable pairs, unless a name says otherwise.

    A twin group is a set of at least two pairs with the same or nearly the same text or image, directly or through
    others. Explained in notebook 01, sections 2 to 4.
    """

    n_labelled: int
    n_test: int
    label_counts: dict[str, int]
    encodings: dict[str, int]
    twin_groups: int
    twin_pairs: int  # pairs in those groups
    twins_in_text: int  # pairs whose text another pair has too
    twins_in_image: int  # pairs whose image another pair has too
    label_conflicts: int  # twin groups whose labelled pairs disagree
    test_twins: int  # test pairs with a labelled twin
    orphans: list[str]  # files in data/ that no row names
    doubtful: list[str]  # texts read as GB18030 that may be in another encoding: see `is_doubtful`
    issues: list[Issue]
    conversions: dict[str, int]  # how many pictures are turned upright, laid on white, ...: see mmlab/images.py
    image_sizes: pd.DataFrame = field(repr=False)  # width, height, count: pixels, most frequent size first
    text_lengths: dict[str, float]  # characters: min, median, mean, max; zeros without a text

    @property
    def notices(self) -> list[str]:
        """What this course cannot teach or show, a sentence for each; none for a course that has everything."""
        said = []
        for side, there in (("text", self.encodings), ("image", len(self.image_sizes))):
            if not there:
                said.append(f"No pair has a usable {side}: all is learned and answered from the other half alone.")
        if unknown := [label for label, count in self.label_counts.items() if not count]:
            said.append(f"No pair has the label {' or '.join(unknown)}: no model can learn it.")
        if few := [f"{label} ({count})" for label, count in self.label_counts.items() if 0 < count < FEW]:
            said.append(f"Few pairs have the label {', '.join(few)}: what is scored on so few says little.")
        if not self.n_test:
            said.append("No pair is to be predicted: there will be no prediction file.")
        return said

    def to_dict(self) -> dict:
        """All of it as plain literals, ready for JSON (image sizes as a list of {width, height, count})."""
        return asdict(self) | {"image_sizes": self.image_sizes.to_dict("records")}

    def to_frame(self) -> pd.DataFrame:
        """A tidy table to look at: columns check (str), count (int), detail (str), one row per check."""
        sizes, length = self.image_sizes, self.text_lengths
        wide, high = (f"{side.min()} to {side.max()}" if len(side) else "0" for side in (sizes.width, sizes.height))
        shares = ", ".join(f"{name} {count / self.n_labelled:.1%}" for name, count in self.label_counts.items())
        charsets = ", ".join(f"{name} {count}" for name, count in self.encodings.items())
        changed = first_few([f"{count} {name}" for name, count in self.conversions.items()])
        actions = Counter(issue.action for issue in self.issues)
        rows = [
            ("labelled pairs", self.n_labelled, shares),
            ("test pairs", self.n_test, "no label; answered in the order of the file"),
            ("texts", sum(self.encodings.values()), charsets),
            ("doubtful texts", len(self.doubtful), first_few(self.doubtful)),
            ("text length", round(length["median"]), f"median; {length['min']:.0f} to {length['max']:.0f} characters"),
            ("image sizes", len(sizes), f"{wide} px wide, {high} high"),
            ("twin groups", self.twin_groups, f"{self.twin_pairs} pairs"),
            ("twins in text", self.twins_in_text, "pairs whose words another pair has too"),
            ("twins in image", self.twins_in_image, "pairs whose picture another pair has too, or nearly"),
            ("label conflicts", self.label_conflicts, "twin groups whose labels disagree"),
            ("test twins", self.test_twins, "test pairs with a labelled twin"),
            ("conversions", sum(self.conversions.values()), changed),
            ("orphans", len(self.orphans), first_few(self.orphans)),
            ("issues", len(self.issues), ", ".join(f"{count} {action}" for action, count in actions.items())),
        ]
        return pd.DataFrame(rows, columns=["check", "count", "detail"])


def judge_course(
    pairs: pd.DataFrame,
    by_text: list[Link],
    by_image: list[Link],
    orphans: list[str],
    issues: list[Issue],
    conversions: dict[str, int],
) -> Health:
    """The health of a folder from its usable pairs (the columns of `Course.pairs`) and from what was set aside."""
    labelled, test = pairs[pairs[SPLIT] != "test"], pairs[pairs[SPLIT] == "test"]
    size = pairs.groupby(TWIN).size()
    texts = pairs[pairs.has_text]
    lengths = texts[TEXT].str.len()
    sizes = pairs.loc[pairs.has_image, ["width", "height"]].value_counts().reset_index(name="count")
    return Health(
        n_labelled=len(labelled),
        n_test=len(test),
        label_counts=labelled[LABEL].value_counts().reindex(LABELS, fill_value=0).to_dict(),
        encodings=texts[ENCODING].value_counts().to_dict(),
        twin_groups=int((size > 1).sum()),
        twin_pairs=int(size[size > 1].sum()),
        twins_in_text=len(set(chain(*by_text))),
        twins_in_image=len(set(chain(*by_image))),
        label_conflicts=int((labelled.groupby(TWIN)[LABEL].nunique() > 1).sum()),
        test_twins=int(test[TWIN].isin(labelled[TWIN]).sum()),
        orphans=orphans,
        doubtful=[f"{DATA_FOLDER}/{row.guid}.txt" for row in texts.itertuples() if is_doubtful(row.text, row.encoding)],
        issues=issues,
        conversions=dict(conversions),
        image_sizes=sizes.sort_values(["count", "width", "height"], ascending=[False, True, True], ignore_index=True),
        text_lengths=lengths.agg(["min", "median", "mean", "max"]).fillna(0).round(1).to_dict(),
    )

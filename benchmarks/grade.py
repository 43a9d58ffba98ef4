"""How long grading a class takes, and what it finds: python benchmarks/grade.py [COURSE] [--students 200]

A course whose test pairs have labels is needed: a part of the labelled pairs of COURSE becomes one, beside links to its
texts and images. The class is the one of the tests: sound, broken, copied, lucky and leaked files. The page is in OUT.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mmlab.config import LABELS
from mmlab.course import read_course, read_labels
from mmlab.grading import grade_submissions, write_grades

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from submissions import PATTERN, make_class  # noqa: E402


def make_course(source: Path, folder: Path, n_test: int) -> list:
    """A course of the labelled pairs of another one, the last of them to be predicted: their rows, with labels."""
    rows = read_labels(source / "train.txt")
    folder.mkdir()
    (folder / "data").symlink_to((source / "data").resolve())
    train, test = rows[:-n_test], rows[-n_test:]
    body = "".join(f"{row.guid},{row.label}\n" for row in train)
    (folder / "train.txt").write_text(f"guid,tag\n{body}", encoding="utf-8")
    body = "".join(f"{row.guid},null\n" for row in test)
    (folder / "test_without_label.txt").write_text(f"guid,tag\n{body}", encoding="utf-8")
    return test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("course", type=Path, nargs="?", default=ROOT / "data" / "demo")
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--pairs", type=int, help="Pairs to predict; the default is two fifths of the labelled ones.")
    parser.add_argument("--out", type=Path, help="Where the grades go; the default is a folder that is removed.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmlab-") as name:
        folder = Path(name)
        n_labelled = len(read_labels(options.course / "train.txt"))
        test = make_course(options.course, folder / "course", options.pairs or int(0.4 * n_labelled))
        key = folder / "key.txt"
        key.write_text("guid,tag\n" + "".join(f"{row.guid},{row.label}\n" for row in test), encoding="utf-8")
        labels = np.array([LABELS.index(row.label) for row in test])
        made = make_class(folder / "inbox", [row.guid for row in test], labels, options.students, strict=True)
        read_course(folder / "course")  # the first reading decodes every image; the next ones know them
        started = time.perf_counter()
        references = {"preset": folder / "preset.txt"}
        grades = grade_submissions(made.folder, key, folder / "course", PATTERN, references)
        graded = time.perf_counter()
        write_grades(grades, options.out or folder / "grades")
        written = time.perf_counter()
        valid = sum(row.standing is not None for row in grades.students)
        pairs = {frozenset(one.students) for one in grades.similar}
        copies = {frozenset(pair) for pair in made.copies.items()}
        print(f"{len(grades.students)} students, {valid} valid, {len(test)} pairs to predict")
        print(f"graded in {graded - started:.1f} s, written in {written - graded:.1f} s")
        print(f"similar: {len(pairs & copies)} of {len(copies)} copies, {len(pairs - copies)} others")
        print(f"above the reach: {', '.join(grades.reach.above)}")


if __name__ == "__main__":
    main()

"""Read a course folder into a `Course`: its pairs with their files, their twins, their split and their health.

Nothing is filled in. A fault in the tables stops with one error; a fault in one pair excludes that pair, or that half
of it, and is listed in the health report. Explained in notebook 01, section 1.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pandas as pd

from mmlab.config import ENCODING, GUID, IMAGE, LABEL, SPLIT, TEXT, TWIN
from mmlab.course.health import EXCLUDED, FROM_IMAGE, FROM_TEXT, Health, Issue, judge_course
from mmlab.course.split import DEV_SHARE, class_numbers, split_dev
from mmlab.course.tables import DATA_FOLDER, NEW_LINE, TEST_FILE, TRAIN_FILE, Row, first_few, read_rows
from mmlab.course.text import decode_text, normalise_for_twins
from mmlab.course.twins import (
    group_links,
    link_equal,
    link_images,
    load_facts,
    look_at_image,
    read_conversions,
    save_facts,
)
from mmlab.errors import CourseError
from mmlab.images import LARGEST_FILE
from mmlab.storage import expand, printable, read_file, write_atomic

LARGEST_TEXT = 10**6  # bytes
_READERS = 4  # threads: reading waits on the disk, decoding leaves the interpreter lock


@dataclass(frozen=True, eq=False)
class Course:
    """A course folder, read and judged. Frames are for reading; change a copy.

    `pairs` holds the labelled rows in the order of train.txt, then the test rows in theirs. Its columns: guid (str),
    label (str, None for test), text (str, ends stripped), encoding (str), image (path as str), width and height (px, 0
    without image), text_digest and image_digest (hex sha256 of the text as read, of the image file's bytes), has_text
    and has_image (bool), twin (int, equal for twins) and split ("train", "dev" or "test"). What a pair lacks is `""` in
    text, encoding, image and digests.
    """

    root: Path
    pairs: pd.DataFrame = field(repr=False)
    health: "Health" = field(repr=False)  # a string: no number depends on it, and freshness follows names alone
    seed: int
    fingerprint: str  # of guids, labels and file contents: equal means the same data
    split_hash: str  # of the split as saved: equal means the same split

    @cached_property
    def train(self) -> pd.DataFrame:
        """The labelled pairs to fit on."""
        return self._where("train")

    @cached_property
    def dev(self) -> pd.DataFrame:
        """The labelled pairs to choose and stop by; no pair has a twin in `train`."""
        return self._where("dev")

    @cached_property
    def test(self) -> pd.DataFrame:
        """The pairs without a label, in the order in which to answer."""
        return self._where("test")

    @cached_property
    def labelled(self) -> pd.DataFrame:
        """`train` and `dev` together, in the order of train.txt: the first rows of `pairs`."""
        return self._where("train", "dev")

    @cached_property
    def labels(self) -> np.ndarray:
        """Class numbers (positions in LABELS) of `labelled`, (n_labelled,) int8."""
        return class_numbers(self.labelled[LABEL])

    def _where(self, *splits: str) -> pd.DataFrame:
        return self.pairs[self.pairs[SPLIT].isin(splits)].reset_index(drop=True)


def read_course(
    root: Path | str,
    *,
    seed: int = 0,
    dev_share: float = DEV_SHARE,
    strict: bool = False,
    unlabelled: bool = False,
) -> Course:
    """Read and judge a course folder and split its labelled pairs, twin-aware and stratified, by seed.

    Faults of the tables (a missing file, a wrong header, a duplicate guid, an unknown label, ...) raise CourseError
    with file, line and fix. A labelled pair without a readable text and image is left out and listed in
    `health.issues`; a test pair is answered from what it has, and one that has neither raises CourseError. A course in
    which no pair at all has a text (or an image) is one of images (or texts) alone: its labelled pairs stay.
    `strict` turns every listed issue into a CourseError. `unlabelled` accepts a folder without train.txt, of test pairs
    alone: there is something to answer and nothing to learn from. Explained in notebook 01, sections 1 to 5.
    """
    if not 0 < dev_share < 1:
        raise CourseError(f"dev_share={dev_share!r} is out of range: it must be above 0 and below 1.")
    if not isinstance(root, str | os.PathLike):
        raise CourseError(f"read_course takes the path of a course folder, not {root!r}.")
    root = expand(root)
    try:
        data = _find_parts(root, unlabelled)
        rows = read_rows(root, unlabelled)
        names = _Names(entry.name for entry in os.scandir(data) if not entry.name.startswith("."))
    except OSError as error:
        raise CourseError(f"{error.filename or root}: cannot be read ({error.strerror}). Make it readable.") from None
    kept, issues = _judge_pairs(root, _read_pairs(data, rows, names))
    listed = first_few([str(issue) for issue in issues], NEW_LINE)
    if strict and issues:
        raise CourseError(f"{root}: {len(issues)} files cannot be used:{NEW_LINE}{listed}")
    if any(row.label for row in rows) and not any(row.label for row, _, _ in kept):
        problem = "no labelled pair has both a readable text and a readable image"
        raise CourseError(f"{root}: {problem}. Mend these files first:{NEW_LINE}{listed}")

    by_text = link_equal(normalise_for_twins(text.text) for _, text, _ in kept)
    by_image = link_images([image.facts for _, _, image in kept])
    pairs = _tabulate(kept)
    pairs[TWIN] = group_links(len(pairs), by_text + by_image)
    pairs[SPLIT] = split_dev(root, pairs, seed, dev_share)
    orphans = sorted(names - {f"{row.guid}{suffix}" for row in rows for suffix in (".txt", ".jpg")})
    seen = [image.facts for _, _, image in kept if image.facts is not None]
    conversions = Counter(name for facts in seen for name in read_conversions(facts))
    return Course(
        root=root,
        pairs=pairs,
        health=judge_course(pairs, by_text, by_image, list(map(printable, orphans)), issues, conversions),
        seed=seed,
        fingerprint=_fingerprint(pairs),
        split_hash=hashlib.sha256(_split_csv(pairs).encode()).hexdigest(),
    )


def random_split_leak(course: Course, seed: int = 0, dev_share: float = DEV_SHARE) -> float:
    """The share of dev (0 to 1) that has a twin in train if twins are ignored. Explained in notebook 01, section 5."""
    twins = course.labelled[TWIN].to_numpy()
    order = np.random.default_rng(seed).permutation(len(twins))
    n_dev = max(1, round(dev_share * len(twins)))
    return float(np.isin(twins[order[:n_dev]], twins[order[n_dev:]]).mean())


def save_split(course: Course, path: Path | str) -> Path:
    """Write which pair is in which split (columns guid, split, twin; one row per pair) and return the path."""
    return write_atomic(path, _split_csv(course.pairs))


class _Names(frozenset):
    """The names of files, and those that differ from one only in case or ending, found at once."""

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        stems = defaultdict(list)
        for name in sorted(self):
            stems[os.path.splitext(name)[0].lower()].append(name)
        return stems


@dataclass(frozen=True)
class _Part:
    """The text or the image of one pair, or what is wrong with it."""

    file: str  # for instance "data/12.txt"
    problem: str = ""
    fix: str = ""
    digest: str = ""
    text: str = ""
    encoding: str = ""
    image: str = ""
    width: int = 0
    height: int = 0
    facts: np.void | None = None  # what twins are found by


_Pair = tuple[Row, _Part, _Part]  # row, text, image


def _find_parts(root: Path, unlabelled: bool) -> Path:
    """The folder of the pairs' files, when the course folder is complete."""
    wanted = (TEST_FILE,) if unlabelled else (TRAIN_FILE, TEST_FILE)
    layout = f"It must hold {', '.join(wanted)} and the folder {DATA_FOLDER}/."
    if not root.is_dir():
        missing = "there is no such folder. Give the path of the course folder"
        problem = "this is a file, not a course folder. Unpack it or give its folder" if root.exists() else missing
        raise CourseError(f"{root}: {problem}. {layout}")
    for name in wanted:
        if not os.path.lexists(root / name):
            near = [folder for folder in (root.parent, *sorted(root.iterdir())) if (folder / TRAIN_FILE).is_file()]
            hint = f" Did you mean {near[0]}?" if near and name == TRAIN_FILE else ""
            raise CourseError(f"{root / name}: the file is missing.{hint} {layout}")
    data = root / DATA_FOLDER
    if not data.is_dir():
        raise CourseError(f"{data}: the folder is missing. {layout} Put <guid>.txt and <guid>.jpg of each pair there.")
    return data


def _read_pairs(data: Path, rows: list[Row], names: _Names) -> list[_Pair]:
    """Each row with its text and its image; `names` are the files in `data`."""
    known = load_facts()
    judge_image = partial(_judge_image, known)

    def read(row: Row) -> _Pair:
        text = _read_part(data, f"{row.guid}.txt", names, _judge_text, LARGEST_TEXT)
        return row, text, _read_part(data, f"{row.guid}.jpg", names, judge_image, LARGEST_FILE)

    with ThreadPool(_READERS) as pool:
        pairs = pool.map(read, rows, chunksize=32)  # a task costs as much as reading a cached file
    found = {image.facts["digest"].item(): image.facts for _, _, image in pairs if image.facts is not None}
    if found.keys() - known.keys():
        save_facts(known | found)
    return pairs


def _read_part(data: Path, name: str, names: _Names, judge: Callable[[bytes, str, str], _Part], largest: int) -> _Part:
    """What `judge` makes of a file's bytes, its name in messages and its path; a problem where there is no file."""
    file, path = f"{DATA_FOLDER}/{name}", f"{data}{os.sep}{name}"
    if name not in names:
        return _Part(file, *_absent(name, names))
    try:
        raw = read_file(path, largest)
    except OSError as error:
        return _Part(file, f"cannot be read ({error.strerror})", "Make it a file that can be read, or remove the row.")
    return judge(raw, file, path)


def _absent(name: str, names: _Names) -> tuple[str, str]:
    """(problem, fix) for a file that is not there, with a look at files of nearly the same name."""
    stem, suffix = os.path.splitext(name)
    others = {".jpg": (".jpg", ".jpeg", ".png", ".webp", ".gif"), ".txt": (".txt", ".text")}[suffix]
    near = [other for other in names.by_stem.get(stem.lower(), ()) if other.lower().endswith(others)]
    if not near:
        return "the file is missing", f"Put {name} into data/ or remove the row."
    how = "rename" if min(near).lower().endswith((suffix, ".jpeg", ".text")) else "convert"
    return f"the file is missing, but {min(near)} is there", f"To use it, {how} it to {name}."


def _judge_text(raw: bytes, file: str, path: str) -> _Part:
    try:
        text, encoding = decode_text(raw, file)
    except CourseError as error:
        problem, _, fix = str(error).removeprefix(f"{file}: ").partition(". ")
        return _Part(file, problem, fix)
    text = text.strip()
    if not text:
        return _Part(file, "the text is empty", "Write the text of the pair or remove the row.")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return _Part(file, digest=digest, text=text, encoding=encoding)


def _judge_image(known: dict[bytes, np.void], raw: bytes, file: str, path: str) -> _Part:
    digest = hashlib.sha256(raw).digest()
    try:
        facts = known[digest] if digest in known else look_at_image(raw, digest)
    except Exception as error:  # Pillow's decoders raise many kinds; whichever it is, the picture is unusable
        # "cannot identify image file <_io.BytesIO object at 0x...>": an address helps nobody
        reason = str(error).split("<")[0].strip() or type(error).__name__
        return _Part(file, f"the image cannot be decoded ({reason})", "Fetch the picture again or remove the row.")
    width, height = facts[["width", "height"]].item()
    return _Part(file, digest=digest.hex(), image=path, width=width, height=height, facts=facts)


def _judge_pairs(root: Path, pairs: list[_Pair]) -> tuple[list[_Pair], list[Issue]]:
    """The pairs that stay, as they came, and what is wrong with the others."""
    kept, issues, empty = [], [], []
    one_sided = any(all(part.problem for part in side) for side in list(zip(*pairs, strict=True))[1:])
    for row, text, image in pairs:
        bad = [part for part in (text, image) if part.problem]
        left_out = row.label and len(bad) > one_sided
        action = EXCLUDED if left_out else FROM_IMAGE if text.problem else FROM_TEXT
        issues += [Issue(row.guid, part.file, part.problem, action, row.place, part.fix) for part in bad]
        if row.label is None and len(bad) == 2:
            problems = "; ".join(f"{part.file}: {part.problem}" for part in bad)
            empty.append(f"{row.place}: guid {row.guid!r}: {problems}")
        elif not left_out:
            kept.append((row, text, image))
    if empty:
        listed = f"{first_few(empty, NEW_LINE)}\nPut the files into {DATA_FOLDER}/ or remove the rows."
        problem = f"{len(empty)} pair{'s have' if len(empty) > 1 else ' has'} nothing to predict from"
        raise CourseError(f"{root / TEST_FILE}: {problem}:{NEW_LINE}{listed}")
    return kept, issues


def _tabulate(kept: list[_Pair]) -> pd.DataFrame:
    """The columns of `Course.pairs` but twin and split."""
    records = [
        {
            GUID: row.guid, LABEL: row.label, TEXT: text.text, ENCODING: text.encoding, IMAGE: image.image,
            "width": image.width, "height": image.height, "text_digest": text.digest, "image_digest": image.digest,
            "has_text": not text.problem, "has_image": not image.problem,
        }
        for row, text, image in kept
    ]  # fmt: skip
    labels = pd.Series([row.label for row, _, _ in kept], dtype=object)  # object keeps None: no label is not NaN
    return pd.DataFrame(records).assign(**{LABEL: labels})


def _fingerprint(pairs: pd.DataFrame) -> str:
    rows = pairs[[GUID, LABEL, "text_digest", "image_digest"]].itertuples(index=False)
    return hashlib.sha256("\n".join(",".join(map(str, row)) for row in rows).encode()).hexdigest()


def _split_csv(pairs: pd.DataFrame) -> str:
    return pairs[[GUID, SPLIT, TWIN]].to_csv(index=False, lineterminator="\n")

"""Read a course folder, judge it, split it without leaks, and write and verify prediction files.

Nothing is filled in: a fault in the tables stops with one error, a fault in one pair excludes that pair or that half
of it and is listed in the health report. Explained in notebook 01.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from mmlab.config import ENCODING, GUID, IMAGE, LABEL, LABELS, SPLIT, TEXT, TWIN, suggest
from mmlab.course.text import decode_text, normalise_for_twins
from mmlab.errors import CourseError
from mmlab.images import open_image
from mmlab.storage import cache_folder, write_atomic

# Names inside a course folder; `tag` is the course's word for the label.
TRAIN_FILE, TEST_FILE, DATA_FOLDER = "train.txt", "test_without_label.txt", "data"
TAG, NO_LABEL = "tag", "null"
HEADER = f"{GUID},{TAG}"

EXCLUDED = "excluded"
FROM_TEXT = "answered from the text alone"
FROM_IMAGE = "answered from the image alone"

DEV_SHARE = 0.2  # of the labelled pairs
SHOWN = 5  # how many rows of one fault a message lists
# Nearly the same image: see `_image_links` for what the three numbers mean and how they were chosen.
HASH_BITS_APART, COLOUR_LEVELS_APART, STEPS_NEEDED = 32, 6.0, 64
FACTS_VERSION = 2
_READERS = 4  # threads: reading waits on the disk, decoding leaves the interpreter lock

_FACTS = np.dtype(
    [
        ("digest", "V32"),
        ("width", "<i4"),
        ("height", "<i4"),
        ("steps", "<i4"),
        ("hash", "<u8", 4),
        ("colours", "u1", 192),
    ]
)


@dataclass(frozen=True)
class Issue:
    """One pair that could not be used whole: what is wrong, where, what was done about it and what mends it."""

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
    issues: list[Issue]
    image_sizes: pd.DataFrame = field(repr=False)  # width, height, count: pixels, most frequent size first
    text_lengths: dict[str, float]  # characters: min, median, mean, max

    def to_dict(self) -> dict:
        """All of it as plain literals, ready for JSON (image sizes as a list of {width, height, count})."""
        shallow = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return shallow | {
            "issues": [asdict(issue) for issue in self.issues],
            "image_sizes": self.image_sizes.to_dict("records"),
        }

    def to_frame(self) -> pd.DataFrame:
        """A tidy table to look at: columns check (str), count (int), detail (str), one row a check."""
        sizes, length = self.image_sizes, self.text_lengths
        span = ""
        if len(sizes):
            span = (
                f"{sizes.width.min()} to {sizes.width.max()} px wide, {sizes.height.min()} to {sizes.height.max()} high"
            )
        shares = ", ".join(f"{name} {count / self.n_labelled:.1%}" for name, count in self.label_counts.items())
        charsets = ", ".join(f"{name} {count}" for name, count in self.encodings.items())
        actions = Counter(issue.action for issue in self.issues)
        rows = [
            ("labelled pairs", self.n_labelled, shares),
            ("test pairs", self.n_test, "no label; answered in the order of the file"),
            ("texts", sum(self.encodings.values()), charsets),
            ("text length", round(length["median"]), f"median; {length['min']:.0f} to {length['max']:.0f} characters"),
            ("image sizes", len(sizes), span),
            ("twin groups", self.twin_groups, f"{self.twin_pairs} pairs"),
            ("twins in text", self.twins_in_text, "pairs whose words another pair has too"),
            ("twins in image", self.twins_in_image, "pairs whose picture another pair has too, or nearly"),
            ("label conflicts", self.label_conflicts, "twin groups whose labels disagree"),
            ("test twins", self.test_twins, "test pairs with a labelled twin"),
            ("orphans", len(self.orphans), _first(self.orphans)),
            ("issues", len(self.issues), ", ".join(f"{count} {action}" for action, count in actions.items())),
        ]
        return pd.DataFrame(rows, columns=["check", "count", "detail"])


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
    health: Health = field(repr=False)
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
        return _class_numbers(self.labelled[LABEL])

    def _where(self, *splits: str) -> pd.DataFrame:
        return self.pairs[self.pairs[SPLIT].isin(splits)].reset_index(drop=True)


# ---------------------------------------------------------------------------------------------------- reading


def read_course(root: Path | str, *, seed: int = 0, dev_share: float = DEV_SHARE, strict: bool = False) -> Course:
    """Read and judge a course folder and split its labelled pairs, twin-aware and stratified, by seed.

    Faults of the tables (a missing file, a wrong header, a duplicate guid, an unknown label, ...) raise CourseError
    with file, line and fix. A labelled pair without a readable text and image is left out and listed in
    `health.issues`; a test pair is answered from what it has, and one that has neither raises CourseError.
    `strict` turns every listed issue into a CourseError. Explained in notebook 01, sections 1 to 5.
    """
    if not 0 < dev_share < 1:
        raise CourseError(f"dev_share={dev_share!r} is out of range: it must be above 0 and below 1.")
    root = Path(root).expanduser()
    try:
        data = _find_parts(root)
        rows = _read_rows(root)
        names = {entry.name for entry in os.scandir(data) if not entry.name.startswith(".")}
    except OSError as error:
        raise CourseError(
            f"{error.filename or root}: cannot be read ({error.strerror}). Check the rights to it."
        ) from None
    texts = _in_threads(lambda row: _read_text(data, row.guid, names), rows)
    images = _read_images(data, [row.guid for row in rows], names)

    kept, issues = _judge_pairs(root, list(zip(rows, texts, images, strict=True)))
    if strict and issues:
        listed = _first([str(issue) for issue in issues], separator="\n  ")
        raise CourseError(f"{root}: {len(issues)} files cannot be used:\n  {listed}")
    if not any(row.label for row, _, _ in kept):
        listed = _first([str(issue) for issue in issues], separator="\n  ")
        raise CourseError(f"{root}: no labelled pair has both a readable text and a readable image.\n  {listed}")

    frame = _pairs_frame(kept)
    by_text = _text_links([text for _, text, _ in kept])
    by_image = _image_links([image for _, _, image in kept])
    frame[TWIN] = _connect(len(frame), by_text + by_image)
    frame[SPLIT] = _dev_split(root, frame, seed, dev_share)
    orphans = sorted(names - {f"{row.guid}{suffix}" for row in rows for suffix in (".txt", ".jpg")})
    return Course(
        root=root,
        pairs=frame,
        health=_judge_course(frame, by_text, by_image, orphans, issues),
        seed=seed,
        fingerprint=_fingerprint(frame),
        split_hash=hashlib.sha256(_split_csv(frame).encode()).hexdigest(),
    )


@dataclass(frozen=True)
class _Row:
    guid: str
    label: str | None
    place: str  # "train.txt line 12", as an editor counts


@dataclass(frozen=True)
class _Text:
    file: str
    text: str = ""
    encoding: str = ""
    digest: str = ""
    problem: str = ""
    fix: str = ""


@dataclass(frozen=True)
class _Image:
    file: str
    path: str = ""
    digest: str = ""
    facts: np.void | None = None
    problem: str = ""
    fix: str = ""


def _find_parts(root: Path) -> Path:
    layout = f"It must hold {TRAIN_FILE}, {TEST_FILE} and the folder {DATA_FOLDER}/."
    if not root.exists():
        raise CourseError(f"{root}: there is no such folder. Give the path of the course folder. {layout}")
    if not root.is_dir():
        raise CourseError(f"{root}: this is a file, not a course folder. Unpack it or give its folder. {layout}")
    for name in (TRAIN_FILE, TEST_FILE):
        if not (root / name).is_file():
            near = [folder for folder in (root.parent, *sorted(root.iterdir())) if (folder / TRAIN_FILE).is_file()]
            hint = f" Did you mean {near[0]}?" if near and name == TRAIN_FILE else ""
            raise CourseError(f"{root / name}: the file is missing.{hint} {layout}")
    if not (root / DATA_FOLDER).is_dir():
        raise CourseError(
            f"{root / DATA_FOLDER}: the folder is missing. {layout} Put each pair there as <guid>.txt and <guid>.jpg."
        )
    return root / DATA_FOLDER


def _read_rows(root: Path) -> list[_Row]:
    rows, faults, seen = [], {}, {}
    for name in (TRAIN_FILE, TEST_FILE):
        labelled = name == TRAIN_FILE
        for line, cells in _read_table(root / name):
            fault = _row_fault(cells, labelled)
            if not fault and cells[0] in seen:
                fault = ("guid twice", f"{cells[0]!r} is already in {seen[cells[0]]}", "Keep one row for each guid.")
            if fault:
                kind, what, fix = fault
                faults.setdefault((name, kind, fix), []).append(f"line {line}: {what}")
                continue
            seen[cells[0]] = f"{name} line {line}"
            rows.append(_Row(cells[0], cells[1] if labelled else None, f"{name} line {line}"))
    if faults:
        lines = [
            f"{root / name}: {kind}: {_first(found, separator='; ')}. {fix}"
            for (name, kind, fix), found in faults.items()
        ]
        raise CourseError("\n".join(lines))
    if not any(row.label for row in rows):
        raise CourseError(f"{root / TRAIN_FILE}: no rows below the header. Add one line guid,label for each pair.")
    return rows


def _read_table(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, stripped cells) of each row below the header that is not blank."""
    raw = _read_bytes(path)
    if not raw.strip():
        raise CourseError(f"{path}: the file is empty. Its first line must be {HEADER!r}.")
    text, _ = decode_text(raw, path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header = [cell.strip() for cell in lines[0].split(",")]
    if header != [GUID, TAG]:
        hint = ""
        if ";" in lines[0] or "\t" in lines[0]:
            hint = " Separate the columns with a comma."
        elif len(header) == 2 and header[1] in (*LABELS, NO_LABEL):
            hint = " The header is missing: add it as line 1."
        raise CourseError(f"{path}, line 1: the header is {lines[0][:80]!r}, it must be {HEADER!r}.{hint}")
    table = [(number, [cell.strip() for cell in line.split(",")]) for number, line in enumerate(lines, 1)]
    return [(number, cells) for number, cells in table[1:] if cells != [""]]


def _row_fault(cells: list[str], labelled: bool) -> tuple[str, str, str] | None:
    """(kind, what, fix) of a row that cannot be used."""
    if len(cells) != 2:
        return "not two columns", f"{','.join(cells)[:60]!r}", "Write guid,tag: two values with one comma between them."
    guid, tag = cells
    if fault := _guid_fault(guid):
        return fault
    if labelled and tag == NO_LABEL:
        return "no label", f"guid {guid!r} has {NO_LABEL!r}", f"Give it a label or move the row to {TEST_FILE}."
    if labelled and tag not in LABELS:
        what = f"guid {guid!r} has {tag!r}.{suggest(tag.lower(), LABELS)}"
        return "unknown label", what.rstrip("."), f"Labels are {', '.join(LABELS)}, in lower case."
    if not labelled and tag != NO_LABEL:
        return (
            "a label in the test file",
            f"guid {guid!r} has {tag!r}",
            f"Write {NO_LABEL!r}, or move the row to {TRAIN_FILE}.",
        )
    return None


def _guid_fault(guid: str) -> tuple[str, str, str] | None:
    if not guid:
        return "no guid", "there is nothing before the comma", f"Give each row the name of its files in {DATA_FOLDER}/."
    if guid[0] == "." or any(sign in '/\\:*?"<>|,' or not sign.isprintable() for sign in guid):
        fix = "A guid names files in data/: no path, no quotes, no dot in front, none of / \\ : * ? < > | and no comma."
        return "guid is no file name", f"{guid!r}", fix
    return None


def _read_bytes(path: Path | str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _in_threads(read: Callable, items: list) -> list:
    """`read` of each item, in order; 32 items a task, because a task costs as much as reading a cached file."""
    with ThreadPoolExecutor(_READERS) as pool:
        parts = pool.map(lambda start: [read(item) for item in items[start : start + 32]], range(0, len(items), 32))
        return [result for part in parts for result in part]


def _absent(name: str, names: set[str]) -> tuple[str, str]:
    """(problem, fix) for a file that is not there, with a look at what lies beside it."""
    stem, suffix = os.path.splitext(name)
    others = {".jpg": (".jpeg", ".png", ".webp", ".gif"), ".txt": (".text",)}[suffix]
    near = [other for other in names if other.lower() in {name.lower(), *(stem.lower() + end for end in others)}]
    if not near:
        return "the file is missing", f"Put {name} into data/ or remove the row."
    how = "rename" if min(near).lower().endswith((suffix, ".jpeg", ".text")) else "convert"
    return f"the file is missing, but {min(near)} is there", f"Please {how} it to {name}."


def _read_text(data: Path, guid: str, names: set[str]) -> _Text:
    name = f"{guid}.txt"
    file = f"{DATA_FOLDER}/{name}"
    if name not in names:
        problem, fix = _absent(name, names)
        return _Text(file, problem=problem, fix=fix)
    try:
        raw = _read_bytes(f"{data}{os.sep}{name}")
        text, encoding = decode_text(raw, file)
    except OSError as error:
        return _Text(file, problem=f"cannot be read ({error.strerror})", fix="Make the file readable.")
    except CourseError as error:
        problem, _, fix = str(error).removeprefix(f"{file}: ").partition(". ")
        return _Text(file, problem=problem, fix=fix)
    if not text.strip():
        return _Text(file, problem="the text is empty", fix="Write the text of the pair or remove the row.")
    text = text.strip()
    return _Text(file, text, encoding, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def _read_images(data: Path, guids: list[str], names: set[str]) -> list[_Image]:
    from PIL import ImageFile

    known = _load_facts()

    def read(guid: str) -> _Image:
        return _read_image(data, guid, names, known)

    tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        images = _in_threads(read, guids)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant
    fresh = {image.facts["digest"].item(): image.facts for image in images if image.facts is not None}
    if fresh.keys() - known.keys():
        _save_facts(known | fresh)
    return images


def _read_image(data: Path, guid: str, names: set[str], known: dict[bytes, np.void]) -> _Image:
    name = f"{guid}.jpg"
    file = f"{DATA_FOLDER}/{name}"
    if name not in names:
        problem, fix = _absent(name, names)
        return _Image(file, problem=problem, fix=fix)
    try:
        raw = _read_bytes(f"{data}{os.sep}{name}")
    except OSError as error:
        return _Image(file, problem=f"cannot be read ({error.strerror})", fix="Make the file readable.")
    digest = hashlib.sha256(raw)
    facts = known.get(digest.digest())
    if facts is None:
        try:
            facts = _look_at_image(raw, digest.digest())
        except Exception as error:  # Pillow's decoders raise many kinds; whichever it is, the picture is unusable
            fix = "Fetch the picture again or remove the row."
            return _Image(file, problem=f"the image cannot be decoded ({_plain(error)})", fix=fix)
    return _Image(file, f"{data}{os.sep}{name}", digest.hexdigest(), facts)


def _plain(error: Exception) -> str:
    text = str(error).split("<_io")[0].strip()  # "cannot identify image file <_io.BytesIO object at 0x...>"
    return text or type(error).__name__


def _look_at_image(raw: bytes, digest: bytes) -> np.void:
    """Decode a whole image, reduced where the decoder can, and note what twins are found by (dtype _FACTS)."""
    from PIL import Image

    if not raw:
        raise OSError("the file is empty")
    image = open_image(io.BytesIO(raw))
    width, height = image.size
    # A download cut short and padded with zeros decodes without complaint, but its last scan has no end marker.
    if image.format == "JPEG" and raw.rfind(b"\xff\xd9") < raw.rfind(b"\xff\xda"):
        raise OSError("the image is truncated")
    image.draft("RGB", (128, 128))  # coarser is hardly faster and moves the hash by as much again
    image = image.convert("RGB")
    grey = np.asarray(image.convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    colours = np.asarray(image.resize((8, 8), Image.Resampling.BOX))
    steps = np.diff(grey, axis=1)  # (16, 16): brighter or darker than the neighbour to the left
    facts = np.zeros((), dtype=_FACTS)
    facts["digest"], facts["width"], facts["height"] = np.void(digest), width, height
    facts["steps"] = np.count_nonzero(np.abs(steps) > 1)
    facts["hash"] = np.packbits(steps > 0).view("<u8")
    facts["colours"] = colours.ravel()
    return facts[()]


def _facts_file() -> Path:
    from PIL import __version__

    # Another decoder may give other hashes, and so does another `_look_at_image`: raise FACTS_VERSION with it.
    return cache_folder("images") / f"facts-{FACTS_VERSION}-pillow-{__version__}.bin"


def _load_facts() -> dict[bytes, np.void]:
    """What is known of images, by the sha256 of their bytes. Only good images are kept: bad ones are tried again."""
    try:
        raw = _read_bytes(_facts_file())
    except OSError:
        return {}
    body = raw[32:]
    if hashlib.sha256(body).digest() != raw[:32] or len(body) % _FACTS.itemsize:
        return {}  # torn or foreign: compute everything again
    facts = np.frombuffer(body, dtype=_FACTS)
    return dict(zip(facts["digest"].tolist(), facts, strict=True))


def _save_facts(known: dict[bytes, np.void]) -> None:
    body = np.array(list(known.values()), dtype=_FACTS).tobytes()
    with suppress(OSError):  # a full or read-only disk costs the next reading a few seconds, no more
        write_atomic(_facts_file(), hashlib.sha256(body).digest() + body)


def _judge_pairs(root: Path, trios: list[tuple[_Row, _Text, _Image]]) -> tuple[list, list[Issue]]:
    """The pairs that stay, as they came, and what is wrong with the others."""
    kept, issues, hopeless = [], [], []
    for row, text, image in trios:
        bad = [part for part in (text, image) if part.problem]
        action = EXCLUDED if row.label else FROM_IMAGE if text.problem else FROM_TEXT
        issues += [Issue(row.guid, part.file, part.problem, action, row.place, part.fix) for part in bad]
        if row.label is None and len(bad) == 2:
            hopeless.append(
                f"{row.place}: guid {row.guid!r}: {'; '.join(f'{part.file}: {part.problem}' for part in bad)}"
            )
        elif not (row.label and bad):
            kept.append((row, text, image))
    if hopeless:
        raise CourseError(
            f"{root / TEST_FILE}: {len(hopeless)} pairs have nothing to predict from:\n  "
            f"{_first(hopeless, separator=chr(10) + '  ')}\nPut the files into {DATA_FOLDER}/ or remove the rows."
        )
    return kept, issues


def _pairs_frame(kept: list[tuple[_Row, _Text, _Image]]) -> pd.DataFrame:
    rows, texts, images = zip(*kept, strict=True)
    side = {name: [0 if i.facts is None else int(i.facts[name]) for i in images] for name in ("width", "height")}
    return pd.DataFrame(
        {
            GUID: pd.Series([row.guid for row in rows], dtype="str"),
            LABEL: pd.Series([row.label for row in rows], dtype=object),  # object keeps None: no label is not NaN
            TEXT: pd.Series([text.text for text in texts], dtype="str"),
            ENCODING: pd.Series([text.encoding for text in texts], dtype="str"),
            IMAGE: pd.Series([image.path for image in images], dtype="str"),
            **side,
            "text_digest": pd.Series([text.digest for text in texts], dtype="str"),
            "image_digest": pd.Series([image.digest for image in images], dtype="str"),
            "has_text": [not text.problem for text in texts],
            "has_image": [not image.problem for image in images],
        }
    )


def _class_numbers(labels: Iterable[str]) -> np.ndarray:
    return np.array([LABELS.index(label) for label in labels], dtype=np.int8)


def _fingerprint(frame: pd.DataFrame) -> str:
    columns = [GUID, LABEL, "text_digest", "image_digest"]
    lines = "\n".join(",".join(map(str, row)) for row in frame[columns].itertuples(index=False))
    return hashlib.sha256(lines.encode()).hexdigest()


def _first(items: Sequence[str], separator: str = ", ") -> str:
    """The first few of many, and how many more there are."""
    more = f"{separator}and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return separator.join(items[:SHOWN]) + more


# ------------------------------------------------------------------------------------------------------ twins


def _text_links(texts: list[_Text]) -> list[tuple[int, int]]:
    """Pairs of positions with the same words."""
    first, links = {}, []
    for position, text in enumerate(texts):
        words = normalise_for_twins(text.text)
        if words and first.setdefault(words, position) != position:
            links.append((first[words], position))
    return links


def _image_links(images: list[_Image]) -> list[tuple[int, int]]:
    """Pairs of positions with the same or nearly the same image.

    Nearly the same means: at most HASH_BITS_APART of the 256 bits "brighter than the neighbour" differ, and the 8 × 8
    mean colours are at most COLOUR_LEVELS_APART of 255 apart on average. The second keeps drawings of one shape in
    two colours apart. An image with fewer than STEPS_NEEDED visible steps (a plain colour, a line of print) has a hash
    of noise: such images are twins only when their bytes are equal.
    """
    first, links, candidates = {}, [], []
    for position, image in enumerate(images):
        if image.digest and first.setdefault(image.digest, position) != position:
            links.append((first[image.digest], position))
        elif image.digest and image.facts["steps"] >= STEPS_NEEDED:
            candidates.append(position)
    if not candidates:
        return links
    facts = np.array([images[position].facts for position in candidates], dtype=_FACTS)
    hashes, colours = facts["hash"], facts["colours"].astype(np.int16)
    for start in range(0, len(facts), 256):
        block = hashes[start : start + 256]
        apart = np.zeros((len(block), len(hashes) - start), dtype=np.uint16)  # 256 bits do not fit the counts' uint8
        for word in range(hashes.shape[1]):
            apart += np.bitwise_count(block[:, None, word] ^ hashes[None, start:, word])
        left, right = (side + start for side in np.nonzero(np.triu(apart <= HASH_BITS_APART, 1)))
        alike = np.abs(colours[left] - colours[right]).mean(axis=1) <= COLOUR_LEVELS_APART
        links += [(candidates[a], candidates[b]) for a, b in zip(left[alike], right[alike], strict=True)]
    return links


def _connect(n: int, links: list[tuple[int, int]]) -> np.ndarray:
    """Group numbers 0, 1, ... in order of first appearance, (n,) int64: linked positions share one, transitively."""
    parent = list(range(n))

    def top(position: int) -> int:
        while parent[position] != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    for link in links:
        first, second = sorted(map(top, link))
        parent[second] = first
    return pd.factorize(np.array([top(position) for position in range(n)], dtype=np.int64))[0]


def _in_a_group(n: int, links: list[tuple[int, int]]) -> int:
    groups = _connect(n, links)
    return int((np.bincount(groups, minlength=1)[groups] > 1).sum())


def _judge_course(frame, by_text, by_image, orphans: list[str], issues: list[Issue]) -> Health:
    labelled = frame[frame[SPLIT] != "test"]
    test = frame[frame[SPLIT] == "test"]
    size = frame.groupby(TWIN).size()
    counts = labelled[LABEL].value_counts()
    lengths = frame.loc[frame.has_text, TEXT].str.len()
    sizes = frame.loc[frame.has_image, ["width", "height"]].value_counts().reset_index(name="count")
    return Health(
        n_labelled=len(labelled),
        n_test=len(test),
        label_counts={label: int(counts.get(label, 0)) for label in LABELS},
        encodings={name: int(n) for name, n in frame.loc[frame.has_text, ENCODING].value_counts().items()},
        twin_groups=int((size > 1).sum()),
        twin_pairs=int(size[size > 1].sum()),
        twins_in_text=_in_a_group(len(frame), by_text),
        twins_in_image=_in_a_group(len(frame), by_image),
        label_conflicts=int((labelled.groupby(TWIN)[LABEL].nunique() > 1).sum()),
        test_twins=int(test[TWIN].isin(labelled[TWIN]).sum()),
        orphans=orphans,
        issues=issues,
        image_sizes=sizes.sort_values(["count", "width", "height"], ascending=[False, True, True], ignore_index=True),
        text_lengths={how: round(float(getattr(lengths, how)()), 1) for how in ("min", "median", "mean", "max")},
    )


# ------------------------------------------------------------------------------------------------------ split


def split_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold numbers 0 .. folds-1 of any set of pairs, (n,) int8: no twin group in two folds, class shares kept.

    labels (n,) class numbers or names, groups (n,) twin ids. Raises CourseError when a class has fewer twin groups than
    there are folds. The idea is that of scikit-learn's StratifiedGroupKFold (large groups first, each where it is
    missed most), written for thousands of small groups: on 3,200 pairs 20 ms instead of 1 s, and the folds' class
    counts come out equal to within a pair or so where twin groups are small. Explained in notebook 01, section 5.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    if not 2 <= folds <= 127:
        raise CourseError(f"folds={folds!r} is out of range: it must be 2 to 127.")
    if len(labels) != len(groups):
        raise CourseError(f"{len(labels)} labels but {len(groups)} twin ids: they must belong to the same pairs.")
    for label in np.unique(labels):
        found = len(np.unique(groups[labels == label]))
        if found < folds:
            name = LABELS[label] if isinstance(label, np.integer) and 0 <= label < len(LABELS) else label
            raise CourseError(
                f"{name}: {found} independent pairs cannot be dealt to {folds} folds. Use at most {found} folds, "
                f"or add pairs with this label to {TRAIN_FILE}."
            )
    return _deal(labels, groups, np.full(folds, 1 / folds), seed)


def _deal(labels: np.ndarray, groups: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Deal whole groups to piles of the given shares, (n,) int8: large groups first, then in an order drawn by seed."""
    classes, numbers = np.unique(labels, return_inverse=True)
    ids, members = np.unique(groups, return_inverse=True)
    content = np.zeros((len(ids), len(classes)), dtype=np.int64)
    np.add.at(content, (members, numbers), 1)
    random = np.random.default_rng(seed)
    order = random.permutation(len(ids))
    order = order[np.argsort(-content[order].sum(axis=1), kind="stable")]
    preference = random.permutation(len(shares)).tolist()
    wanted = (shares[:, None] * content.sum(axis=0)).tolist()  # (piles, classes)
    room = (shares * len(labels)).tolist()
    held = [[0] * len(classes) for _ in shares]
    total = [0] * len(shares)
    pile_of = np.zeros(len(ids), dtype=np.int8)
    for group in order.tolist():
        counts = content[group].tolist()
        present = [(c, count) for c, count in enumerate(counts) if count]
        size = sum(counts)
        # The pile that is least full afterwards, judged by its fullest class; then by size, then by the drawn order.
        best = min(
            preference,
            key=lambda p: (max((held[p][c] + k) / wanted[p][c] for c, k in present), (total[p] + size) / room[p]),
        )
        for c, count in present:
            held[best][c] += count
        total[best] += size
        pile_of[group] = best
    return pile_of[members]


def _dev_split(root: Path, frame: pd.DataFrame, seed: int, dev_share: float) -> list[str]:
    labelled = frame[LABEL].notna().to_numpy()
    labels = _class_numbers(frame.loc[labelled, LABEL])
    dev = _deal(labels, frame.loc[labelled, TWIN].to_numpy(), np.array([1 - dev_share, dev_share]), seed) == 1
    for number, label in enumerate(LABELS):
        here = labels == number
        if not here.any() or not (here & dev).any() or not (here & ~dev).any():
            enough = int(np.ceil(1 / min(dev_share, 1 - dev_share)))
            raise CourseError(
                f"{root / TRAIN_FILE}: {here.sum()} usable pairs with the label {label!r} are too few to split into "
                f"train and dev with dev_share={dev_share:g}. Add pairs: at least {enough} of each label that are not "
                "twins of one another."
            )
    return np.where(dev, "dev", "train").tolist() + ["test"] * int((~labelled).sum())


def random_split_leak(course: Course, seed: int = 0, dev_share: float = DEV_SHARE) -> float:
    """The share of dev pairs that would have a twin in train if the split ignored twins, 0 to 1.

    Explained in notebook 01, section 5.
    """
    twins = course.labelled[TWIN].to_numpy()
    order = np.random.default_rng(seed).permutation(len(twins))
    n_dev = max(1, round(dev_share * len(twins)))
    return float(np.isin(twins[order[:n_dev]], twins[order[n_dev:]]).mean())


def save_split(course: Course, path: Path | str) -> Path:
    """Write which pair is in which split (columns guid, split, twin; one row a pair) and return the path."""
    return _write(path, _split_csv(course.pairs))


def _write(path: Path | str, body: str) -> Path:
    try:
        return write_atomic(path, body)
    except OSError as error:
        raise CourseError(f"{path}: cannot be written ({error.strerror}). Give a path you may write to.") from None


def _split_csv(frame: pd.DataFrame) -> str:
    return frame[[GUID, SPLIT, TWIN]].to_csv(index=False, lineterminator="\n")


# ------------------------------------------------------------------------------------------------ predictions


@dataclass(frozen=True, eq=False)
class Verification:
    """What is wrong (problems) or odd (warnings) about a prediction file.

    shares: columns label, train_share and file_share (0 to 1), one row for each of LABELS.
    """

    problems: list[str]
    warnings: list[str]
    shares: pd.DataFrame = field(repr=False)

    @property
    def ok(self) -> bool:
        """True when there is no problem; warnings may remain."""
        return not self.problems


def write_predictions(path: Path | str, guids: Iterable[str], labels: Iterable[str]) -> Path:
    """Write a prediction file (header `guid,tag`, rows in the order given), whole or not at all; returns its path.

    Raises CourseError for a label outside LABELS, a guid given twice and lists of different length.
    """
    guids, labels = [str(guid) for guid in guids], list(labels)
    if len(guids) != len(labels):
        raise CourseError(f"{path}: {len(guids)} guids but {len(labels)} labels. Give one label for each guid.")
    for row, (guid, label) in enumerate(zip(guids, labels, strict=True), 2):
        if label not in LABELS:
            raise CourseError(f"{path}, line {row}: guid {guid!r} has {label!r}. Labels are {', '.join(LABELS)}.")
        if fault := _guid_fault(guid):
            raise CourseError(f"{path}, line {row}: {': '.join(fault[:2])}. {fault[2]}")
    if len(set(guids)) < len(guids):
        twice = [guid for guid, count in Counter(guids).items() if count > 1]
        raise CourseError(f"{path}: guid given more than once: {_first(twice)}. Give each guid one label.")
    body = "".join(f"{guid},{label}\n" for guid, label in zip(guids, labels, strict=True))
    return _write(path, f"{HEADER}\n{body}")


def verify_predictions(path: Path | str, course: Course, siblings: Iterable[Path | str] = ()) -> Verification:
    """Judge a prediction file before it is handed in: header, guids and their order, labels, class shares.

    Class shares far from the training shares are a warning; one class only, and the same answers as in one of
    `siblings` (files of other scenarios), are problems. Raises CourseError when a file is missing or cannot be read.
    Explained in notebook 04.
    """
    path = Path(path)
    rows, problems, warnings = _read_predictions(path)
    expected = course.test[GUID].tolist()
    if rows is not None:
        problems += _guid_problems([(line, guid) for line, guid, _ in rows], expected)
        problems += _label_problems(rows)
    shares = _class_shares(course, [tag for _, _, tag in rows or []])
    if rows and not problems:
        _judge_shares(shares, len(rows), problems, warnings)
    for sibling in map(Path, siblings):
        if rows and sibling.resolve() != path.resolve():
            other = _read_predictions(sibling)[0]
            if other is not None and [row[1:] for row in other] == [row[1:] for row in rows]:
                problems.append(f"Every answer is the same as in {sibling}: two scenarios should differ somewhere.")
    return Verification(problems, warnings, shares)


def _read_predictions(path: Path) -> tuple[list[tuple[int, str, str]] | None, list[str], list[str]]:
    """((line, guid, tag) rows or None when there is no table, problems, warnings)."""
    if not path.is_file():
        raise CourseError(f"{path}: there is no such file. Give the path of a prediction file.")
    try:
        raw = _read_bytes(path)
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}). Make the file readable.") from None
    if not raw.strip():
        return None, [f"The file is empty. Its first line must be {HEADER!r}."], []
    warnings = ["The file starts with a byte-order mark; save it as plain UTF-8."] if raw[:3] == b"\xef\xbb\xbf" else []
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return None, [f"Line {line}: byte {error.start} is not UTF-8. Save the file as UTF-8."], []
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != HEADER:
        return None, [f"Line 1: the header is {lines[0][:80]!r}, it must be {HEADER!r}."], warnings
    rows, odd = [], []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 2:
            rows.append((number, *cells))
        else:
            odd.append(f"line {number}: {line[:60]!r}")
    return rows, [f"Not two columns: {_first(odd, '; ')}. Write guid,tag."] if odd else [], warnings


def _guid_problems(found: list[tuple[int, str]], expected: list[str]) -> list[str]:
    wanted, seen, problems = set(expected), {}, []
    twice, strange = [], []
    for line, guid in found:
        if guid in seen:
            twice.append(f"line {line}: {guid!r}, first on line {seen[guid]}")
        elif guid not in wanted:
            strange.append(f"line {line}: {guid!r}")
        seen.setdefault(guid, line)
    missing = [guid for guid in expected if guid not in seen]
    if strange:
        problems.append(f"{len(strange)} guids are not in {TEST_FILE}: {_first(strange, '; ')}. Remove these rows.")
    if twice:
        problems.append(f"{len(twice)} guids are answered twice: {_first(twice, '; ')}. Keep one row for each.")
    if missing:
        problems.append(f"{len(missing)} of {len(expected)} guids are not answered: {_first(missing)}. Add their rows.")
    if not problems:
        wrong = [(line, guid, due) for (line, guid), due in zip(found, expected, strict=True) if guid != due]
        if wrong:
            line, guid, due = wrong[0]
            problems.append(
                f"{len(wrong)} rows are out of order, the first on line {line}: {guid!r} where {due!r} is due. "
                f"Keep the order of {TEST_FILE}."
            )
    return problems


def _label_problems(rows: list[tuple[int, str, str]]) -> list[str]:
    wrong = [
        f"line {line}: guid {guid!r} has {tag!r}.{suggest(tag.lower(), LABELS)}"
        for line, guid, tag in rows
        if tag not in LABELS
    ]
    return [f"{len(wrong)} labels are not legal: {_first(wrong, '; ')} Use {', '.join(LABELS)}."] if wrong else []


def _class_shares(course: Course, tags: list[str]) -> pd.DataFrame:
    counts, train = Counter(tags), course.health.label_counts
    return pd.DataFrame(
        {
            LABEL: LABELS,
            "train_share": [train[label] / course.health.n_labelled for label in LABELS],
            "file_share": [counts[label] / len(tags) if tags else 0.0 for label in LABELS],
        }
    )


def _judge_shares(shares: pd.DataFrame, n: int, problems: list[str], warnings: list[str]) -> None:
    absent = shares.loc[shares.file_share == 0, LABEL].tolist()
    if len(absent) == len(LABELS) - 1:
        only = shares.loc[shares.file_share > 0, LABEL].item()
        # A handful of pairs may well be all of one class; ten or more hardly.
        (problems if n >= 10 else warnings).append(f"All {n} answers are {only!r}: the model tells nothing apart.")
        return
    if absent and n >= 10:
        warnings.append(f"Never answered: {', '.join(absent)}.")
    # Half the summed differences; models shun the rare class (0.1), small files differ by chance.
    distance = float(np.abs(shares.train_share - shares.file_share).sum() / 2)
    if distance > 0.15 + 0.6 / np.sqrt(n):
        compared = ", ".join(f"{r.label} {r.file_share:.0%} (train {r.train_share:.0%})" for r in shares.itertuples())
        warnings.append(f"The class shares are far from the training shares: {compared}. Are labels swapped?")

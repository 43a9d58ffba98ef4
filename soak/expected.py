"""Compare what was read from a damaged folder with what its damages declare."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from mmlab.images import read_rgb
from soak.course import TEST, Damaged, Pair


def expect(damaged: Damaged) -> dict[str, Any]:
    """Which pairs are kept, and what is listed; where nothing is left to learn or answer from, one more refusal."""
    kept, issues = [], []
    for pair in damaged.pairs:
        bad = [suffix for suffix in (".txt", ".jpg") if pair.fault(suffix)]
        if pair.label is None and len(bad) == 2:
            damaged.refuse(TEST, "nothing to predict from", "Put the files into data/ or remove the rows")
        for suffix in bad:
            action = "excluded" if pair.label else f"answered from the {'image' if suffix == '.txt' else 'text'} alone"
            issues.append((pair.guid, f"data/{pair.guid}{suffix}", action, pair.place))
        if not (pair.label and bad):
            kept.append(pair)
    if not any(pair.label for pair in kept):
        damaged.refuse("", "no labelled pair has both", "Mend these files first")
    return {"kept": kept, "issues": issues}


def differences(course: Any, printed: str, damaged: Damaged) -> list[str]:
    """What is wrong with a course that was read, in words; none where everything is as declared."""
    return list(_differences(course, printed, damaged))


def _differences(course: Any, printed: str, damaged: Damaged) -> Iterator[str]:
    if damaged.refusals:
        yield f"read, although {damaged.refusals[0]} is to be refused"
        return
    with_image = set(course.pairs.guid[course.pairs.has_image])
    for pair in damaged.pairs:
        if pair.either and pair.guid in with_image:
            pair.image_fault = ""
    expected = expect(damaged)
    if damaged.refusals:
        yield f"read, although {damaged.refusals[0]} is to be refused"
        return
    kept, rows = expected["kept"], course.pairs
    if rows.guid.tolist() != [pair.guid for pair in kept]:
        yield f"pairs {sorted(set(rows.guid) ^ {pair.guid for pair in kept})} differ, or their order"
        return
    for pair, row in zip(kept, rows.to_dict("records"), strict=True):
        yield from _compare_pair(pair, row, damaged)
    yield from _compare_health(course.health, expected, damaged)
    yield from _compare_split(rows, damaged)
    yield from _compare_output(printed, course.health, damaged)


def _compare_pair(pair: Pair, row: dict[str, Any], damaged: Damaged) -> Iterator[str]:
    if row["label"] != pair.label:
        yield f"{pair.guid}: label {row['label']!r}"
    if row["has_text"] == bool(pair.text_fault) or row["has_image"] == bool(pair.image_fault):
        yield f"{pair.guid}: has_text {row['has_text']}, has_image {row['has_image']}"
    elif not pair.text_fault and (row["text"], row["encoding"]) != (pair.text, pair.encoding):
        found, due = (row["text"], row["encoding"]), (pair.text, pair.encoding)
        yield f"{pair.guid}: text {found[0][:80]!r} in {found[1]}, {due[0][:80]!r} in {due[1]} is due"
    if pair.image_fault or not row["has_image"] or pair.size is None:
        return
    if (row["width"], row["height"]) != tuple(pair.size):
        yield f"{pair.guid}: {row['width']} × {row['height']} pixels, {pair.size} are due"
    elif pair.picture is not None and pair.guid in damaged.taken:
        found = np.asarray(read_rgb(row["image"]), np.int16)
        apart = float(np.abs(found - pair.picture).mean()) if found.shape == pair.picture.shape else 255.0
        if apart > pair.apart:
            yield f"{pair.guid}: pixels are {apart:.2f} levels apart, {pair.apart} at most"


def _compare_health(health: Any, expected: dict[str, Any], damaged: Damaged) -> Iterator[str]:
    kept, by_guid = expected["kept"], {pair.guid: pair for pair in damaged.pairs}
    labels = Counter(pair.label for pair in kept if pair.label)
    texts = [pair for pair in kept if not pair.text_fault]
    conversions = Counter(name for pair in kept if not pair.image_fault for name in pair.conversions)
    unsure = any(pair.either for pair in kept)  # bytes that were changed may have become an orientation
    counts = {
        "labels": (+Counter(health.label_counts), labels),
        "labelled and test pairs": ([health.n_labelled, health.n_test], [labels.total(), len(kept) - labels.total()]),
        "encodings": (health.encodings, Counter(pair.encoding for pair in texts)),
        "conversions": (health.conversions, conversions if not unsure else health.conversions),
        "doubtful texts": (sorted(health.doubtful), sorted(f"data/{one.guid}.txt" for one in texts if one.doubtful)),
        "orphans": (sorted(health.orphans), sorted(damaged.orphans)),
        "issues": (
            sorted((issue.guid, issue.file, issue.action, issue.row) for issue in health.issues),
            sorted(expected["issues"]),
        ),
    }
    for name, (found, due) in counts.items():
        if found != due:
            yield f"{name}: {str(found)[:300]}, {str(due)[:300]} are due"
    for issue in health.issues:
        fault = by_guid[issue.guid].fault(issue.file[-4:]) if issue.guid in by_guid else ""
        if not re.search(fault, issue.problem):
            yield f"{issue.file}: {issue.problem!r} is listed, {fault!r} is due"
        if not issue.fix.endswith("."):
            yield f"{issue.file}: no fix is listed"


def _compare_split(rows: Any, damaged: Damaged) -> Iterator[str]:
    groups = rows.groupby("twin").guid.agg(set)
    twins = sorted(map(sorted, groups[groups.map(len) > 1]))
    present = set(rows.guid)
    due = sorted(map(sorted, (group for group in (one & present for one in damaged.twins) if len(group) > 1)))
    if twins != due:
        yield f"twins {twins}, {due} are due"
    labelled = rows[rows.label.notna()]
    if set(labelled.split) != {"train", "dev"} or set(rows.split[rows.label.isna()]) - {"test"}:
        yield f"splits {rows.split.tolist()}"
    if (labelled.groupby("twin").split.nunique() > 1).any():
        yield "a twin in train of a pair in dev"


def find_odd(printed: str) -> list[str]:
    """Letters that a terminal would obey, or that change the direction of others."""
    return sorted({one for one in printed if not one.isprintable() and one != "\n"})


def _compare_output(printed: str, health: Any, damaged: Damaged) -> Iterator[str]:
    if odd := find_odd(printed):
        yield f"`check` prints {odd}"
    missing = [issue.file for issue in health.issues if issue.file not in printed]
    if missing:
        yield f"`check` says nothing of {missing[:5]}"

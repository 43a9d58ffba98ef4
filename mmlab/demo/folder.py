"""The demo as a course folder: planned pair by pair, then written whole or not at all."""

import json
from dataclasses import replace
from pathlib import Path

from mmlab.config import LABELS, SCENARIOS
from mmlab.demo import recipe
from mmlab.demo.chance import Chance, chance_for
from mmlab.demo.recipe import DemoPair, joint_table
from mmlab.demo.scenes import draw_images
from mmlab.demo.texts import choose_charset, text_key, write_retweet, write_text
from mmlab.errors import ConfigError, CourseError
from mmlab.storage import draft_folder, expand

MADE_BY = "mmlab.demo"
_LISTS = ("train.txt", "test_without_label.txt")


def plan_demo(seed: int = 0, n_labelled: int = 600, n_test: int = 150) -> list[DemoPair]:
    """Every pair of the demo, the labelled ones first, in the order of its files; nothing is drawn or written.

    The same on every machine. Raises ConfigError for sizes that the recipe cannot fill.
    """
    if not 100 <= n_labelled <= 2000 or not 0 <= n_test <= 1000:
        raise ConfigError(
            f"A demo has 100-2000 labelled and 0-1000 test pairs, not {n_labelled} and {n_test}. Ask for so many."
        )
    chance, charsets, wording = (chance_for(seed, purpose) for purpose in ("pairs", "charsets", "texts"))
    guids = [str(number) for number in chance.shuffled(range(1, 2 * (n_labelled + n_test) + 1))]
    labelled_twins, test_twins = round(n_labelled * recipe.TWIN_SHARE / 100), round(n_test * recipe.TWIN_SHARE / 100)

    pairs, used = [], set()
    for split, n in (("labelled", n_labelled - labelled_twins), ("test", n_test - test_twins)):
        for truth, *cues, given in _draw_cases(chance, n):
            text, encoding = choose_charset(charsets, write_text(wording, cues[0], used))
            pairs.append(DemoPair(guids.pop(), split, truth, given, *cues, text, encoding))

    # A twin copies the true label and both cues, and noise is drawn again: the recipe's shares stay what they are.
    originals = chance.shuffled(pairs[: n_labelled - labelled_twins])[: labelled_twins + test_twins]
    used = {text_key(pair.text) for pair in pairs}
    for number, source in enumerate(originals):
        split = "labelled" if number < labelled_twins else "test"
        same_text, same_image = [(True, True), (True, True), (True, False), (False, True)][number % 4]
        text, encoding = write_retweet(chance, source.text), source.encoding
        if not same_text:
            text, encoding = choose_charset(charsets, write_text(chance, source.text_cue, used))
        given = source.truth
        if chance.random() * 100 < recipe.LABEL_NOISE:
            given = chance.pick([label for label in LABELS if label != given])
        own = {"guid": guids.pop(), "split": split, "given": given}
        same = {"twin_of": source.guid, "same_text": same_text, "same_image": same_image}
        pairs.append(replace(source, text=text, encoding=encoding, **own, **same))

    pairs = chance.shuffled(pairs)
    return [pair for split in ("labelled", "test") for pair in pairs if pair.split == split]


def demo_answers(seed: int = 0, n_labelled: int = 600, n_test: int = 150) -> dict[str, str]:
    """For instructors: guid → label of each test pair, in the file's order, with the same noise as in train.txt."""
    return {pair.guid: pair.given for pair in plan_demo(seed, n_labelled, n_test) if pair.split == "test"}


def _draw_cases(chance: Chance, n: int) -> list[tuple[str, str, str, str]]:
    """n keys of `joint_table`, at even steps from a random start: each count is within one of what is expected."""
    start, total, cases = chance.random(), 0.0, []
    for case, share in joint_table().items():
        total += share
        while len(cases) < n and (len(cases) + start) / n < total:
            cases.append(case)
    cases += [case] * (n - len(cases))  # the shares sum to 1 but for rounding
    return chance.shuffled(cases)


def make_demo(folder: Path | str, *, seed: int = 0, n_labelled: int = 600, n_test: int = 150) -> Path:
    """Write a demo course (train.txt, test_without_label.txt, data/, ceilings.json, README.md) and return its folder.

    The folder appears whole or not at all. An earlier demo is replaced; any other folder that is not empty, and a demo
    to which files were added, is refused with CourseError. Texts and labels are the same on every machine; JPEG bytes
    may differ with the version of Pillow.
    """
    folder = expand(folder).resolve()
    _refuse_foreign(folder)
    if seed < 0:
        raise CourseError(f"seed={seed} is out of range: it must be at least 0.")
    pairs = plan_demo(seed, n_labelled, n_test)
    images = draw_images(pairs, seed)
    with draft_folder(folder, lambda one: False) as new:
        (new / "data").mkdir()
        for name, content in describe_demo(pairs, seed).items():
            (new / name).write_bytes(content.encode("utf-8"))
        for pair in pairs:
            (new / "data" / f"{pair.guid}.txt").write_bytes(pair.text.encode(pair.encoding))
            (new / "data" / f"{pair.guid}.jpg").write_bytes(images[pair.guid])
        _refuse_foreign(folder)  # drawing took a while: look again before anything is moved
    return folder


def _refuse_foreign(folder: Path) -> None:
    """Raise CourseError unless the folder is missing, empty, or a demo with nothing but what `make_demo` wrote."""
    if folder.exists() and not folder.is_dir():
        raise CourseError(f"{folder} is a file. Name a folder for the demo.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    found = {path.relative_to(folder).as_posix() for path in files}
    try:
        made_by = json.loads((folder / "ceilings.json").read_text(encoding="utf-8"))["made_by"]
        rows = [(folder / name).read_text(encoding="utf-8").splitlines()[1:] for name in _LISTS]
    except (OSError, ValueError, KeyError, TypeError):
        made_by = None
    if made_by != MADE_BY:
        raise CourseError(f"{folder} is not empty and is not a demo. Nothing was changed: name another folder.")
    guids = [row.split(",")[0] for part in rows for row in part]
    known = {*_LISTS, "ceilings.json", "README.md", *(f"data/{guid}.{end}" for guid in guids for end in ("txt", "jpg"))}
    if added := sorted(found - known):
        raise CourseError(f"{folder} holds files that are not the demo's ({added[0]}). Nothing was changed: move them.")


def describe_demo(pairs: list[DemoPair], seed: int) -> dict[str, str]:
    """Every file of the folder but those of the pairs: name → text."""
    labelled, test = ([pair for pair in pairs if pair.split == split] for split in ("labelled", "test"))
    facts = _collect_facts(labelled, test, seed)
    return {
        "train.txt": "guid,tag\n" + "".join(f"{pair.guid},{pair.given}\n" for pair in labelled),
        "test_without_label.txt": "guid,tag\n" + "".join(f"{pair.guid},null\n" for pair in test),
        "ceilings.json": json.dumps(facts, indent=2) + "\n",
        "README.md": _write_readme(facts),
    }


def _collect_facts(labelled: list[DemoPair], test: list[DemoPair], seed: int) -> dict:
    shares, cases = recipe.label_shares(), []
    for text in recipe.TEXT_CUES:
        for image in recipe.IMAGE_CUES:
            per_cent = {label: recipe.RECIPE[label].get((text, image), 0) for label in LABELS}
            if any(per_cent.values()):
                cases.append({"text": text, "image": image, **per_cent})
    return {
        "made_by": MADE_BY,
        **recipe.compute_ceilings(),
        "majority": max(shares.values()),
        "label_shares": shares,
        "best_rule_on_the_labelled_pairs": recipe.score_best_rule(labelled),
        "seed": seed,
        "n_labelled": len(labelled),
        "n_test": len(test),
        "twins": {"labelled": sum(bool(pair.twin_of) for pair in labelled), "test": sum(bool(p.twin_of) for p in test)},
        "gb18030": sum(pair.encoding == "gb18030" for pair in [*labelled, *test]),
        "recipe": {
            "label_noise_per_cent": recipe.LABEL_NOISE,
            "true_label_per_cent": recipe.SHARES,
            "cues_per_cent_of_true_label": cases,
        },
    }


def _write_readme(facts: dict) -> str:
    rule, drawn = recipe.best_rule("text_and_image", joint_table()), facts["best_rule_on_the_labelled_pairs"]
    cues = [
        [case["text"], case["image"], *(case[label] or "" for label in LABELS), rule[case["text"], case["image"]]]
        for case in facts["recipe"]["cues_per_cent_of_true_label"]
    ]
    scores = [[name, f"{facts[name]:.3f}", f"{drawn[name]:.3f}"] for name in SCENARIOS]
    tables = ["\n".join(f"| {' | '.join(map(str, row))} |" for row in rows) for rows in (cues, scores)]
    template = Path(__file__).with_name("readme.md").read_text(encoding="utf-8")
    return template.format(tables=tables, shares=recipe.SHARES, noise=recipe.LABEL_NOISE, **facts)

"""What others have reached; what follows, what does not, and where each number comes from."""

import math

from mmlab import plots
from mmlab.config import GRID_PRESETS, LABELS
from mmlab.evaluation import MAJORITY, Interval
from mmlab.report.document import WIDE, Block, Code, Figure, Items, Notice, Paragraph, Table
from mmlab.report.evidence import (
    DATA_NOTEBOOK,
    JOINT,
    MAIN,
    PARTS,
    Evidence,
    differing_answers,
    load_ablated,
    name_setting,
)
from mmlab.report.sections.results import panels_high
from mmlab.report.words import Say
from mmlab.runs import Run
from mmlab.workbook import GRID

# Accuracies that others have reported on MVSA-Single, in per cent, each on one random tenth of its 4,511 pairs. Their
# splits were not published, and twins were not kept together.
PUBLISHED_PAIRS = 451
PUBLISHED = {
    "MultiSentiNet (Xu & Mao 2017)": 69.84,
    "Co-MN-Hop6 (Xu et al. 2018)": 70.51,
    "MGNNS (Yang et al. 2021)": 73.77,
    "CLMLF (Li et al. 2022)": 75.33,
    "MDSE (2024)": 76.22,
}
# What the coursework that this lab replaces reported: its best dev accuracy, on 800 dev pairs. Its data were the 4,511
# pairs of MVSA-Single, with or without labels.
COURSEWORK, COURSEWORK_PAIRS, COURSEWORK_MAJORITY = 58.63, 800, 59.7
COURSEWORK_DATA = 4511
COURSEWORK_GRID = GRID_PRESETS["coursework"]


def others(evidence: Evidence, say: Say) -> list[Block]:
    """Only where the data are those of the coursework and of the papers: numbers on other data compare nothing."""
    main, majority = evidence.main, evidence.runs.get("majority")
    if main is None or majority is None:
        return []
    if main.provenance["n_labelled"] + main.provenance["n_test"] != COURSEWORK_DATA:
        return []
    low, high = share_interval(COURSEWORK / 100, COURSEWORK_PAIRS)
    differ = differing_answers(main).get("text_only")
    theirs = {"theirs": COURSEWORK, "n": COURSEWORK_PAIRS, "low": 100 * low, "high": 100 * high}
    text = say(
        "others.coursework", **theirs, majority=COURSEWORK_MAJORITY,
        ours=say.interval(main.scores[JOINT].accuracy), floor=say.interval(majority.scores[MAJORITY].accuracy),
        differ="—" if differ is None else f"{differ:.1%}",
    )  # fmt: skip
    n = PUBLISHED_PAIRS
    shares = {name: Interval(value / 100, *share_interval(value / 100, n)) for name, value in PUBLISHED.items()}
    lines = [{"model": name, "n": n, "accuracy": say.interval(one)} for name, one in shares.items()]
    joint = evidence.row(MAIN, JOINT)
    candidates = [joint, *(row for row in evidence.further if row.scenario == JOINT)]
    for row in dict.fromkeys((joint, max(candidates, key=lambda row: row.scores.accuracy.value))):
        ours, accuracy = say("others.ours", name=say.row(row)), say.interval(row.scores.accuracy)
        lines.append({"model": ours, "n": row.scores.n, "accuracy": accuracy})
    return [
        Paragraph(text),
        *_show_coursework_grid(evidence, say),
        Table("published", say.frame(lines), say("others.table", n=n)),
        Paragraph(say("others.why", n=main.scores[JOINT].n)),
    ]


def _show_coursework_grid(evidence: Evidence, say: Say) -> list[Block]:
    lr, dropout = COURSEWORK_GRID.values()
    runs = [run for run in evidence.grid if run.config.lr in lr and run.config.dropout in dropout]
    if len({(run.config.lr, run.config.dropout) for run in runs}) < len(lr) * len(dropout):
        return [Notice(say("others.nogrid", command=evidence.grid_command("coursework")))]
    runs.sort(key=lambda run: (run.config.dropout, -run.config.lr))
    panels = [(f"lr {r.config.lr:g}\ndropout {r.config.dropout:g}", r.history, r.best_epochs) for r in runs]
    axes = plots.plot_history_grid(panels, columns=len(lr))
    best = max(runs, key=lambda run: run.scores[JOINT].accuracy.value)
    floor = best.predictions["label"].value_counts(normalize=True).max()
    return [
        Figure("coursework", axes, say("others.grid"), drawn=WIDE, height=panels_high(len(panels), len(lr))),
        Paragraph(say("others.best", accuracy=say.interval(best.scores[JOINT].accuracy), floor=floor)),
    ]


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in n pairs, for numbers of others of which only the share is known."""
    from scipy.stats import binomtest

    found = binomtest(round(share * n), n).proportion_ci(method="wilson")
    return found.low, found.high


def conclusions(evidence: Evidence, say: Say) -> list[Block]:
    items = []
    for one in evidence.comparisons:
        if one.result is not None:
            a, b = (one.b, one.a) if one.better is one.b else (one.a, one.b)
            key = "conclude.open" if one.better is None else "conclude.real"
            apart = one.result.difference if a is one.a else -one.result.difference
            points = say.interval(apart, "+.1f", 100)
            items.append(say(key, a=say.row(a), b=say.row(b), difference=points))
    if evidence.main is not None:
        items.append(_weakest_recall(evidence, say))
    control, majority = evidence.runs.get("shuffle_labels"), evidence.runs.get("majority")
    if control is not None and majority is not None:
        score, floor = control.scores[JOINT].accuracy, majority.scores[MAJORITY].accuracy
        verdict = say("leak.yes" if score.low > floor.value else "leak.no")
        items.append(say("conclude.leak", score=say.interval(score), floor=say.interval(floor), verdict=verdict))
    blocks: list[Block] = [Items(items)] if items else []
    return [*blocks, *(Paragraph(text) for text in say.options.conclusions.strip().split("\n\n") if text)]


def _weakest_recall(evidence: Evidence, say: Say) -> str:
    """The label that the model that answers finds least often, in words."""
    scores, model = evidence.answering.scores[JOINT], say(f"answers.{evidence.answering.config.model}")
    recall = {label: one for label, one in scores.recall.items() if not math.isnan(one.value)}
    label = min(recall, key=lambda name: recall[name].value)
    n = int(scores.confusion[LABELS.index(label)].sum())
    return say("conclude.weakest", label=label, model=model, recall=say.interval(recall[label]), n=n)


def limits(evidence: Evidence, say: Say) -> list[Block]:
    main, record = evidence.main, evidence.records.get(DATA_NOTEBOOK)
    if main is None or record is None:
        return []
    counts = record["health"]["label_counts"]
    label = min(counts, key=counts.get)
    labels = say("limits.labels", conflicts=record["health"]["label_conflicts"])
    rare, split = say("limits.rare", label=label, rare=counts[label]), say("limits.split", seed=main.config.seed)
    return [Items([labels, say("limits.population"), rare, split])]


def provenance(evidence: Evidence, say: Say) -> list[Block]:
    first = evidence.first
    if first is None:
        return []
    keys = {"data": "data_fingerprint", "split": "split_hash", "commit": "commit"}
    origin = {name: (first.provenance[key] or "—")[:16] for name, key in keys.items()}
    entries = []
    for part, run in evidence.runs.items():
        names = [say.row(evidence.row(part, scenario)) for scenario in PARTS[part].scenarios]
        entries.append((", ".join(names), run, evidence.command_of(part)))
    for run in {row.run.id: row.run for row in evidence.further}.values():
        command = evidence.best_command(run) if run == evidence.best else evidence.train_command(run.config)
        entries.append((say(f"provenance.{run.config.model}"), run, command))
    known = {run.id for _, run, _ in entries}
    for name, run in evidence.best.member_runs.items() if evidence.best else ():
        if run.id not in known:
            entries.append((say("provenance.member", name=name), run, evidence.train_command(run.config)))
    for left_out, run in load_ablated(evidence).items():
        name = say("provenance.view", name=left_out) if left_out else say("provenance.views")
        entries.append((name, run, evidence.best_command(evidence.best)))
    for run in evidence.grid:
        name = say("provenance.setting", name=name_setting(run, evidence.grid))
        entries.append((name, run, evidence.train_command(run.config, GRID)))
    lines = []
    for name, run, _ in entries:
        seeds = {"seed": _knob(run, "seed"), "models": _knob(run, "seeds")}
        lines.append({"rows": name, "run": run.id, **seeds, "commit": run.provenance["commit"] or "—"})
    named: dict[str, list[str]] = {}
    for name, _, command in entries:
        named.setdefault(command, []).append(name)
    return [
        Paragraph(say("provenance.text", seed=_knob(first, "seed"), **origin)),
        Table("provenance", say.frame(lines), say("provenance.caption")),
        Code("\n".join(f"# {'; '.join(dict.fromkeys(names))}\n{command}" for command, names in named.items())),
    ]


def _knob(run: Run, name: str) -> str:
    return str(getattr(run.config, name)) if run.config else "—"  # a baseline has none

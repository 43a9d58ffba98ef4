"""How the main run was trained and what the grid tried; scores, differences, errors, and the file to hand in."""

import math

from mmlab import plots
from mmlab.config import FOLD, LABELS, probability_columns
from mmlab.evaluation import MAJORITY, compare_frames
from mmlab.evaluation.selection import NEW, cross_choose, weigh
from mmlab.report.document import HALF, WIDE, Block, Figure, Notice, Paragraph, Table
from mmlab.report.evidence import (
    ABLATIONS,
    GRID_NOTEBOOK,
    JOINT,
    MAIN,
    Compared,
    Evidence,
    compare_views,
    differing_answers,
    judge_predictions,
    name_setting,
)  # fmt: skip
from mmlab.report.sections.gallery import show_wrong
from mmlab.report.tables import difference_table, score_cells, score_table
from mmlab.report.words import Say
from mmlab.runs import BEST, Run

MOST_SETTINGS = 12  # shown of a grid: a figure that fills a page leaves the one before it empty


def training(evidence: Evidence, say: Say) -> list[Block]:
    blocks: list[Block] = []
    main = evidence.main
    if main is not None:
        best = main.best_epochs["best_epoch"]
        facts = {"seconds": main.seconds, "models": len(best), "epochs": main.config.epochs}
        axes = plots.plot_history(main.history, best_epoch=main.best_epochs)
        blocks.append(Paragraph(say("training.text", first=best.min(), last=best.max(), **facts)))
        blocks.append(Figure("history", axes, say("training.main")))
    if not evidence.grid:
        return [*blocks, Notice(say("training.nogrid", command=evidence.grid_command("working")))]
    return [*blocks, *_show_grid(evidence.grid, say), *_show_chosen(evidence, say)]


def _show_grid(grid: list[Run], say: Say) -> list[Block]:
    best_first = sorted(grid, key=lambda run: -run.scores[JOINT].accuracy.value)
    shown = [run for run in grid if run in best_first[:MOST_SETTINGS]]
    panels = [(name_setting(run, grid).replace(", ", "\n"), run.history, run.best_epochs) for run in shown]
    columns = 4 if len(panels) > 6 else 2 if len(panels) < 5 else 3
    axes = plots.plot_history_grid(panels, columns)
    lines = []
    for run in shown:
        kept = {"kept": f"{run.best_epochs['best_epoch'].mean():g}", "seconds": f"{run.seconds:.1f}"}
        lines.append({"setting": name_setting(run, grid), **score_cells(run.scores[JOINT], say), **kept})
    blocks: list[Block] = [
        Figure("grid", axes, say("training.grid"), drawn=WIDE, height=panels_high(len(panels), columns)),
        Table("grid", say.frame(lines), say("training.settings")),
    ]
    if len(shown) < len(grid):
        blocks.append(Paragraph(say("training.more", all=len(grid), shown=len(shown))))
    return blocks


def _show_chosen(evidence: Evidence, say: Say) -> list[Block]:
    """What the best setting of notebook 05's grid scores when it is cross-fitted."""
    record = evidence.records.get(GRID_NOTEBOOK, {})
    best = next((run for run in evidence.grid if run.id == record.get("best")), None)
    if best is None or evidence.chosen is None:
        return []
    dev, honest = best.scores[JOINT], evidence.chosen.scores[JOINT]
    shown = {"dev": say.interval(dev.accuracy), "honest": say.interval(honest.accuracy), "n_dev": dev.n, "n": honest.n}
    same, others = record["indistinguishable"], len(record["grid"]) - 1
    return [Paragraph(say("training.chosen", **shown, same=same, others=others))]


def results(evidence: Evidence, say: Say) -> list[Block]:
    rows = [*evidence.rows(), *evidence.further]
    if not rows:
        return []
    scores = {row.name: row.scores for row in rows if row.scenario != MAJORITY}
    majority = {row.name: row.scores.accuracy.value for row in rows if row.scenario == MAJORITY}
    blocks: list[Block] = []
    if scores:
        axes = plots.plot_scores(scores, references=majority)
        blocks.append(Figure("scores", axes, say("results.figure"), height=lines_high(len(scores))))
    blocks.append(Table("results", score_table(rows, say), say("results.table")))
    blocks += _show_differences("differences", evidence.comparisons, say("results.differences"), say)
    answering = evidence.answering
    if answering is not None:
        axes = plots.plot_confusion(answering.scores[JOINT], title="")
        caption = say("results.confusion", model=say(f"answers.{answering.config.model}"))
        blocks.append(Figure("confusion", axes, caption, HALF, height=3.0))
    return blocks


def ensemble(evidence: Evidence, say: Say) -> list[Block]:
    """The members of the ensemble that answers: each alone, its weight, and what is lost without it."""
    best = evidence.best
    if best is None or not best.members:
        return []
    runs = best.member_runs
    weights = best.weights[(best.weights["scenario"] == JOINT) & (best.weights[FOLD] != NEW)]
    lines, columns = [], probability_columns(JOINT)
    for name, run in runs.items():
        others = {one: other.predictions for one, other in runs.items() if one != name}
        worth = "—"  # alone, it has nobody to leave the answer to
        if others:
            rest = best.predictions.assign(**dict.fromkeys(columns, 0.0))
            rest[columns] = weigh(others, JOINT, cross_choose(others, JOINT))
            worth = say.interval(compare_frames(best.predictions, JOINT, rest, JOINT).difference, "+.1f", 100)
        shown = {"accuracy": say.interval(run.scores[JOINT].accuracy), "weight": f"{weights[name].mean():.2f}"}
        lines.append({"model": say.name("member", name), **shown, "worth": worth, "seconds": f"{run.seconds:.0f}"})
    facts = {"score": say.interval(best.scores[JOINT].accuracy), "members": len(runs), "seconds": best.seconds}
    left_out = ", ".join(say.name("member", str(name)) for name in evidence.records[BEST].get("left_out") or [])
    notice = [Paragraph(say("ensemble.left", names=left_out))] if left_out else []
    table = Table("ensemble", say.frame(lines), say("ensemble.table"))
    return [Paragraph(say("ensemble.text", **facts)), *notice, table]


def ablation(evidence: Evidence, say: Say) -> list[Block]:
    rows, views = evidence.rows(*ABLATIONS), _show_views(evidence, say)
    if not rows:
        return views
    joint = [evidence.row(MAIN, JOINT)] if evidence.main is not None else []
    return [
        Table("ablation", score_table([*joint, *rows], say), say("ablation.table")),
        *_show_differences("ablation_differences", evidence.ablations, say("ablation.differences"), say),
        *views,
    ]


def _show_views(evidence: Evidence, say: Say) -> list[Block]:
    """What the kernel machine loses without each of its views."""
    lines = []
    for name, one in compare_views(evidence).items():
        counts = {"only_a": one.b, "only_b": one.c, "p": f"{one.p_value:.2g}"}
        lines.append({"view": name, "worth": say.interval(one.difference, "+.1f", 100), **counts})
    return [Table("views", say.frame(lines), say("views.table"))] if lines else []


def lines_high(lines: int) -> float:
    """Inches of a figure with one model or comparison to a line: a page holds two of them, or one and its table."""
    return 1.0 + 0.25 * lines


def panels_high(panels: int, columns: int) -> float:
    """Inches of a figure of small multiples."""
    return 0.6 + 1.4 * math.ceil(panels / columns)


def _show_differences(name: str, comparisons: list[Compared], caption: str, say: Say) -> list[Block]:
    made = {one.name: one.result for one in comparisons if one.result is not None}
    height = lines_high(len(made))
    figure = [Figure(name, plots.plot_comparisons(made), say("results.paired"), height=height)] if made else []
    return [*figure, Table(name, difference_table(comparisons, say), caption)]


def errors(evidence: Evidence, say: Say) -> list[Block]:
    main = evidence.main
    if main is None:
        return []
    answering = [row for row in evidence.further if row.run == evidence.best and row.scenario == JOINT]
    recall = [(row, row.scores.recall) for row in [*answering, *evidence.rows(MAIN)]]
    lines = [{"model": say.row(row), **{label: say.interval(one[label]) for label in LABELS}} for row, one in recall]
    blocks: list[Block] = [Table("recall", say.frame(lines), say("errors.recall"))]
    if evidence.course is None:
        return [*blocks, Notice(say("errors.nodata", results=evidence.results))]
    return [*blocks, *(show_wrong(evidence, say) or [Paragraph(say("errors.none"))])]


def prediction(evidence: Evidence, say: Say) -> list[Block]:
    main = evidence.answering
    if main is None:
        return []
    if not len(main.test_predictions):
        return [Paragraph(say("prediction.none"))]
    differ = differing_answers(main)
    text, image = f"{differ['text_only']:.1%}", f"{differ['image_only']:.1%}"
    model = say(f"answers.{main.config.model}")
    facts = {"n": len(main.test_predictions), "text": text, "image": image, "model": model}
    verdict = judge_predictions(evidence)
    if verdict is None:
        return [Paragraph(say("prediction.unjudged", **facts))]
    if not verdict.ok:
        return [Notice(say("prediction.bad", problem=problem.replace("`", "'"))) for problem in verdict.problems]
    lines = [
        {"label": one.label, "in_train": f"{one.train_share:.1%}", "in_file": f"{one.file_share:.1%}"}
        for one in verdict.shares.itertuples()
    ]
    return [
        Paragraph(say("prediction.ok", **facts)),
        Table("prediction", say.frame(lines), say("prediction.shares")),
        *(Notice(say("prediction.warning", warning=warning.replace("`", "'"))) for warning in verdict.warnings),
    ]

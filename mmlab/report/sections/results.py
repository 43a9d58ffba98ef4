"""Scores, differences, ablations, errors, and the file to hand in."""

import numpy as np

from mmlab import plots
from mmlab.config import LABELS, probability_columns
from mmlab.evaluation import MAJORITY
from mmlab.report.document import HALF, WIDE, Block, Figure, Notice, Paragraph, Table
from mmlab.report.evidence import ABLATIONS, JOINT, MAIN, Compared, Evidence, differing_answers
from mmlab.report.predictions import judge_predictions
from mmlab.report.tables import difference_table, score_table
from mmlab.report.words import Say


def results(evidence: Evidence, say: Say) -> list[Block]:
    rows = [*evidence.rows(), *evidence.tuned]
    if not rows:
        return []
    scores = {row.name: row.scores for row in rows if row.scenario != MAJORITY}
    majority = {row.name: row.scores.accuracy.value for row in rows if row.scenario == MAJORITY}
    blocks: list[Block] = []
    if scores:
        blocks.append(Figure("scores", plots.plot_scores(scores, references=majority), say("results.figure")))
    blocks.append(Table("results", score_table(rows, say), say("results.table")))
    blocks += _show_differences("differences", evidence.comparisons, say("results.differences"), say)
    if evidence.main is not None:
        axes = plots.plot_confusion(evidence.main.scores[JOINT], title="")
        blocks.append(Figure("confusion", axes, say("results.confusion"), HALF))
    return blocks


def ablation(evidence: Evidence, say: Say) -> list[Block]:
    rows = evidence.rows(*ABLATIONS)
    if not rows:
        return []
    joint = [evidence.row(MAIN, JOINT)] if evidence.main is not None else []
    return [
        Table("ablation", score_table([*joint, *rows], say), say("ablation.table")),
        *_show_differences("ablation_differences", evidence.ablations, say("ablation.differences"), say),
    ]


def _show_differences(name: str, comparisons: list[Compared], caption: str, say: Say) -> list[Block]:
    made = {one.name: one.result for one in comparisons if one.result is not None}
    figure = [Figure(name, plots.plot_comparisons(made), say("results.paired"))] if made else []
    return [*figure, Table(name, difference_table(comparisons, say), caption)]


def errors(evidence: Evidence, say: Say) -> list[Block]:
    main = evidence.main
    if main is None:
        return []
    recall = [(row, row.scores.recall) for row in evidence.rows(MAIN)]
    lines = [{"model": say.row(row), **{label: say.interval(one[label]) for label in LABELS}} for row, one in recall]
    blocks: list[Block] = [Table("recall", say.frame(lines), say("errors.recall"))]
    if evidence.course is None:
        return [*blocks, Notice(say("errors.nodata", results=evidence.results))]
    probabilities = main.predictions[probability_columns(JOINT)].to_numpy()
    answers = main.predictions.assign(
        predicted=np.asarray(LABELS)[probabilities.argmax(axis=1)], sure=probabilities.max(axis=1)
    )
    wrong = answers[answers["predicted"] != answers["label"]].nlargest(6, "sure")
    shown = wrong[["guid", "predicted"]].merge(evidence.course.labelled, on="guid")
    if len(shown):
        axes = plots.plot_gallery(shown, n=len(shown), predicted="predicted")
        blocks.append(Figure("wrong", axes, say("errors.gallery"), drawn=WIDE))
    return blocks


def prediction(evidence: Evidence, say: Say) -> list[Block]:
    main = evidence.main
    if main is None:
        return []
    if not len(main.test_predictions):
        return [Paragraph(say("prediction.none"))]
    differ = differing_answers(main)
    facts = {"n": len(main.test_predictions), "text": f"{differ['text_only']:.1%}"}
    facts["image"] = f"{differ['image_only']:.1%}"
    verdict = judge_predictions(evidence)
    if verdict is None:
        return [Paragraph(say("prediction.unjudged", **facts))]
    if not verdict.ok:
        return [Notice(say("prediction.bad", problem=problem.replace("`", "'"))) for problem in verdict.problems]
    shares = [(one.label, f"{one.train_share:.1%}", f"{one.file_share:.1%}") for one in verdict.shares.itertuples()]
    lines = [dict(zip(("label", "in_train", "in_file"), one)) for one in shares]
    return [
        Paragraph(say("prediction.ok", **facts)),
        Table("prediction", say.frame(lines), say("prediction.shares")),
        *(Notice(say("prediction.warning", warning=warning.replace("`", "'"))) for warning in verdict.warnings),
    ]

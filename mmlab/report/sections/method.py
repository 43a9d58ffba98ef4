"""The task, the data, the model and the machine."""

import pandas as pd

from mmlab import plots
from mmlab.config import FOLD, write_knobs
from mmlab.report.document import Block, Figure, Formula, Paragraph, Table
from mmlab.report.evidence import DATA_NOTEBOOK, JOINT, Evidence, predicted_labels
from mmlab.report.tables import knob_table
from mmlab.report.words import Say
from mmlab.runs import Run

LOSS_FORMULA = r"L = -\sum_{h} \frac{1}{n} \sum_{i=1}^{n} \sum_{c} \tilde{y}_{ic} \log p_{h}(c \mid x_i)"
DIFFERENCE_FORMULA = r"\hat{d} = \frac{1}{n} \sum_{i=1}^{n} \left( [a_i = y_i] - [b_i = y_i] \right)"


def aim(evidence: Evidence, say: Say) -> list[Block]:
    return [Paragraph(text) for text in (say.options.aim.strip() or say("aim.text")).split("\n\n")]


def data(evidence: Evidence, say: Say) -> list[Block]:
    record = evidence.records.get(DATA_NOTEBOOK)
    if record is None:
        return []
    health = record["health"]
    facts = {
        "labelled": health["n_labelled"],
        "test": health["n_test"],
        "labels": ", ".join(f"{label} {count}" for label, count in health["label_counts"].items()),
        "charsets": ", ".join(f"{name} {count}" for name, count in health["encodings"].items()),
        "twins": health["twin_groups"],
        "conflicts": health["label_conflicts"],
        "issues": len(health["issues"]),
        "orphans": len(health["orphans"]),
        "majority": f"{record['majority_label']} ({record['majority']:.3f})",
    }
    blocks: list[Block] = [
        Table("data", _fact_frame(facts, "what", "found", say), say("data.caption")),
        Paragraph(say("data.twins", leak=f"{record['leak_random']:.1%}")),
    ]
    main = evidence.main
    if main is not None and len(main.test_predictions):
        answers = pd.DataFrame({"label": predicted_labels(main, JOINT)})
        axes = plots.plot_balance({"labelled": main.predictions, "predicted": answers})
        caption = say("data.balance", n=len(main.predictions), n_test=len(answers))
        blocks.append(Figure("balance", axes, caption, height=3.6, drawn=8.4))
    return blocks


def method(evidence: Evidence, say: Say) -> list[Block]:
    from mmlab.models import FUSIONS

    main = evidence.main
    if main is None:
        return []
    config, answers = main.config, evidence.answering
    beside = {"model": say(f"answers.{answers.config.model}"), "knobs": write_knobs(answers.config.changed())}
    used = main.best_epochs[FOLD].nunique()  # fewer than asked for, where a label has few pairs
    folds = say("method.folds", n=used) if config.folds else say("method.split")
    names = {"text": config.text_encoder, "image": config.image_encoder, "fusion": config.fusion}
    formula = vars(FUSIONS[config.fusion]).get("formula")  # its own: one that it inherits says what another fusion does
    axes = plots.plot_architecture(_list_parts(main))
    across, down = axes.figure.get_size_inches()
    return [
        *([] if answers is main else [Paragraph(say("method.beside", **beside))]),
        Paragraph(say("method.text", **names, folds=folds, seeds=config.seeds)),
        Figure("architecture", axes, say("method.figure"), drawn=across, height=0.78 * down),  # with shorter arrows
        *([Formula(formula)] if formula else []),
        Paragraph(say("method.loss", smoothing=config.label_smoothing)),
        Formula(LOSS_FORMULA),
        Paragraph(say("method.interval")),
        Formula(DIFFERENCE_FORMULA),
        Table("knobs", knob_table(main, say), say("method.settings")),
    ]


def environment(evidence: Evidence, say: Say) -> list[Block]:
    if evidence.first is None:
        return []
    origin = evidence.first.provenance
    facts = {"python": origin["python"], "device": origin["device"], **origin["packages"]}
    facts["commit"] = origin["commit"] or say("fact.no_commit")
    return [Table("environment", _fact_frame(facts, "component", "version", say), say("environment.caption"))]


def _fact_frame(facts: dict, name: str, value: str, say: Say) -> pd.DataFrame:
    return say.frame([{name: say.name("fact", fact), value: str(found)} for fact, found in facts.items()])


def _list_parts(run: Run):
    """The parts of a run's models, at the widths of its weights."""
    from safetensors import safe_open

    from mmlab.encoders import MAX_TOKENS
    from mmlab.models import FusionModel, list_parts
    from mmlab.readout import PATCH_GRID

    with safe_open(next(iter(sorted(run.folder.glob("model_*.safetensors")))), framework="pt") as weights:
        names = {side: f"{side}_head.projection.linear.weight" for side in ("text", "image")}
        found = {name.removeprefix("head."): name for name in weights.keys()}
        text, image = (weights.get_slice(found[names[side]]).get_shape()[1] for side in names)
    return list_parts(FusionModel(run.config, text, image), MAX_TOKENS, 1 + PATCH_GRID**2)

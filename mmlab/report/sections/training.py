"""How the main run was trained, and what the grid tried."""

from mmlab import plots
from mmlab.report.commands import grid_command
from mmlab.report.document import WIDE, Block, Figure, Notice, Paragraph, Table
from mmlab.report.evidence import GRID_NOTEBOOK, JOINT, Evidence, name_setting
from mmlab.report.tables import score_cells
from mmlab.report.words import Say
from mmlab.runs import RUNS, Run, is_complete, load_run

MOST_ROWS = 24  # of a table of settings


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
        return [*blocks, Notice(say("training.nogrid", command=grid_command("working", evidence.places)))]
    return [*blocks, *_show_grid(evidence.grid, say), *_show_chosen(evidence, say)]


def _show_grid(grid: list[Run], say: Say) -> list[Block]:
    best_first = sorted(grid, key=lambda run: -run.scores[JOINT].accuracy.value)
    shown = [run for run in grid if run in best_first[:MOST_ROWS]]
    panels = [(name_setting(run, grid).replace(", ", "\n"), run.history, run.best_epochs) for run in shown]
    axes = plots.plot_history_grid(panels, columns=4 if len(panels) > 6 else 2 if len(panels) < 5 else 3)
    lines = []
    for run in shown:
        kept = {"kept": f"{run.best_epochs['best_epoch'].mean():g}", "seconds": f"{run.seconds:.1f}"}
        lines.append({"setting": name_setting(run, grid), **score_cells(run.scores[JOINT], say), **kept})
    blocks: list[Block] = [
        Figure("grid", axes, say("training.grid"), drawn=WIDE),
        Table("grid", say.frame(lines), say("training.settings")),
    ]
    if len(shown) < len(grid):
        blocks.append(Paragraph(say("training.more", all=len(grid), shown=len(shown))))
    return blocks


def _show_chosen(evidence: Evidence, say: Say) -> list[Block]:
    """What the best setting of notebook 05's grid scores when it is cross-fitted."""
    record = evidence.records.get(GRID_NOTEBOOK, {})
    best = next((run for run in evidence.grid if run.id == record.get("best")), None)
    chosen = evidence.results / RUNS / str(record.get("chosen"))
    if best is None or not is_complete(chosen):
        return []
    dev, honest = best.scores[JOINT], load_run(chosen).scores[JOINT]
    shown = {"dev": say.interval(dev.accuracy), "honest": say.interval(honest.accuracy), "n_dev": dev.n, "n": honest.n}
    same, others = record["indistinguishable"], len(record["grid"]) - 1
    return [Paragraph(say("training.chosen", **shown, same=same, others=others))]

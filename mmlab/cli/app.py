"""The command line: the package's functions under names to type, and nothing of its own.

`mmlab --help` lists the commands, `mmlab COMMAND --help` explains one with examples.
"""

import errno
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mmlab.config import GRID_PRESETS, PRESETS, SCENARIOS, RunConfig, list_fusions, suggest
from mmlab.errors import MmlabError

app = typer.Typer(
    name="mmlab",
    help="A course lab for the sentiment of paired tweet text and image.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _read_path(text: str | Path) -> Path:
    if not str(text).strip():
        raise typer.BadParameter("it is empty; is a variable of your shell unset?")
    return Path(text)


Data = Annotated[
    Path,
    typer.Option(
        parser=_read_path, metavar="PATH", help="The course folder: train.txt, test_without_label.txt, data/."
    ),
]
USUAL = RunConfig()

Results = Annotated[
    Path,
    typer.Option(parser=_read_path, metavar="PATH", help="Where runs, figures, notebooks and prediction files go."),
]


def main() -> None:
    """Run the command line; a mistake of the user's ends with one plain message and exit status 1."""
    try:
        app()
    except MmlabError as error:
        Console(stderr=True, highlight=False).print(f"mmlab: {error}", markup=False, soft_wrap=True)
        sys.exit(1)
    except OSError as error:
        fixes = {errno.ENOSPC: "Free some space there", errno.EDQUOT: "Free some space there"}
        if error.errno not in (*fixes, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        fix = fixes.get(error.errno, "Choose another folder, or get the right to write there")
        where = error.filename or "a file"
        Console(stderr=True, highlight=False).print(f"mmlab: {where}: {error.strerror}. {fix}.", markup=False)
        sys.exit(1)
    except SystemExit as end:
        if end.code == 130:  # typer makes this of Ctrl-C
            said = "mmlab: interrupted. What is complete is kept; the same command goes on from there."
            Console(stderr=True).print(said, soft_wrap=True)
        raise


@app.command()
def doctor() -> None:
    """Check Python, packages, torch, encoder weights, kernel and disk: OK, or FAIL and the fix.

    Example: mmlab doctor
    """
    from mmlab.doctor import run_checks

    checks = run_checks()
    for check in checks:
        print(f"{'OK  ' if check.ok else 'FAIL'}  {check.name}: {check.found}")
        if not check.ok:
            print(f"      fix: {check.fix}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def check(
    data: Annotated[Path, typer.Argument(help="A course folder.")],
    strict: Annotated[bool, typer.Option(help="Take every single fault in a pair for an error.")] = False,
) -> None:
    """Judge a course folder: labels, charsets, twins, unreadable images, empty texts, orphans.

    Example: mmlab check data/demo
    """
    from mmlab.course.reading import random_split_leak, read_course

    course = read_course(data, strict=strict)
    table = Table("check", "count", "detail", title=f"{data}", title_justify="left")
    for row in course.health.to_frame().itertuples(index=False):
        table.add_row(str(row.check), str(row.count), str(row.detail))
    Console().print(table)
    for issue in course.health.issues:
        print(f"- {issue}")
    leak = random_split_leak(course)
    print(f"A random split would give {leak:.1%} of its dev rows a twin in train; the split of this lab gives none.")


@app.command()
def run(
    data: Data,
    results: Results,
    lr: Annotated[float | None, typer.Option(help=f"Learning rate of the main run ({USUAL.lr:g}).")] = None,
    dropout: Annotated[float | None, typer.Option(help=f"Dropout of the main run ({USUAL.dropout:g}).")] = None,
    fusion: Annotated[str | None, typer.Option(help=f"One of {', '.join(list_fusions())} ({USUAL.fusion}).")] = None,
    folds: Annotated[int | None, typer.Option(help=f"Cross-fitting folds ({USUAL.folds}).")] = None,
    seeds: Annotated[int | None, typer.Option(help=f"Models averaged in each fold ({USUAL.seeds}).")] = None,
    seed: Annotated[int | None, typer.Option(help=f"Of the split, the folds and the training ({USUAL.seed}).")] = None,
    only: Annotated[str | None, typer.Option(help="One notebook alone, such as 02_text_only.")] = None,
) -> None:
    """Run the seven notebooks on a course folder and write scores, figures, report and prediction files.

    What is already complete under RESULTS is not done again.

    Examples: mmlab run --data data/demo --results results/run

    mmlab run --data ../course --results results/course --fusion gated --seeds 5
    """
    from mmlab.report.build import run_workbook

    knobs = {"lr": lr, "dropout": dropout, "fusion": fusion, "folds": folds, "seeds": seeds, "seed": seed}
    knobs = {name: value for name, value in knobs.items() if value is not None}
    print(f"mmlab: {only or 'seven notebooks'} on {data}")

    def on_done(name: str, seconds: float, number: int, total: int) -> None:
        print(f"[{number}/{total}] {name:<24} {seconds:6.1f} s", flush=True)

    outcome = run_workbook(data, results, knobs, on_done, only)
    if outcome is not None:
        _print_outcome(outcome)


@app.command()
def grid(
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A knob and the values to try, lr=1e-2,1e-3. Give it again for another."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help=f"Values to begin with: {', '.join(GRID_PRESETS)}.")] = None,
    seeds: Annotated[int, typer.Option(help="How often each setting is trained, with seeds 0, 1, ...")] = 1,
    jobs: Annotated[int, typer.Option(help="Cells at a time.")] = 2,
    on: Annotated[str, typer.Option(help="local, or slurm (pip install mmlab[slurm]).")] = "local",
    folds: Annotated[int, typer.Option(help="0 scores each cell on dev, quickly; 5 cross-fits it.")] = 0,
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    data: Data = Path("data/demo"),
    results: Results = Path("results/run"),
) -> None:
    """Train every combination of values, each a run of notebook 04 in its own folder; complete ones are kept.

    Kill it whenever you like: the same command goes on with what is missing. RESULTS/grid/grid.csv has a row a cell.

    Examples: mmlab grid --set lr=1e-2,1e-3,1e-4 --set dropout=0.2,0.6 --jobs 2

    mmlab grid --set fusion=concat,gated,attention --seeds 3 --data ../course --results results/course

    mmlab grid --preset coursework
    """
    from mmlab.errors import ConfigError
    from mmlab.workbook.grid import TABLE, Grid, read_values

    if preset is not None and preset not in GRID_PRESETS:
        raise ConfigError(f"There is no preset {preset!r}.{suggest(preset, list(GRID_PRESETS))}")
    values = {**GRID_PRESETS.get(preset, {}), **read_values(settings or [])}
    if not values:
        raise ConfigError("Nothing to try: give --set lr=1e-2,1e-3 or --preset coursework.")
    cells = Grid(data, results, values, {"folds": folds, "seeds": 1}, seeds)
    cells.check_call(jobs, on)
    progress = _GridProgress(len(cells.cells), cells.names)
    print(f"mmlab: {len(cells.cells)} cell{'s'[: len(cells.cells) > 1]} on {data}, {jobs} at a time")
    if again := cells.count_superseded():
        print(f"{again} of them were trained before, on other data or by older code: they are trained again")
    cluster = {"slurm_partition": partition} if partition else {}
    outcomes = cells.run(jobs, on, progress, **cluster)
    failed = [one for one in outcomes if not one.run]
    for one in failed:
        print(f"\nFAIL  {progress.name(one)}\n{one.error.rstrip()}")
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} cells complete; the table: {cells.folder / TABLE}")
    raise typer.Exit(1 if failed else 0)


@app.command()
def train(
    data: Data,
    results: Results,
    preset: Annotated[str, typer.Option(help=f"The knobs to begin with: {', '.join(PRESETS)}.")] = "tuned",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A knob and its value, encoder_lr=1e-4. Again for another.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoints of an interrupted training.")] = True,
    save: Annotated[Path | None, typer.Option(help="A new folder for the trained encoders and their card.")] = None,
) -> None:
    """Fine-tune encoders and heads end to end, cross-fitted, and compare with the same heads on frozen features.

    A checkpoint is kept after each epoch: after an interruption the same command goes on and ends with the same result.

    Examples: mmlab train --data data/demo --results results/run

    mmlab train --preset gpu --set batch_size=16 --set accumulate=2 --data ../course --results results/course

    mmlab train --set text_layers=3 --save my_encoders --data ../course --results results/course
    """
    from mmlab.course.reading import read_course
    from mmlab.encoders import find_image_encoder, find_text_encoder
    from mmlab.errors import ConfigError
    from mmlab.evaluation import compare_frames
    from mmlab.export import check_new, export_encoders
    from mmlab.runs import open_results, train_run
    from mmlab.training.finetuning import prepare_pairs
    from mmlab.training.loop import TrainingBar
    from mmlab.workbook.grid import read_values

    values = read_values(settings or [])
    for name, several in values.items():
        if len(several) > 1:
            raise ConfigError(f"--set {name}: one training takes one value. `mmlab grid` tries several.")
    config = RunConfig.from_params({name: one for name, (one,) in values.items()}, preset)
    if save is not None:
        check_new(save)
        if not config.tunes:
            raise ConfigError("--save: this training changes no encoder. Use --preset tuned, or --set text_layers=2.")
    _ = find_text_encoder(config.text_encoder), find_image_encoder(config.image_encoder)
    course = read_course(data, seed=config.seed)
    open_results(results, data)
    pairs = prepare_pairs(course, config)
    with TrainingBar(config, len(course.labels)) as bar:
        watch = {"on_epoch": bar.on_epoch, "on_batch": bar.on_batch} if config.tunes else {}
        run = train_run(config, course, pairs, results, bar.on_model, resume, **watch)
    _print_scores(run.scores)
    if config.tunes:
        frozen = train_run(config.frozen(), course, pairs.frozen, results)
        for name in run.scores:
            gain = compare_frames(run.predictions, name, frozen.predictions, name)
            print(f"{name:<15} fine-tuned − frozen {gain.difference:+.3f}, McNemar p = {gain.p_value:.2g}")
    print(f"{'run':<22} {run.folder}")
    if save is not None:
        for place in export_encoders(run, pairs, course, save):
            print(f"{'saved':<22} {place}")


@app.command()
def report(
    results: Results,
    data: Annotated[
        Path | None, typer.Option(help="The course folder for example pairs, where it was moved since.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="en or zh; report.yml in RESULTS may say it, too.")] = None,
    pdf: Annotated[bool, typer.Option(help="Also print the report to a PDF.")] = True,
    watch: Annotated[
        bool, typer.Option(help="Write it again whenever a run ends, until Ctrl-C (without PDF).")
    ] = False,
) -> None:
    """Write the report again from the runs in a results folder, without any training: HTML, PDF, figures, tables.

    RESULTS/report.yml may hold name, number, title, language, aim and conclusions, one `key: text` a line.

    Examples: mmlab report --results results/run

    mmlab report --results results/course --language zh

    mmlab report --results results/run --watch
    """
    from mmlab.report.build import rebuild_report, watch_report

    if watch:
        watch_report(
            results, on_built=lambda built: print(f"{time.strftime('%X')}  {built.places['report']}", flush=True)
        )
    built = rebuild_report(results, data, language, pdf)
    _print_outcome(built)
    for gap in built.gaps:
        print(f"MISSING  {gap}")
    raise typer.Exit(1 if built.gaps else 0)


@app.command()
def predict(
    data: Data,
    results: Annotated[Path, typer.Option(help="A results folder that holds a complete main run.")],
    out: Annotated[Path, typer.Option(help="The prediction file to write.")] = Path("test_result.txt"),
    scenario: Annotated[str, typer.Option(help=f"One of {', '.join(SCENARIOS)}.")] = "text_and_image",
) -> None:
    """Answer the test pairs of a course folder with the models of a finished run.

    Example: mmlab predict --data data/demo --results results/run --out my_result.txt
    """
    from mmlab.report.predictions import predict_test

    path, rows = predict_test(data, results, out, scenario)
    print(f"{rows} rows written to {path}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A prediction file (header guid,tag).")],
    data: Data,
) -> None:
    """Judge a prediction file: guids and their order, labels, class shares, another scenario's file handed in twice.

    Example: mmlab verify results/run/test_result.txt --data data/demo
    """
    from mmlab.course.reading import read_course, verify_predictions
    from mmlab.runs import find_siblings

    verdict = verify_predictions(file, read_course(data), find_siblings(file))
    for problem in verdict.problems:
        print(f"FAIL  {problem}")
    for warning in verdict.warnings:
        print(f"NOTE  {warning}")
    if verdict.ok:
        table = Table("label", "share in train", "share in file")
        for row in verdict.shares.itertuples(index=False):
            table.add_row(row.label, f"{row.train_share:.1%}", f"{row.file_share:.1%}")
        Console().print(table)
    if verdict.ok:
        print(f"OK    {file} can be handed in")
    raise typer.Exit(0 if verdict.ok else 1)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="A new folder, or an older demo to be replaced.")],
    seed: Annotated[int, typer.Option(help="Another seed draws other pairs from the same recipe.")] = 0,
) -> None:
    """Make a demo course with known ceilings.

    Example: mmlab demo my_demo --seed 7
    """
    from mmlab.demo.recipe import make_demo

    print(f"A demo course is in {make_demo(folder, seed=seed)}")


class _GridProgress:
    """One line a cell: how many are done, this cell's score, the best so far, and how long the rest may take."""

    def __init__(self, total: int, names: list[str]) -> None:
        self.total, self.names, self.done, self.trained = total, names, 0, 0
        self.best, self.best_name, self.started = None, "", time.monotonic()

    def name(self, outcome) -> str:
        return ", ".join(f"{name} {outcome.cell[name]}" for name in self.names)

    def __call__(self, outcome) -> None:
        self.done, self.trained = self.done + 1, self.trained + outcome.new
        line = f"[{self.done}/{self.total}] {self.name(outcome)}: "
        if outcome.run is None:
            print(line + "FAILED", flush=True)
            return
        accuracy = outcome.run.scores["text_and_image"].accuracy
        if self.best is None or accuracy.value > self.best.value:
            self.best, self.best_name = accuracy, self.name(outcome)
        line += f"{accuracy}" + ("" if outcome.new else " (was there)")
        if self.trained and self.done < self.total:
            left = (time.monotonic() - self.started) / self.trained * (self.total - self.done)
            line += f"; best {self.best:.3f} ({self.best_name}); about {left:.0f} s left"
        print(line, flush=True)


def _print_scores(every: dict) -> None:
    table = Table("scenario", "accuracy [95 % interval]", "macro-F1", "n")
    for name, scores in every.items():
        table.add_row(name, str(scores.accuracy), str(scores.macro_f1), str(scores.n))
    Console().print(table)


def _print_outcome(outcome) -> None:
    _print_scores(outcome.scores)
    for what, where in outcome.places.items():
        print(f"{what:<22} {where}")
    if outcome.note:
        print(f"NOTE  {outcome.note}")


if __name__ == "__main__":
    main()

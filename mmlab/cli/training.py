"""The commands that train: the workbook, a grid of settings, and fine-tuning."""

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from mmlab.cli.options import PATH, WHOLE, Data, Results, with_knobs
from mmlab.cli.output import print_line, print_outcome, print_scores
from mmlab.config import GRID_PRESETS, KNOBS, LISTS, PRESETS, RunConfig, check_choice, name_knobs
from mmlab.errors import ConfigError

_KNOBS = f"Knobs, explained by `mmlab run --help`: {', '.join(KNOBS)}."


@with_knobs
def run(
    data: Data,
    results: Results,
    only: Annotated[str | None, typer.Option(help="One notebook alone, such as 02_text_only.")] = None,
    preset: Annotated[
        str, typer.Option(help=f"The knobs to begin with: {', '.join(PRESETS)}. best, kernel: train that model first.")
    ] = "laptop",
    minutes: Annotated[float, typer.Option(help="For --preset best: then it answers with what is ready.")] = 30.0,
    *,
    knobs: dict[str, Any],
) -> None:
    """Run the seven notebooks on a course folder; write scores, figures, report and prediction files.

    Completed runs in RESULTS are skipped. An encoder is a name or a folder.

    Examples:

    mmlab run --data data/demo --results results/run

    mmlab run --data ../course --results results/course --fusion attention --hidden 256

    mmlab run --preset best --minutes 20 --data ../course --results results/course

    mmlab run --data ../course --results results/course --text-encoder ./my_encoders/text
    """
    from mmlab.cli.live import LiveLine
    from mmlab.progress import model_bar
    from mmlab.report.build import publish
    from mmlab.report.process import rebuild_warm
    from mmlab.report.words import OPTIONS, ReportOptions
    from mmlab.workbook.best import train_best
    from mmlab.workbook.estimate import find_cost
    from mmlab.workbook.pipeline import run_workbook

    ReportOptions.read(results / OPTIONS)  # a fault in it is reported before hours of training
    check_choice("preset", preset, tuple(PRESETS))
    model = knobs.pop("model", PRESETS[preset].get("model", "neural"))
    given = {name: knobs[name] for name in ("regularise", "members") if name in knobs}
    config = RunConfig.from_params({**given, "model": model}, preset).check_used(given)  # notebooks use the others
    if model == "neural":
        knobs = {**PRESETS[preset], **knobs}
    else:  # the notebooks look into neural heads: the model that is asked for is trained beside theirs, and answers
        own = {name: value for name, value in knobs.items() if name in config.used_knobs}
        with model_bar(f"{preset}: models in all") as tick:
            print_scores(train_best(data, results, {**own, "model": model}, minutes, tick, preset).scores)
        knobs.pop("members", None)
    line = LiveLine(f"{only or 'seven notebooks'} on {data}", find_cost(knobs.get("fusion", KNOBS["fusion"].default)))
    watch = {"on_done": line.on_done, "on_start": line.on_start, "on_wait": line.on_wait}
    reports: list = []

    def write_report(nursery: str | None) -> None:
        reports.append(rebuild_warm(nursery, results))

    with closing(line):
        seconds = run_workbook(data, results, knobs, only=only, write_report=write_report, **watch)
    for outcome in reports:
        publish(outcome.evidence, seconds)
        print_outcome(outcome)


def grid(
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help=f"A knob and the values to try, lr=1e-2,1e-3. Repeat it for another. {_KNOBS}"),
    ] = None,
    preset: Annotated[str | None, typer.Option(help=f"Values to begin with: {', '.join(GRID_PRESETS)}.")] = None,
    seeds: Annotated[int, typer.Option(help="How often each setting is trained, with seeds 0, 1, ...", **WHOLE)] = 1,
    jobs: Annotated[int, typer.Option(help="Trainings at a time.", **WHOLE)] = 2,
    on: Annotated[str, typer.Option(help="local, or slurm (python -m pip install submitit).")] = "local",
    folds: Annotated[int, typer.Option(help="0 scores each setting on dev, quickly; 5 cross-fits it.", **WHOLE)] = 0,
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    data: Data = Path("data/demo"),
    results: Results = Path("results/run"),
) -> None:
    """Train every combination of values of any knobs, each a run of notebook 04 in its own folder.

    Completed runs are skipped: stop it whenever you like, and the same command continues with what is missing. A failed
    setting is reported with its notebook; the others continue. RESULTS/grid/grid.csv has a row for each run.

    Examples:

    mmlab grid --set lr=1e-2,1e-3,1e-4 --set dropout=0.2,0.6 --jobs 2

    mmlab grid --set hidden=64,128 --set image_encoder=efficientnet_lite0,./my_encoders/image

    mmlab grid --set fusion=concat,gated --seeds 3 --data ../course --results results/course

    mmlab grid --preset coursework
    """
    from mmlab.workbook.grid import TABLE, Grid, find_best, rank_settings, read_values

    if preset is not None:
        check_choice("preset", preset, tuple(GRID_PRESETS))
    values = {**GRID_PRESETS.get(preset, {}), **read_values(settings or [])}
    if not values:
        raise ConfigError("Nothing to try: give --set lr=1e-2,1e-3 or --preset coursework.")
    plan = Grid(data, results, values, {"folds": folds, "seeds": 1}, seeds)
    plan.check_call(jobs, on)
    total = len(plan.planned)
    print_line(f"mmlab: {total} training{'s'[: total > 1]} on {data}, {jobs} at a time")
    if again := plan.count_superseded():
        print_line(f"{again} of them ran before, on other data or with older code: they are trained again")
    progress = _GridProgress(total, plan.names if seeds > 1 else list(values))
    runs = plan.run(jobs, on, progress, **({"slurm_partition": partition} if partition else {}))
    failed = [one for one in runs if not one.run]
    for one in failed:
        print_line(f"\nFAIL  {progress.name(one)}: {one.error.rstrip()}")
    settings = plan.settings(runs)
    if len(settings) > 1:
        ranked, best = rank_settings(settings), find_best(settings)
        alike = ranked["name"][~ranked["apart"]]
        print_line(f"best: {best.name}, accuracy {best.score.accuracy}")
        named = f"cannot be told apart from it (Holm): {'; '.join(alike)}" if len(alike) else "is worse (Holm)"
        print_line(f"{len(alike)} of {len(ranked)} others {named}" if len(alike) else f"each of the others {named}")
    print_line(f"{total - len(failed)} of {total} trainings complete; the table: {plan.folder / TABLE}")
    raise typer.Exit(1 if failed else 0)


def train(
    data: Data,
    results: Results,
    preset: Annotated[str, typer.Option(help=f"The knobs to begin with: {', '.join(PRESETS)}.")] = "tuned",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help=f"A knob and its value, encoder_lr=1e-4. Repeat it for another. {_KNOBS}"),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue from the checkpoints of an interrupted training.")] = True,
    save: Annotated[Path | None, typer.Option(help="A new folder for the trained encoders.", **PATH)] = None,
) -> None:
    """Fine-tune encoders and heads end to end, cross-fitted, and compare with the same heads on frozen features.

    A checkpoint is kept after each epoch: after an interruption the same command continues and ends with the same
    result.

    Examples:

    mmlab train --data data/demo --results results/run

    mmlab train --preset gpu --set batch_size=16 --set accumulate=2 --data ../course --results results/course

    mmlab train --set text_layers=3 --save my_encoders --data ../course --results results/course
    """
    from mmlab.course import read_course
    from mmlab.encoders import find_image_encoder, find_text_encoder
    from mmlab.evaluation import compare_frames
    from mmlab.export import check_new, export_encoders
    from mmlab.runs import open_results, train_run
    from mmlab.training import prepare_pairs, show_training
    from mmlab.workbook.grid import read_values
    from mmlab.workbook.parameters import resolve_folders

    values = read_values(settings or [])
    for name, several in values.items():
        if len(several) > 1 and name not in LISTS:  # those are one value that has commas of its own
            raise ConfigError(f"--set {name}: one training takes one value. `mmlab grid` tries several.")
    given = {name: ", ".join(several) if name in LISTS else several[0] for name, several in values.items()}
    given = resolve_folders(given)
    config = RunConfig.from_params(given, preset).check_used(given)
    if save is not None:
        check_new(save)
        if not config.tunes:
            raise ConfigError("--save: this training changes no encoder. Use --preset tuned, or --set text_layers=2.")
    _ = find_text_encoder(config.text_encoder), find_image_encoder(config.image_encoder)
    course = read_course(data, seed=config.seed)
    open_results(results, data)
    pairs = prepare_pairs(course, config)
    with show_training(config, len(course.labels)) as watch:
        trained = train_run(config, course, pairs, results, resume=resume, **watch)
    print_scores(trained.scores)
    if config.tunes and config.model != "ensemble":
        frozen = train_run(config.frozen(), course, pairs.frozen, results)
        for name in trained.scores:
            gain = compare_frames(trained.predictions, name, frozen.predictions, name)
            print_line(f"{name:<15} fine-tuned − frozen {gain.difference:+.3f}, McNemar p = {gain.p_value:.2g}")
    print_line(f"{'run':<22} {trained.folder}")
    if save is not None:
        for place in export_encoders(trained, pairs, save):
            print_line(f"{'saved':<22} {place}")


class _GridProgress:
    """A line for each run: how many are done, its score, the best score so far, and how long the rest may take."""

    def __init__(self, total: int, names: list[str]) -> None:
        self.total, self.names, self.done, self.trained = total, names, 0, 0
        self.best, self.best_name, self.started = None, "", time.monotonic()

    def name(self, one) -> str:
        return name_knobs({name: one.knobs[name] for name in self.names})

    def __call__(self, one) -> None:
        self.done, self.trained = self.done + 1, self.trained + one.new
        line = f"[{self.done}/{self.total}] {self.name(one)}: "
        if one.run is None:
            print_line(line + "FAILED")
            return
        accuracy = one.run.scores["text_and_image"].accuracy
        if self.best is None or accuracy.value > self.best.value:
            self.best, self.best_name = accuracy, self.name(one)
        line += f"{accuracy}" + ("" if one.new else " (complete before)")
        if self.trained and self.done < self.total:
            left = (time.monotonic() - self.started) / self.trained * (self.total - self.done)
            line += f"; best {self.best:.3f} ({self.best_name}); about {left:.0f} s left"
        print_line(line)

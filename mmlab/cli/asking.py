"""The commands that ask a finished model about new pairs, and that hand it on."""

from pathlib import Path
from typing import Annotated

import typer

from mmlab.cli.options import PATH
from mmlab.cli.output import print_json, print_line, print_table
from mmlab.config import LABELS, probability_columns
from mmlab.errors import ConfigError
from mmlab.storage import is_inside, printable

_SHOWN = 30  # letters of a text

Model = Annotated[Path, typer.Argument(help="A results folder, the folder of a run, or an exported model.", **PATH)]


def ask(
    model: Model,
    text: Annotated[str | None, typer.Argument(help="A tweet, in quotes. Leave it out to ask about an image.")] = None,
    image: Annotated[Path | None, typer.Option(help="The picture of the pair.", **PATH)] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Many pairs: a table with the columns text and image, or one of them.", **PATH)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With --csv: the table of answers to write.", **PATH)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: an object for each pair, one a line.")] = False,
    explain: Annotated[bool, typer.Option(help="Also show which words and which parts of the image count.")] = False,
) -> None:
    """Ask a finished model about a new pair, or about many.

    A side may be missing: the answer comes from what is there. Images in a table are looked for from its folder on.

    Examples:

    mmlab ask results/run "Lovely weather, again" --image rain.jpg

    mmlab ask results/run "Lovely weather, again" --image rain.jpg --explain

    mmlab ask results/run --csv pairs.csv --out answers.csv
    """
    given = text is not None or image is not None
    if given == (csv is not None):
        raise ConfigError("Give either a text, an --image, or both; or --csv with many pairs, and none of these.")
    if csv is None and out is not None:
        raise ConfigError("--out goes with --csv. An answer to one pair is printed.")
    if csv is not None and explain:
        raise ConfigError("--explain takes one pair: give a text, an --image, or both.")
    if as_json and (explain or out is not None):
        raise ConfigError(f"--json prints JSON alone. Leave out {'--explain' if explain else '--out'}.")
    if out is not None and is_inside(out, csv):
        raise ConfigError(f"{out} is the table of pairs. Name another file for the answers.")
    from mmlab.lab import load
    from mmlab.pairs import read_pairs, write_answers

    if csv is None:
        lab = load(model)
        answer = lab.predict(text, image)
        if as_json:
            print_json(answer.to_dict())
        else:
            print_table(None, *answer.to_table())
            print_line(answer.headline)
        if explain:
            print_line(str(lab.explain(text, image)))
        return
    pairs = read_pairs(csv)
    lab = load(model)
    answers = lab.predict(pairs)
    table = pairs.join(answers)
    if out is not None:
        print_line(f"{len(table)} answers written to {write_answers(table, out)}")
    elif as_json:
        for pair in table.round(4).astype(object).where(table.notna(), None).to_dict("records"):
            print_json(pair)
    else:
        _print_answers(pairs, answers, lab.scenarios)


def export(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="A new folder for the model.", **PATH)],
) -> None:
    """Write a finished model into one folder that `mmlab ask` and `mmlab.load` read on another machine.

    It holds the heads, trained layers, encoders that are folders, the settings and a model card, but nothing of the
    pairs of the course.

    Example: mmlab export results/run my_model
    """
    from mmlab.export import export_model
    from mmlab.lab import load

    lab = load(model)
    print_line(f"The model is in {export_model(lab.run, lab.temperature, lab.scores, folder)}")


def _print_answers(pairs, answers, scenarios) -> None:
    names = pairs["guid"] if "guid" in pairs else pairs.index
    best = [_best(answers, scenario) for scenario in scenarios]
    texts = pairs["text"] if "text" in pairs else [None] * len(pairs)
    rows = zip(map(str, names), map(_short, texts), *best, strict=True)
    print_table(None, [names.name or "guid", "text", *scenarios], list(map(list, rows)))


def _short(text: str | None) -> str:
    words = printable(" ".join(text.split())) if text else "(none)"
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1]}…"


def _best(answers, scenario: str) -> list[str]:
    """The label of a scenario with its probability, for each answer."""
    found = answers[probability_columns(scenario)].to_numpy()
    return ["" if row[0] != row[0] else f"{LABELS[row.argmax()]} {row.max():.2f}" for row in found]

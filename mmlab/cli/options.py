"""Options that several commands share, and one option for each knob, made from its declaration."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mmlab.config import KNOBS, Knob, write_value

COMMON = ("text_encoder", "image_encoder", "fusion", "lr", "dropout", "hidden", "epochs", "folds", "seeds", "seed")


def _read_path(text: str | Path) -> Path:
    if not str(text).strip():
        raise typer.BadParameter("it is empty; is a variable of your shell unset?")
    return Path(text)


def _read_whole(text: str | int) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number.") from None


WHOLE = {"parser": _read_whole, "metavar": "INTEGER"}
PATH = {"parser": _read_path, "metavar": "PATH"}
Data = Annotated[Path, typer.Option(help="The course folder: train.txt, test_without_label.txt, data/.", **PATH)]
Results = Annotated[Path, typer.Option(help="Where runs, figures, notebooks and prediction files go.", **PATH)]


class RichCommand(TyperCommand):
    """A command whose help has panels. `mmlab --help` has none: what draws them takes longer to load than all else."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "rich_markup_mode": "rich"})

    def parse_args(self, *given: Any) -> list[str]:
        try:
            return super().parse_args(*given)
        except Exception as error:  # typer keeps the class of it to itself
            takes_words = any(one.param_type_name == "argument" for one in self.params)
            unknown = getattr(error, "option_name", "--")  # of "-5 degrees" it is -5
            if takes_words and (not unknown.startswith("--") or " " in unknown):
                error.message += ". Write -- before a text or a name that begins with -."
            raise


def with_knobs(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each knob; those that were given become its argument `knobs`, a dict."""

    @functools.wraps(command)
    def call(**given: Any) -> None:
        knobs = {name: given.pop(name) for name in KNOBS}
        command(**given, knobs={name: value for name, value in knobs.items() if value is not None})

    own = inspect.signature(command).parameters.values()
    ordered = [KNOBS[name] for name in dict.fromkeys([*COMMON, *KNOBS])]
    parameters = [parameter for parameter in own if parameter.name != "knobs"]
    for one in ordered:
        option = _option(one)
        parameters.append(inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option))
    call.__signature__ = inspect.Signature(parameters)
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _option(knob: Knob) -> Any:
    facts = "; ".join(word for word in (knob.limits, f"default: {write_value(knob.default)}") if word)
    help = f"{knob.help} ({facts})".replace("[", r"\[")
    panel = "The main knobs" if knob.name in COMMON else "Further knobs"
    flag = f"--{knob.name.replace('_', '-')}"
    if knob.kind is bool:
        return Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=help, rich_help_panel=panel)]
    kind = {int: "INTEGER", float: "NUMBER", str: "TEXT"}[knob.kind]
    return Annotated[Any, typer.Option(flag, parser=knob.read, metavar=kind, help=help, rich_help_panel=panel)]

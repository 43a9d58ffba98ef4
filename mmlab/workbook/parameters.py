"""What a notebook's parameters cell declares, and whether given parameters fit it, before any kernel starts.

A notebook declares a few parameters and one text `knobs`. A knob that it does not declare travels in that text, so
every knob can be set for every notebook that trains. Explained in notebook 05, section 1.
"""

import ast
import io
import re
import symtable
import sys
import tokenize
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from mmlab.config import KNOBS, Knob, RunConfig, find_knob, read_knobs, suggest, write_knobs
from mmlab.encoders import find_image_encoder, find_text_encoder
from mmlab.errors import ConfigError, RunError
from mmlab.runs import check_apart
from mmlab.storage import CHECKOUT, expand

PARAMETERS_TAG = "parameters"
FURTHER = "knobs"  # the parameter that carries the knobs which a notebook does not declare
NOTEBOOKS = CHECKOUT / "notebooks"
# What parameters of notebooks may be that are no knobs: folders, numbers, and texts with several values of a knob.
FOLDERS = ("data", "results")
NUMBERS = {
    "draws": {"low": 1, "high": 10_000},
    "row": {"low": 0},
    "grid_seeds": {"low": 1, "high": 1000},
    "jobs": {"low": 0, "high": 1000},
}
LONGEST, LONGEST_NUMBER = 10_000, 256  # letters of a name or a value; bits of a whole number
LISTS = {"learning_rates": "lr", "dropouts": "dropout", "compared": "fusion"}


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell: its name, its default and the words of its trailing comment."""

    name: str
    default: bool | int | float | str | None
    help: str


def read_parameters(notebook: Path | str) -> list[Parameter]:
    """The parameters that a notebook declares, in its order.

    Raises RunError, naming notebook, line and fix, when the file is not a notebook, has not exactly one code cell
    tagged `parameters`, or has in it anything but lines of the form `name = literal  # help`.
    """
    return read_declared(read_notebook(notebook), Path(notebook).name)


def check_parameters(notebook: Path | str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the notebook will get them: paths as text, numpy scalars as numbers, ints for floats as floats.

    Knobs that the notebook does not declare are written into its parameter `knobs`, if it has one. Raises RunError for
    an unknown name (with the nearest one), a value of another type than the default's, and a parameter that no later
    cell reads; ConfigError for a value out of range. Starts no kernel.
    """
    node, name = read_notebook(notebook), Path(notebook).name
    declared = {parameter.name: parameter for parameter in read_declared(node, name)}
    for key, value in parameters.items():
        check_length(key, value)
    known = list_names([*declared.values()])
    for key in parameters:
        if key not in known:
            hint = suggest(key, known)
            hint = hint if "Did you mean" in hint else suggest(key, list(declared))
            raise RunError(f"{name} has no parameter {key!r}.{hint}")
    fitted = {key: _fit(declared[key], value, name) for key, value in parameters.items() if key in declared}
    for key, value in fitted.items():
        _check_value(key, value)
    further = read_knobs(fitted.get(FURTHER, "")) if FURTHER in declared else {}
    for key in further:
        if key in declared:
            raise RunError(f"{name} declares {key!r}: set it there, and not a second time in {FURTHER!r}.")
    further |= {key: value for key, value in parameters.items() if key not in declared}
    for key, value in further.items():
        find_knob(key).check(value)
    if further:
        fitted[FURTHER] = write_knobs(further)
    read = _names_read(node, name)
    for key in fitted:
        if key not in read:
            fix = "Use it there, or remove it from the parameters cell."
            raise RunError(f"{name} declares {key!r}, but no later cell reads it: setting it changes nothing. {fix}")
    return fitted


def begin_notebook(name: str, values: dict[str, Any]) -> None:
    """Judge the parameters inside a notebook as those from outside are; the first line after its parameters cell.

    name: of one of the seven notebooks, such as 04_fusion; values: its globals(). Raises as `check_parameters` does,
    and RunError for a parameter that was removed and for results inside the course folder.
    """
    source = NOTEBOOKS / f"{name}.ipynb"
    declared = [parameter.name for parameter in read_parameters(source)]
    if missing := [one for one in declared if one not in values]:
        raise RunError(f"The parameters cell does not set {', '.join(missing)}. Put the line back, and run the cell.")
    fitted = check_parameters(source, {one: values[one] for one in declared})
    if "data" in fitted:
        check_apart(fitted["results"], fitted["data"])


def share_parameters(
    sources: list[Path], results: Path | str, parameters: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """For each notebook those of the shared parameters (and `results`) that it can take, all checked.

    Raises RunError for a parameter that no notebook can take, and as `check_parameters` does.
    """
    shared = {**(parameters or {}), "results": str(results)}
    taken = [list_names(read_parameters(source)) for source in sources]
    for name in shared:
        if not any(name in names for names in taken):
            raise RunError(f"No notebook has a parameter {name!r}.{suggest(name, sorted(set().union(*taken)))}")
    own = [{name: value for name, value in shared.items() if name in names} for names in taken]
    return [check_parameters(source, chosen) for source, chosen in zip(sources, own, strict=True)]


def check_knobs(knobs: dict[str, Any], frozen: bool = True) -> RunConfig:
    """The config of these knobs, if notebooks can train it. Raises ConfigError or EncoderError, and trains nothing.

    frozen: refuse to train encoders, which notebook 04 alone can do.
    """
    config = RunConfig.from_params(knobs)
    if config.scenario != KNOBS["scenario"].default:
        fix = "Notebook 02 trains the text alone, and 03 the image alone: mmlab run --only 02_text_only."
        raise ConfigError(f"scenario={config.scenario}: each notebook sets its own scenario. {fix}")
    for modality in config.tunes if frozen else ():
        layers = f"{modality}_layers={getattr(config, f'{modality}_layers')}"
        raise ConfigError(
            f"{layers}: the workbook keeps the encoders frozen. Fine-tune with `mmlab train` and --set {layers}."
        )
    find_text_encoder(config.text_encoder), find_image_encoder(config.image_encoder)
    return config


def resolve_folders(knobs: dict[str, Any]) -> dict[str, Any]:
    """The knobs, in which each encoder that is a folder has its absolute path: a kernel may work elsewhere."""
    resolved = dict(knobs)
    for name in ("text_encoder", "image_encoder"):
        value = knobs.get(name)
        if value == "":
            raise ConfigError(f"{name} is empty. Give a name or a folder.")
        if isinstance(value, str) and value != KNOBS[name].default and expand(value).is_dir():
            resolved[name] = str(expand(value).resolve())
    return resolved


def list_names(declared: list[Parameter]) -> list[str]:
    """The names that a notebook takes: those it declares and, if `knobs` is among them, every knob."""
    names = [parameter.name for parameter in declared]
    return [*dict.fromkeys([*names, *KNOBS])] if FURTHER in names else names


def read_notebook(path: Path | str):
    """A notebook file as nbformat's node. Raises RunError when there is none or it is no notebook."""
    # jsonschema's grammars of international addresses take a second to make; the schema of notebooks asks for none.
    sys.modules.setdefault("rfc3987_syntax", None)
    import nbformat

    try:
        return nbformat.read(str(path), as_version=4)
    except FileNotFoundError:
        raise RunError(f"There is no notebook {path}.") from None
    except (OSError, ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        why = str(error).splitlines()[0]
        raise RunError(f"{path} cannot be read as a notebook ({why}). Put the original there.") from None


def list_code_cells(notebook) -> list:
    """The code cells that are not empty."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def is_tagged(cell, tag: str = PARAMETERS_TAG) -> bool:
    """Whether a cell carries a tag."""
    return tag in cell.metadata.get("tags", [])


def read_declared(notebook, name: str) -> list[Parameter]:
    """As `read_parameters`, of a notebook's node; name: what errors call it."""
    # papermill's own inspector reads line by line and misses annotations and lines with a second "=".
    tagged = [cell for cell in list_code_cells(notebook) if is_tagged(cell)]
    if len(tagged) != 1:
        raise RunError(f"{name} has {len(tagged)} code cells tagged `{PARAMETERS_TAG}`. Tag exactly one.")
    source = tagged[0].source
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise RunError(f"{name}, parameters cell, line {error.lineno}: {error.msg}.") from None
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    helps = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    declared: dict[str, Parameter] = {}
    for statement in statements:
        where = f"{name}, parameters cell, line {statement.lineno}"
        parameter = _read_literal(statement, helps.get(statement.end_lineno, ""))
        if parameter is None:
            line = source.splitlines()[statement.lineno - 1].strip()
            fix = "Write `name = literal  # help`: a number, a text, True, False or None, without an annotation. "
            raise RunError(f"{where}: cannot use `{line}`. {fix}Derive other values in a later cell.")
        if parameter.name in declared:
            raise RunError(f"{where}: {parameter.name} is set a second time. Keep one.")
        declared[parameter.name] = parameter
    return list(declared.values())


def _read_literal(statement: ast.stmt, comment: str) -> Parameter | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            with suppress(ValueError):
                default = ast.literal_eval(value)
                if type(default) in (bool, int, float, str, type(None)):
                    return Parameter(name, default, comment)
    return None


def check_length(name: str, value: Any) -> None:
    """Raise ConfigError for a name or a value so long that it is none, and that no message can show."""
    long_number = isinstance(value, int) and value.bit_length() > LONGEST_NUMBER
    if long_number or len(name) > LONGEST or (isinstance(value, str) and len(value) > LONGEST):
        size = f"a number of {value.bit_length()} bits" if long_number else f"a text of more than {LONGEST:,} letters"
        raise ConfigError(f"{name[:40]} is too long ({size}). Give a shorter one.")


def _check_value(name: str, value: Any) -> None:
    """Raise ConfigError for a value of the right type that is out of range."""
    if name in FOLDERS and not value.strip():
        raise ConfigError(f"{name} is empty. Give the path of a folder.")
    if name in FOLDERS and "\0" in value:
        raise ConfigError(f"{name}={value!r} is no path. Give the path of a folder.")
    if name in NUMBERS:
        Knob(name, int, None, "", **NUMBERS[name]).check(value)
    elif name in KNOBS:
        KNOBS[name].check(value)
    for one in value.split(",") if name in LISTS and (value or name != "compared") else ():
        try:
            find_knob(LISTS[name]).read(one.strip())
        except ConfigError as error:
            fix = "Separate values by commas, and write decimals with a point."
            raise ConfigError(f"{name}={value!r}: {error} {fix}") from None


def _fit(parameter: Parameter, value: Any, name: str) -> Any:
    if isinstance(value, PurePath):
        value = str(value)
    elif isinstance(value, np.generic):
        value = value.item()
    kind = str if parameter.default is None else type(parameter.default)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind or (value is None and parameter.default is None):
        return value
    hint = " Write it without quotes." if isinstance(value, str) else " Write it in quotes." if kind is str else ""
    given = f"{parameter.name}={value!r} is of type {type(value).__name__}"
    wanted = f"its default {parameter.default!r} takes {kind.__name__}"
    raise RunError(f"{name}: {given}; {wanted}.{hint}")


def _names_read(notebook, name: str) -> set[str]:
    """Names that the cells after the parameters cell read from the notebook's own scope."""
    cells = list_code_cells(notebook)
    after = next(number for number, cell in enumerate(cells) if is_tagged(cell)) + 1
    read: set[str] = set()
    for number, cell in enumerate(cells[after:], start=after + 1):
        without_magics = re.sub(r"^([ \t]*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)
        try:
            try:  # first as it is: a line of a sum may begin with %
                table = symtable.symtable(cell.source, name, "exec")
            except SyntaxError:
                table = symtable.symtable(without_magics, name, "exec")
        except SyntaxError as error:
            if cell.source.lstrip().startswith("%%"):
                continue  # a cell in another language
            where = f"{name}, code cell {number}, line {error.lineno}"
            raise RunError(f"{where} is not Python: {error.msg}.") from None
        read |= _names_in(table)
    return read


def _names_in(table: symtable.SymbolTable) -> set[str]:
    outer = table.get_type() == "module"
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (outer or s.is_global())}
    return names.union(*(_names_in(child) for child in table.get_children()))

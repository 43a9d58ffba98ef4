"""Properties of knobs, notebook parameters and grids: what fits goes through every door and comes back; what does not
is refused by name."""

import itertools
import json
from functools import cache, partial

import nbformat
import pytest
import typer
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import LETTERS, assert_caught, knob_values, knobs, share_of_examples
from typer.testing import CliRunner

from mmlab.cli.options import with_knobs
from mmlab.config import KNOBS, PRESETS, Knob, RunConfig, read_knobs, write_knobs, write_value
from mmlab.errors import ConfigError, MmlabError, RunError
from mmlab.workbook.grid import Grid, combine, read_values
from mmlab.workbook.parameters import FURTHER, check_parameters, read_declared

NAMES = st.sampled_from(list(KNOBS))
NUMBERS = [knob for knob in KNOBS.values() if knob.kind in (int, float)]


# ---- knobs


def goes_through_every_door(drawn: dict, write=write_knobs) -> None:
    config = RunConfig.from_params(drawn)
    doors = {
        "JSON": json.loads(json.dumps(config.to_dict())),
        "YAML": yaml.safe_load(yaml.safe_dump(config.to_dict())),
        "knobs": read_knobs(write(drawn)),
        "copy": config.replace().to_dict(),
    }
    for name, given_ in doors.items():
        assert RunConfig.from_params(given_) == config, name
    assert RunConfig.from_params(config.changed()) == config
    assert {name: one for name, one in config.to_dict().items() if name in drawn} == drawn


@given(knobs())
def test_knobs_within_their_bounds_go_through_every_door(drawn):
    goes_through_every_door(drawn)


def test_twin_knobs_that_are_written_with_six_digits_are_caught():
    def broken(drawn):
        return write_knobs({name: float(f"{one:g}") if isinstance(one, float) else one for name, one in drawn.items()})

    assert_caught(partial(goes_through_every_door, write=broken), knobs())


@cache
def command_line() -> typer.Typer:
    """A command with an option for each knob, which prints what it was given."""
    app = typer.Typer()

    def train(*, knobs):
        print(json.dumps(knobs))

    app.command()(with_knobs(train))
    return app


@given(knobs())
def test_the_command_line_reads_what_is_typed(drawn):
    typed = []
    for name, value in drawn.items():
        flag = name.replace("_", "-")
        typed.append(
            f"--{'' if value else 'no-'}{flag}" if isinstance(value, bool) else f"--{flag}={write_value(value)}"
        )
    told = CliRunner().invoke(command_line(), typed)
    assert told.exit_code == 0 and json.loads(told.stdout) == drawn


@given(knobs(), st.sampled_from(list(PRESETS)))
def test_what_is_given_goes_before_a_preset_and_a_preset_before_defaults(drawn, preset):
    assume({"heads", "hidden"}.isdisjoint(drawn))
    defaults = {name: knob.default for name, knob in KNOBS.items()}
    assert RunConfig.from_params(drawn, preset).to_dict() == {**defaults, **PRESETS[preset], **drawn}


@st.composite
def beyond(draw) -> tuple[str, object]:
    """A knob with a value of its type that is out of its bounds."""
    knob = draw(st.sampled_from([one for one in KNOBS.values() if one.kind is not bool and one.limits]))
    if knob.choices is not None:
        return knob.name, draw(st.text(LETTERS, max_size=9).filter(lambda text: text not in knob.list_choices()))
    low, high = (
        next(one for one in pair if one is not None) for pair in ((knob.low, knob.above), (knob.high, knob.below))
    )
    if knob.kind is int:
        return knob.name, draw(st.one_of(st.integers(max_value=int(low) - 1), st.integers(min_value=int(high) + 1)))
    numbers = st.floats(max_value=low, exclude_max=knob.low is not None) | st.floats(
        high, exclude_min=knob.high is not None
    )
    return knob.name, draw(numbers | st.just(float("nan")))


def is_refused_by_name(
    drawn: tuple[str, object], make=lambda name, value: RunConfig.from_params({name: value})
) -> None:
    name, value = drawn
    try:
        make(name, value)
    except ConfigError as error:
        assert str(error).startswith(f"{name}=")
    else:
        raise AssertionError(f"{name}={value!r} was taken")


@given(beyond())
def test_what_is_out_of_bounds_is_refused_by_name(drawn):
    is_refused_by_name(drawn)
    is_refused_by_name(drawn, lambda name, value: KNOBS[name].read(str(value)))


def test_twin_a_knob_that_forgets_a_bound_is_caught():
    def broken(name, value):
        from dataclasses import replace

        replace(KNOBS[name], below=None, above=None).check(value)

    assert_caught(partial(is_refused_by_name, make=broken), beyond())


@given(
    NAMES, st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.lists(st.integers(), max_size=2))
)
def test_what_is_of_another_type_is_refused_by_name(name, value):
    kind = KNOBS[name].kind
    assume(type(value) is not kind and not (kind is float and type(value) is int))
    is_refused_by_name((name, value))


@given(st.text(max_size=30))
def test_any_text_of_knobs_is_read_or_refused_in_a_sentence(text):
    try:
        assert read_knobs(write_knobs(read_knobs(text))) == read_knobs(text)
    except ConfigError as error:
        assert str(error)


@given(st.text(max_size=12), st.sampled_from([int, float, bool, str]))
@example("9" * 5000, int)
@example("1e999", float)
def test_any_text_of_a_value_is_read_or_refused_by_name(text, kind):
    knob = Knob("width", kind, None, "")
    try:
        assert isinstance(knob.read(text), kind)
    except ConfigError as error:
        assert str(error).startswith("width=")


# ---- parameters of notebooks

WORDS = st.text(st.characters(categories=["L", "N", "P", "S"], max_codepoint=0x2FFF), max_size=20)
LITERALS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(LETTERS),
)
DECLARED = st.lists(
    st.tuples(st.from_regex(r"[a-z][a-z_]{2,8}x", fullmatch=True), LITERALS, WORDS),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one[0],
)


def notebook(parameters: list[tuple], more: str = "") -> nbformat.NotebookNode:
    lines = [f"{name} = {value!r}" + f"  # {help}" * bool(help) for name, value, help in parameters]
    cell = nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": ["parameters"]})
    read = "\n".join(f"print({name})" for name, _, _ in parameters)
    return nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell(read + more)])


def reads_what_is_declared(drawn: list[tuple], read=read_declared) -> None:
    found = read(notebook(drawn), "one.ipynb")
    assert [(one.name, one.default) for one in found] == [(name, value) for name, value, _ in drawn]
    assert [type(one.default) for one in found] == [type(value) for _, value, _ in drawn]
    assert [one.help for one in found] == [help.lstrip("# ") for _, _, help in drawn]


@given(DECLARED)
def test_the_parameters_of_a_notebook_are_read_as_they_are_declared(drawn):
    reads_what_is_declared(drawn)


def test_twin_a_reader_of_lines_is_caught():
    def broken(node, name):
        from ast import literal_eval

        from mmlab.workbook.parameters import Parameter

        lines = [line.partition("#")[::2] for line in node.cells[0].source.split("\n")]
        pairs = [(code.partition("=")[::2], help) for code, help in lines]
        try:
            return [Parameter(key.strip(), literal_eval(value.strip()), help.strip()) for (key, value), help in pairs]
        except (SyntaxError, ValueError):
            return []

    assert_caught(partial(reads_what_is_declared, read=broken), DECLARED)


@share_of_examples(0.5)
@given(DECLARED, st.data())
def test_parameters_are_checked_by_name_and_type(tmp_path_factory, drawn, data):
    path = tmp_path_factory.getbasetemp() / "declared.ipynb"
    nbformat.write(notebook(drawn), path)
    given_ = {name: value for name, value, _ in drawn}
    assert check_parameters(path, given_) == given_
    name, value, _ = data.draw(st.sampled_from(drawn))
    other = data.draw(LITERALS)
    fits = type(other) is type(value if value is not None else "") or (type(value) is float and type(other) is int)
    try:
        check_parameters(path, given_ | {name: other})
    except RunError as error:
        assert name in str(error) and not fits
    else:
        assert fits or (value is None and other is None)
    with pytest.raises(RunError, match="no parameter 'unknown'"):
        check_parameters(path, given_ | {"unknown": 1})


@share_of_examples(0.5)
@given(knobs())
def test_a_knob_that_a_notebook_does_not_declare_travels_in_its_text_of_knobs(tmp_path_factory, drawn):
    path = tmp_path_factory.getbasetemp() / "further.ipynb"
    nbformat.write(notebook([(FURTHER, "", ""), ("lr", 1e-3, "")]), path)
    fitted = check_parameters(path, drawn)
    further = read_knobs(fitted.get(FURTHER, ""))
    assert further == {name: value for name, value in drawn.items() if name != "lr"}
    assert fitted.get("lr") == drawn.get("lr")


# ---- grids

GRID_KNOBS = st.sampled_from(["lr", "dropout", "fusion", "hidden", "class_weights", "weight_decay", "label_smoothing"])


def grid_values(name: str) -> st.SearchStrategy[list]:
    values = st.just(4) | st.sampled_from([8, 64, 4096]) if name == "hidden" else knob_values(KNOBS[name])
    return st.lists(values, min_size=1, max_size=3, unique=True)


VALUES = st.lists(GRID_KNOBS, min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: grid_values(name) for name in names})
)


def lists_every_combination(drawn: dict, expand=combine) -> None:
    found = expand(drawn)
    assert len(found) == len({tuple(one.values()) for one in found})
    assert [tuple(one.values()) for one in found] == list(itertools.product(*drawn.values()))
    assert all(list(one) == list(drawn) for one in found)


@given(VALUES)
def test_a_grid_has_every_combination_once_the_last_knob_changing_fastest(drawn):
    lists_every_combination(drawn)


def test_twin_a_grid_of_pairs_in_step_is_caught():
    def broken(values):
        return [dict(zip(values, chosen)) for chosen in zip(*values.values())]

    assert_caught(partial(lists_every_combination, expand=broken), VALUES)


@given(VALUES)
def test_values_of_a_grid_are_read_as_they_are_typed(drawn):
    typed = [f"{name}={','.join(map(write_value, values))}" for name, values in drawn.items()]
    assert read_values(typed) == drawn


@share_of_examples(0.3)
@given(VALUES, st.integers(1, 3), st.integers(0, 9))
def test_each_setting_of_a_grid_is_planned_with_each_seed(drawn, seeds, first):
    grid = Grid("data/demo", "results", drawn, {"folds": 0, "seed": first}, seeds)
    expected = [one | {"seed": seed} for one in combine(drawn) for seed in range(first, first + seeds)]
    assert [{name: one[name] for name in grid.names} for one in grid.planned] == expected
    assert all(one["folds"] == 0 for one in grid.planned)
    assert len({RunConfig.from_params(one) for one in grid.planned}) == len(grid.planned)


@pytest.mark.parametrize("twice", [{"lr": [1e-3, 0.001]}, {"lr": [1, 1.0]}, {"weight_decay": [0, 0.0]}])
def test_a_value_that_is_there_twice_is_refused(twice):
    with pytest.raises(MmlabError, match="twice"):
        Grid("data/demo", "results", twice)

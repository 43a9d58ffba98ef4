"""Files that lie: damaged ones are refused by name or made anew, and nothing in them ever runs."""

import json
import os
import pickle
import random
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import mmlab
from mmlab.encoders import find_image_encoder, find_text_encoder
from mmlab.errors import EncoderError, MmlabError, RunError
from mmlab.hub import check_cached
from mmlab.lab import load
from mmlab.runs import load_run
from mmlab.runs.records import find_main, read_record, write_record
from mmlab.storage import digest_file, read_file, seal_bytes, seal_json, unseal_bytes, unseal_json
from soak import flips
from soak.finished import AREAS

EACH = 7  # trials of an area
SLOW = {"networks: encode": 3, "encoders: ask": 4, "tables and page: report": 2}


@pytest.fixture(scope="module")
def world():
    with flips.finished_world() as made:
        yield made


def flip(path: Path, place: float = 0.5) -> None:
    raw = bytearray(path.read_bytes())
    raw[int(place * (len(raw) - 1))] ^= 1
    path.write_bytes(raw)


# ---- all files, all kinds of damage


@pytest.mark.parametrize("area", AREAS)
def test_a_damaged_file_is_refused_by_name_or_made_anew_or_changes_nothing(world, area):
    trials = [flips.try_file(world, area, seed) for seed in range(SLOW.get(area, EACH))]
    assert [trial for trial in trials if trial.outcome in flips.BAD] == []


def test_a_pickle_in_the_place_of_any_file_never_runs(world):
    for area in AREAS:
        if area not in SLOW:
            assert flips.try_file(world, area, 0, flips.PICKLE).outcome in flips.GOOD, area


def test_twin_a_reader_that_believes_what_it_reads_is_found_out(world, monkeypatch):
    file = world.main.folder / "predictions.csv"
    place = file.relative_to(world.folder).as_posix()
    area = replace(flips.AREAS["runs: ask"], pattern=place, read=lambda _: file.read_text())
    monkeypatch.setitem(flips.AREAS, "runs: ask", area)
    monkeypatch.setitem(world.expected, "runs: ask", file.read_text())
    assert flips.try_file(world, "runs: ask", 0, "grown").outcome == "silently wrong"
    assert flips.try_file(world, "runs: ask", 0, flips.DELETED).outcome == "foreign exception"


def test_twin_a_reader_that_runs_pickles_is_found_out(world, monkeypatch):
    file = next((world.folder / "checkpoints").iterdir())
    careless = replace(flips.AREAS["checkpoint: read"], read=lambda _: pickle.loads(file.read_bytes()))
    monkeypatch.setitem(flips.AREAS, "checkpoint: read", careless)
    assert flips.try_file(world, "checkpoint: read", 0, flips.PICKLE).outcome == "code ran"


def test_the_table_of_outcomes_counts_each_trial_once():
    trials = [flips.Trial("a", kind, "f", 0, outcome, "", 0.1) for kind in "xy" for outcome in ("rebuilt", "code ran")]
    table = flips.tabulate(trials)
    assert table["outcomes"] == {"rebuilt": 2, "code ran": 2} and len(table["wrong"]) == 2
    assert table["by kind"] == {kind: {"rebuilt": 1, "code ran": 1} for kind in "xy"}


@pytest.mark.parametrize("kind", flips.KINDS)
def test_each_kind_of_damage_changes_the_bytes(kind):
    raw = bytes(range(1, 255)) * 3
    changed = [flips.KINDS[kind](raw, b"another", random.Random(seed)) for seed in range(50)]
    assert all(one != raw for one in changed)
    assert len(set(changed)) > 10 or kind == "swapped"


# ---- seals


def test_a_sealed_record_is_read_back_and_one_changed_value_is_noticed():
    record = {"a": 1, "b": [0.1, "中", None], "c": {"d": True}}
    sealed = seal_json(record).encode()
    assert unseal_json(sealed) == record
    assert unseal_json(json.dumps(json.loads(sealed), indent=7).encode()) == record  # the layout says nothing
    for old, new in ((b"0.1", b"0.2"), (b"true", b"false"), (b'"a"', b'"e"'), (b'"digest"', b'"digesT"')):
        with pytest.raises(ValueError, match="changed after|no digest"):
            unseal_json(sealed.replace(old, new))
    for raw in (b"", b"[]", b"3", b"{", b"\xff", b"[" * 5000, b'{"a": 1}'):
        with pytest.raises(ValueError):
            unseal_json(raw)


def test_every_bit_of_sealed_bytes_counts():
    sealed = seal_bytes(b"content")
    assert unseal_bytes(sealed) == b"content"
    for place in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match="changed after"):
            unseal_bytes(bytes(changed))


def test_a_remembered_digest_is_of_this_state_of_the_file_and_its_note_is_checked(cache, tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = digest_file(file)
    assert digest_file(file, remembered=True) == first
    (note,) = (cache / "digests").iterdir()
    for place in np.linspace(0, 1, 9):
        whole = note.read_bytes()
        flip(note, place)
        assert digest_file(file, remembered=True) == first
        assert note.read_bytes() == whole or place == 1, "it is made again"
        note.write_bytes(whole)
    times = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest_file(file, remembered=True) == digest_file(file) != first


def test_a_digest_that_is_remembered_is_not_computed(cache, tmp_path, monkeypatch):
    """The twin: a note that is sound is believed."""
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = digest_file(file, remembered=True)
    monkeypatch.setattr("mmlab.storage._open_regular", None)
    monkeypatch.setattr("mmlab.storage.read_file", lambda path: Path(path).read_bytes())
    assert digest_file(file, remembered=True) == first


def test_a_large_limit_costs_no_memory(tmp_path):
    (tmp_path / "small").write_bytes(b"small")
    assert read_file(tmp_path / "small", 2**60) == b"small"


# ---- weights


@pytest.mark.parametrize(("name", "find"), [("minilm", find_text_encoder), ("efficientnet_lite0", find_image_encoder)])
def test_a_bit_in_the_weights_of_a_default_encoder_is_refused_by_name(cache, tmp_path, monkeypatch, name, find):
    sound = find(name)
    parts = Path(sound.file).parts
    module = tmp_path / parts[0]
    shutil.copytree(Path(sound.source).parents[len(parts) - 2], module)
    spec = SimpleNamespace(submodule_search_locations=[str(module)])
    monkeypatch.setattr("mmlab.weights.importlib.util.find_spec", lambda _: spec)
    other = find(name)
    assert other.identity == sound.identity and other.source != sound.source  # the twin: a sound copy
    for file in sound.sha256:
        path = next(module.rglob(file))
        whole = path.read_bytes()
        flip(path, 0.7)
        with pytest.raises(EncoderError, match=rf"{file}: is missing or not as {sound.package} has it"):
            find(name)
        with pytest.raises(EncoderError, match="pip install --force-reinstall"):
            other.load()  # it was found before
        path.write_bytes(whole)


def test_tensors_that_are_missing_or_too_many_are_refused(world, tmp_path):
    from safetensors.torch import load_file, save_file

    for side, find in (("text", find_text_encoder), ("image", find_image_encoder)):
        folder = Path(shutil.copytree(world.folder / "encoders" / side, tmp_path / side))
        weights = folder / "model.safetensors"
        find(str(folder)).load()  # the twin
        whole = load_file(weights)
        name = next(one for one in whole if "attention" in one or "attn" in one)
        damages = {
            "without": {key: one for key, one in whole.items() if key != name},
            "besides": whole | {name.replace("1", "7").replace("0", "7"): whole[name].clone()},
            "renamed": {key.replace(name, f"{name}x"): one for key, one in whole.items()},
        }
        for damage, tensors in damages.items():
            save_file(tensors, weights, {"format": "pt"})
            with pytest.raises(EncoderError):
                find(str(folder)).load()
                pytest.fail(damage)


def test_a_text_encoder_of_another_head_is_read_and_one_that_is_cut_short_is_not(world, tmp_path):
    import transformers

    tiny = world.folder / "encoders" / "text"
    model = transformers.BertForMaskedLM(transformers.AutoConfig.from_pretrained(tiny))
    shutil.copytree(tiny, tmp_path / "text")
    model.save_pretrained(tmp_path / "text")  # it has a head for words, and no pooler
    find_text_encoder(str(tmp_path / "text")).load()
    config = json.loads((tmp_path / "text" / "config.json").read_text())
    (tmp_path / "text" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    with pytest.raises(EncoderError, match="has a tensor that its config.json does not know: .*layer.1"):
        find_text_encoder(str(tmp_path / "text")).load()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.pt", "pytorch_model.pth"])
@pytest.mark.parametrize("side", ["text", "image"])
def test_a_pickle_as_weights_of_an_encoder_never_runs(world, tmp_path, side, name):
    folder = Path(shutil.copytree(world.folder / "encoders" / side, tmp_path / side))
    (folder / "model.safetensors").unlink()
    marker = tmp_path / "marker"
    (folder / name).write_bytes(pickle.dumps(flips._Code(str(marker)), protocol=2))
    find = find_text_encoder if side == "text" else find_image_encoder
    with pytest.raises(EncoderError):
        find(str(folder)).load()
    assert not marker.exists()
    pickle.loads((folder / name).read_bytes())  # the twin: it would write
    assert marker.exists()


def test_a_damaged_file_of_the_hubs_cache_is_named(world):
    assert check_cached("soak/tiny") is True and check_cached("soak/other") is False
    blob = max((world.folder / "hub").rglob("blobs/*"), key=lambda path: path.stat().st_size)
    flip(blob)
    with pytest.raises(EncoderError, match="is damaged. Delete .*models--soak--tiny"):
        check_cached("soak/tiny")
    world.restore()


def test_a_model_does_not_answer_with_other_weights_of_its_encoder(world):
    flip(world.folder / "encoders" / "text" / "model.safetensors", 0.9)
    with pytest.raises(RunError, match="was trained with other weights of the text encoder"):
        load(world.results).predict("a text")
    world.restore()
    assert load(world.results).predict("a text").label  # the twin


def test_a_converted_network_with_one_flipped_bit_is_converted_again(world, monkeypatch):
    from mmlab import encoders

    converted = []
    whole = encoders.convert
    monkeypatch.setattr(encoders, "convert", lambda network, folder: converted.append(folder) or whole(network, folder))
    expected = AREAS["networks: encode"].read(world)
    assert converted == []
    for name in ("model.bin", "tokenizer.json"):
        flip(next((world.folder / "cache" / "networks").rglob(name)), 0.8)
        assert AREAS["networks: encode"].read(world) == expected
        assert len(converted) == 1, name
        converted.clear()
    world.restore()


# ---- runs, records, models


def test_a_record_of_wrong_types_is_a_gap_of_the_report(world):
    from mmlab.report import Evidence

    whole = read_record(world.results, "01_data_exploration")
    changes = ({"majority": "much"}, {"health": 3}, {"health": whole["health"] | {"label_counts": {}}}, {"runs": None})
    for change in changes:
        write_record(world.results, "01_data_exploration", whole | change)
        (gap,) = Evidence.gather(world.results).gaps
        assert "is not as the notebook writes it" in gap.detail, change
    world.restore()
    assert Evidence.gather(world.results).gaps == []  # the twin


def test_a_prediction_file_that_is_not_the_main_runs_is_named(world):
    from mmlab.report import Evidence, judge_predictions

    file = world.results / "test_result.txt"
    evidence = Evidence.gather(world.results)
    assert judge_predictions(evidence).ok
    lines = file.read_text().splitlines()
    label = next(one for one in ("neutral", "negative") if not lines[1].endswith(one))
    file.write_text("\n".join([lines[0], f"{lines[1].partition(',')[0]},{label}", *lines[2:]]) + "\n")
    assert any("is not what the main run answers" in one for one in judge_predictions(evidence).problems)
    world.restore()


def test_an_export_without_one_of_its_two_lists_says_so(world):
    export = world.folder / "export"
    for name in ("export.json", "metrics.json"):
        (export / name).unlink()
        with pytest.raises(RunError, match=rf"{name}: is damaged \(.*\). Export the model again."):
            load(export)
        world.restore()
    assert load(export).scores  # the twin


def test_what_fit_has_trained_on_one_side_is_found(world, tmp_path):
    course, knobs = mmlab.read_course(world.folder / "data"), world.main.config.to_dict()

    def fit(scenario: str):
        return mmlab.fit(course, tmp_path, **knobs | {"scenario": scenario}).run.folder

    texts = fit("text_only")
    assert load(tmp_path).run.folder == texts
    images = fit("image_only")
    with pytest.raises(RunError, match="holds several runs"):
        load(tmp_path)
    both = fit("text_and_image")
    assert find_main(tmp_path) == both not in (texts, images)  # the twin: of all scenarios there is one


def test_a_run_that_failed_is_not_asked(world):
    failed = world.results / "notebooks" / "04_fusion.failed.ipynb"
    failed.parent.mkdir()
    failed.write_text("{}")
    with pytest.raises(RunError, match="notebook 04_fusion failed, so this holds no finished run"):
        load(world.results)
    assert load(world.main.folder).scores  # the twin: a run that is named is asked
    world.restore()
    assert load(world.results).scores


def test_an_answer_is_shown_when_its_picture_is_gone(world, tmp_path):
    picture = shutil.copyfile(next((world.folder / "data" / "data").glob("*.jpg")), tmp_path / "<b>.jpg")
    answer = load(world.results).predict("a text", picture)
    assert "<img" in answer._repr_html_()
    picture.unlink()
    assert "&lt;b&gt;.jpg can no longer be read" in answer._repr_html_()


def test_a_run_without_a_seal_is_not_believed(world):
    path = world.main.folder / "metrics.json"
    record = json.loads(path.read_text())
    del record["digest"], record["seal"]
    path.write_text(json.dumps(record))
    with pytest.raises(MmlabError, match="it has no digest"):
        load_run(world.main.folder)
    world.restore()

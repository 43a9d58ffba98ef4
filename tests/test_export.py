"""A finished model as one folder: the same answers elsewhere, nothing of the course in it, and no damage unnoticed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mmlab
from mmlab.config import LABELS
from mmlab.errors import MmlabError, RunError
from mmlab.export import export_model

TEXT = "river garden window orange silver thunder"


def export(lab, folder: Path) -> Path:
    return export_model(lab.run, lab.temperature, lab.scores, folder)


@pytest.fixture(scope="module")
def exported(small_lab, tmp_path_factory) -> Path:
    return export(small_lab, tmp_path_factory.mktemp("export") / "model")


def list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_exported_model_answers_bit_for_bit(small_lab, exported, pristine, tmp_path):
    moved = shutil.copytree(exported, tmp_path / "elsewhere")
    lab, picture = mmlab.load(moved), pristine / "data" / "000.jpg"
    one, two = lab.predict(TEXT, picture), small_lab.predict(TEXT, picture)
    assert one.confidence == two.confidence and one.calibrated
    for scenario, probabilities in two.probabilities.items():
        assert np.array_equal(one.probabilities[scenario], probabilities)
    assert small_lab.predict("another text", picture).confidence != two.confidence
    assert repr(lab).splitlines()[1:] == repr(small_lab).splitlines()[1:]


def test_any_flipped_bit_and_any_missing_file_is_noticed_by_name(exported, tmp_path):
    for number, path in enumerate(list_files(exported)):
        copy = shutil.copytree(exported, tmp_path / str(number))
        mmlab.load(copy)  # the twin: untouched, it loads
        victim = copy / path.relative_to(exported)
        raw = bytearray(victim.read_bytes())
        raw[0 if path.name == "export.json" else len(raw) // 2] ^= 1
        victim.write_bytes(raw)
        with pytest.raises(MmlabError, match=victim.name):
            mmlab.load(copy)
        if path.name != "export.json":
            victim.unlink()
            with pytest.raises(MmlabError, match=f"{victim.name}: is missing"):
                mmlab.load(copy)


def test_nothing_of_the_course_or_of_the_machine_is_in_it(exported, small_lab, pristine):
    course = mmlab.read_course(pristine)
    secrets = [str(pristine), str(small_lab.run.folder.parents[1]), str(Path.home()), *course.pairs["text"]]
    for path in list_files(exported):
        raw = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in raw], path.name
        if path.suffix == ".csv":
            assert raw.startswith(b"fold,seed,best_epoch") and not any(label.encode() in raw for label in LABELS)
    assert "predictions.csv" not in {path.name for path in list_files(exported)}
    assert course.pairs["text"][0].encode() in (pristine / "data" / "000.txt").read_bytes()  # the twin


def test_nothing_is_overwritten_and_an_interruption_leaves_nothing(small_lab, exported, tmp_path, monkeypatch):
    with pytest.raises(RunError, match="not empty"):
        export(small_lab, exported)
    with pytest.raises(RunError, match="exported model already"):
        export(mmlab.load(exported), tmp_path / "again")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mmlab.export.write_card", stop)
    with pytest.raises(KeyboardInterrupt):
        export(small_lab, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_another_encoder_is_refused(exported, tmp_path, monkeypatch):
    copy = shutil.copytree(exported, tmp_path / "model")
    facts = json.loads((copy / "export.json").read_text())
    facts["encoders"]["text"]["identity"] = "0" * 32
    (copy / "export.json").write_text(json.dumps(facts))
    with pytest.raises(RunError, match="other weights of minilm"):
        mmlab.load(copy)


def test_an_encoder_that_is_a_folder_goes_along(pristine, tmp_path, cache):
    import timm

    folder = tmp_path / "secret place" / "convnext"
    timm.models.save_for_hf(timm.create_model("test_convnext"), folder)
    course = mmlab.read_course(pristine)
    lab = mmlab.fit(course, tmp_path / "results", "smoke", hidden=16, image_encoder=str(folder))
    picture = pristine / "data" / "001.jpg"
    before = lab.predict(TEXT, picture).probabilities["text_and_image"]
    export(lab, tmp_path / "model")
    shutil.rmtree(folder.parent)
    moved = (tmp_path / "model").rename(tmp_path / "moved")
    assert np.array_equal(mmlab.load(moved).predict(TEXT, picture).probabilities["text_and_image"], before)
    for path in list_files(moved):
        assert str(tmp_path).encode() not in path.read_bytes(), path.name
    weights = max(list_files(moved / "encoders"), key=lambda path: path.stat().st_size)
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(RunError, match=weights.name):
        mmlab.load(moved)

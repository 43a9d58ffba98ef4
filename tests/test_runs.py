"""A run on disk: found again, never half, never another's, and the same twice."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reports import seal_again

from mmlab import storage, training
from mmlab.config import LABELS, SCENARIOS, RunConfig, probability_columns
from mmlab.course import Course, split_folds
from mmlab.errors import RunError
from mmlab.evaluation import METRICS, Metric, majority_baseline
from mmlab.features import Features, Sequences
from mmlab.runs import folder as folder_module
from mmlab.runs import (
    is_complete,
    keep,
    keep_predictions,
    load_run,
    predict_course,
    predict_out_of_fold,
    predict_patches,
    predict_without,
    result_name,
    run_folder,
    train_run,
    write_test_results,
)

N_LABELLED, N_TEST = 90, 60
CONFIG = RunConfig(
    fusion="concat", hidden=8, heads=2, dropout=0.3, lr=1e-2, epochs=4, batch_size=16, folds=2, seeds=1
)  # fmt: skip


def make_data() -> tuple[Course, Features]:
    """A course without files whose text and image each tell something of the label; twins two by two up to 20."""
    random = np.random.default_rng(0)
    total = N_LABELLED + N_TEST
    numbers = random.integers(0, 3, total)
    twins = np.arange(total)
    twins[1:20:2] = twins[:20:2]

    def side(width: int, lengths: np.ndarray) -> Sequences:
        cue = np.eye(width)[numbers] * random.integers(0, 2, (total, 1))  # half of the pairs carry one
        vectors = random.standard_normal((total, width)) + 2 * cue
        starts = np.concatenate([[0], np.cumsum(lengths)])
        return Sequences(np.repeat(vectors, lengths, axis=0).astype(np.float16), starts)

    text, image = side(6, random.integers(1, 4, total)), side(7, np.full(total, 3))
    guids = [f"g{number}" for number in range(total)]
    folds = split_folds(numbers[:N_LABELLED], twins[:N_LABELLED], 5, 0)
    pairs = pd.DataFrame({
        "guid": guids,
        "label": [LABELS[number] for number in numbers[:N_LABELLED]] + [None] * N_TEST,
        "twin": twins,
        "split": np.where(folds == 0, "dev", "train").tolist() + ["test"] * N_TEST,
    })  # fmt: skip
    return Course(Path("nowhere"), pairs, None, 0, "data", "split"), Features(guids, text, image, "encoders")


def list_runs(results) -> list:
    return [load_run(file.parent) for file in sorted((Path(results) / "runs").glob("[!.]*/metrics.json"))]


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A complete run that tests only read."""
    return train_run(CONFIG, *data, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def results(trained, tmp_path) -> Path:
    """A results folder with that run, which a test may spoil."""
    shutil.copytree(trained.folder.parents[1], tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def trainings(monkeypatch) -> list[RunConfig]:
    """The trainings that really take place."""
    done = []
    whole = training.cross_fit

    def remember(config, *rest):
        done.append(config)
        return whole(config, *rest)

    monkeypatch.setattr(training, "cross_fit", remember)
    return done


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ------------------------------------------------------------------------------------------- what is kept


def test_a_run_keeps_everything_about_itself(trained, data):
    assert sorted(contents(trained.folder)) == sorted([
        "config.json", "metrics.json", "history.csv", "best_epochs.csv", "predictions.csv", "test_predictions.csv",
        "model_fold0_seed0.safetensors", "model_fold1_seed0.safetensors",
        *(f"test_result_0.01_0.3_{scenario}.txt" for scenario in SCENARIOS),
    ])  # fmt: skip
    record = json.loads((trained.folder / "config.json").read_text())
    assert record["config"] == CONFIG.to_dict()
    for fact in ("data_fingerprint", "split_hash", "encoders", "code", "commit", "python", "packages", "device"):
        assert fact in record["provenance"]
    assert record["provenance"]["data_fingerprint"] == "data"
    assert record["provenance"]["packages"]["torch"].startswith("2")
    assert trained.folder.parent.name == "runs"


def test_a_run_read_back_is_the_training(trained, data):
    course, features = data
    fitted = training.cross_fit(CONFIG, course, features)
    assert list(trained.predictions.columns) == list(fitted.predictions.columns)
    assert trained.predictions["guid"].tolist() == course.labelled["guid"].tolist()
    assert trained.predictions["label"].tolist() == course.labelled["label"].tolist()
    for scenario in SCENARIOS:
        columns = probability_columns(scenario)
        np.testing.assert_allclose(trained.predictions[columns], fitted.predictions[columns], rtol=1e-6)
        np.testing.assert_allclose(trained.test_predictions[columns], fitted.test_predictions[columns], rtol=1e-6)
        best = trained.predictions[columns].to_numpy().argmax(axis=1)
        accuracy = (np.asarray(LABELS)[best] == course.labelled["label"]).mean()
        assert trained.scores[scenario].accuracy.value == pytest.approx(accuracy)
    assert set(trained.scores) == set(SCENARIOS)
    assert trained.config == CONFIG and trained.name == "text_and_image" and trained.seconds > 0
    assert trained.history["dev_loss"].dtype == float
    assert trained.best_epochs["best_epoch"].tolist() == fitted.best_epochs["best_epoch"].tolist()


def test_the_saved_models_give_the_saved_predictions(trained, data):
    course, features = data
    again = predict_out_of_fold(trained, features)
    np.testing.assert_allclose(again.iloc[:, 4:], trained.predictions.iloc[:, 4:], rtol=1e-4, atol=1e-6)
    everyone = predict_course(trained, features)
    assert everyone["guid"].tolist() == features.guids
    np.testing.assert_allclose(
        everyone.iloc[N_LABELLED:, 1:], trained.test_predictions.iloc[:, 1:], rtol=1e-4, atol=1e-6
    )
    # The twin: without the images the joint answer is another, and the text's is the same.
    blind = predict_out_of_fold(trained, features.without("image"))
    columns = probability_columns("text_only")
    np.testing.assert_allclose(blind[columns], again[columns], rtol=1e-4, atol=1e-6)
    columns = probability_columns("text_and_image")
    assert (np.abs(blind[columns] - again[columns]).max(axis=1) > 1e-4).all()


def test_one_seed_of_several_answers_as_a_run_with_one(data, tmp_path):
    """The first seed's models are the same ones whether others follow or not; all of them answer otherwise."""
    one = train_run(CONFIG.replace(seeds=1), *data, tmp_path)
    two = train_run(CONFIG.replace(seeds=2), *data, tmp_path)
    columns = probability_columns("text_and_image")
    first = predict_out_of_fold(two, data[1], seeds=1)[columns].to_numpy()
    np.testing.assert_allclose(first, one.predictions[columns].to_numpy(), atol=1e-6)
    assert np.abs(predict_out_of_fold(two, data[1])[columns].to_numpy() - first).max() > 1e-3


def test_what_a_modality_leaves_behind_is_a_scenario_of_its_own(trained, data):
    blind = predict_without(trained, data[1], "image")
    assert list(blind)[4:] == probability_columns("joint_without_image") and len(blind) == N_LABELLED
    assert set(blind["label"]) == set(LABELS)
    same = predict_out_of_fold(trained, data[1].without("image"))[probability_columns("text_and_image")]
    assert np.array_equal(blind[probability_columns("joint_without_image")], same)


def test_the_whole_image_among_the_patches_is_what_the_image_head_says(trained, data):
    answers = predict_patches(trained, data[1])
    assert answers.shape == (N_LABELLED, 3, 3) and np.allclose(answers.sum(axis=-1), 1)
    whole = trained.predictions[probability_columns("image_only")].to_numpy()
    assert np.abs(answers[:, 0] - whole).max() < 1e-6
    assert np.abs(answers[:, 1:] - whole[:, None]).max() < 1e-6  # the patches of these images repeat the whole
    numbers = np.random.default_rng(0).permutation(len(data[1]))
    other = predict_patches(trained, data[1].pair_up(np.arange(len(data[1])), numbers))
    assert np.abs(other[:, 0] - whole).max() > 0.1  # the twin: other images, other answers


def test_folds_are_found_by_guid(trained, data):
    course = data[0]
    folds = trained.find_folds(course)
    assert dict(zip(course.labelled["guid"], folds, strict=True)) == dict(
        zip(trained.predictions["guid"], trained.predictions["fold"], strict=True)
    )
    less = dataclasses.replace(course, pairs=course.pairs.iloc[::-1].reset_index(drop=True))
    assert list(trained.find_folds(less)) == list(folds[::-1])


def test_a_metric_newer_than_the_run_is_computed_from_its_predictions(trained, results, monkeypatch):
    new = Metric("answers", "answers", "how many there are", lambda confusion: confusion.sum(axis=(-2, -1)))
    monkeypatch.setitem(METRICS, "answers", new)
    assert load_run(results / "runs" / trained.id).scores["text_only"].answers.value == N_LABELLED


def test_a_score_that_was_changed_on_disk_is_not_believed(trained, results):
    path = results / "runs" / trained.id / "metrics.json"
    data = json.loads(path.read_text())
    data["scores"]["text_only"]["accuracy"] = [0.999, 0.99, 1.0]
    path.write_text(json.dumps(data))
    with pytest.raises(RunError, match="metrics.json: is damaged .it was changed after it was written"):
        load_run(path.parent)
    del data["digest"]
    path.write_text(storage.seal_json(data))  # by someone who knows how: scores come from the predictions all the same
    assert load_run(path.parent).scores["text_only"] == trained.scores["text_only"]


def test_each_scenario_has_a_prediction_file_in_the_order_to_answer_in(trained, data):
    course, _ = data
    texts = set()
    for scenario in SCENARIOS:
        lines = (trained.folder / result_name(CONFIG, scenario)).read_text().splitlines()
        assert lines[0] == "guid,tag"
        assert [line.split(",")[0] for line in lines[1:]] == course.test["guid"].tolist()
        best = trained.test_predictions[probability_columns(scenario)].to_numpy().argmax(axis=1)
        assert [line.split(",")[1] for line in lines[1:]] == [LABELS[number] for number in best]
        texts.add("\n".join(lines))
    assert len(texts) == 3


def test_the_same_training_twice_gives_the_same_files_byte_for_byte(trained, data, tmp_path):
    again = train_run(CONFIG, *data, tmp_path)
    assert again.folder.name == trained.folder.name
    first, second = contents(trained.folder), contents(again.folder)
    assert list(first) == list(second)
    assert {name for name in first if first[name] != second[name]} <= {"history.csv", "metrics.json"}
    without_time = [{**json.loads(files["metrics.json"]), "seconds": 0} for files in (first, second)]
    for record in without_time:
        del record["seal"]["history.csv"], record["digest"]  # the history holds the seconds of each epoch
    assert without_time[0] == without_time[1]
    other = contents(train_run(CONFIG.replace(seed=1), *data, tmp_path).folder)  # the twin
    assert first["predictions.csv"] != other["predictions.csv"]


def test_progress_is_told(data, tmp_path):
    ticks = []
    train_run(CONFIG.replace(epochs=1, seeds=2), *data, tmp_path, lambda *done: ticks.append(done))
    assert ticks == [(1, 4), (2, 4), (3, 4), (4, 4)]


# ---------------------------------------------------------------------------------- done once, done whole


def test_a_complete_run_is_never_done_again(results, trained, data, trainings):
    before = contents(results / "runs" / trained.id)
    again = train_run(CONFIG, *data, results)
    assert trainings == [] and again.scores == trained.scores
    assert contents(again.folder) == before
    train_run(CONFIG.replace(lr=2e-2), *data, results)  # the twin: another knob is another training
    assert len(trainings) == 1
    assert len(list((results / "runs").glob("*/metrics.json"))) == 2


def test_a_half_done_run_is_done_again_from_an_empty_folder(results, trained, data, trainings):
    folder = results / "runs" / trained.id
    (folder / "metrics.json").unlink()
    (folder / "predictions.csv").write_text("half a li")
    (folder / "of an earlier version.txt").write_text("")
    assert not is_complete(folder)
    with pytest.raises(RunError, match="metrics.json is missing"):
        load_run(folder)
    again = train_run(CONFIG, *data, results)
    assert len(trainings) == 1
    assert contents(again.folder).keys() == contents(trained.folder).keys()
    assert contents(again.folder)["predictions.csv"] == contents(trained.folder)["predictions.csv"]


def test_metrics_are_written_last(data, tmp_path, monkeypatch):
    """An interrupt at any file before metrics.json leaves a run that does not count."""
    whole = keep.write_atomic
    for last in ("test_predictions.csv", "model_fold1_seed0.safetensors", "metrics.json"):

        def interrupted(path, content, last=last):
            if Path(path).name == last:
                raise KeyboardInterrupt
            return whole(path, content)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(keep, "write_atomic", interrupted)
            train_run(CONFIG.replace(epochs=1), *data, tmp_path)
        assert list_runs(tmp_path) == []
    assert is_complete(train_run(CONFIG.replace(epochs=1), *data, tmp_path).folder)


def drop_key(*keys: str):
    def change(path: Path) -> None:
        record = json.loads(path.read_text())
        inner = record
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        path.write_text(json.dumps(record))

    return change


def add_knob(path: Path) -> None:
    record = json.loads(path.read_text())
    record["config"]["knob_of_another_version"] = 1
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("config.json", lambda path: path.write_text("{")),
        ("config.json", lambda path: path.write_text("[]")),
        ("config.json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("config.json", lambda path: path.unlink()),
        ("config.json", add_knob),
        ("config.json", drop_key("provenance")),
        ("metrics.json", lambda path: path.write_text("")),
        ("metrics.json", lambda path: path.write_text('{"name": "a", "scores": [], "seconds": 1}')),
        ("metrics.json", drop_key("seconds")),
    ],
)
def test_a_damaged_run_is_one_clear_error(results, trained, file, damage):
    folder = results / "runs" / trained.id
    damage(folder / file)
    with pytest.raises(RunError) as caught:
        load_run(folder)
    assert file in str(caught.value) and str(folder) in str(caught.value)
    assert "run again" in str(caught.value).lower()
    with pytest.raises(RunError):
        list_runs(results)


def flip_bit(path: Path, place: float) -> None:
    raw = bytearray(path.read_bytes())
    raw[int(place * (len(raw) - 1))] ^= 1
    path.write_bytes(raw)


SEALED = ["config.json", "predictions.csv", "test_predictions.csv", "history.csv", "best_epochs.csv",
          "model_fold0_seed0.safetensors", "test_result_0.01_0.3_text_only.txt"]  # fmt: skip


@pytest.mark.parametrize("file", SEALED)
def test_the_seal_notices_one_changed_bit_and_a_lost_file(results, trained, file):
    folder = results / "runs" / trained.id
    load_run(folder)  # the twin: sound as it is
    for place in (0.0, 0.5, 1.0):
        whole = (folder / file).read_bytes()
        flip_bit(folder / file, place)
        with pytest.raises(RunError, match=f"{file}: is damaged .it was changed"):
            load_run(folder)
        (folder / file).write_bytes(whole)
    (folder / file).unlink()
    with pytest.raises(RunError, match=f"{file}: is damaged .there is no such file"):
        load_run(folder)


def test_a_run_that_was_changed_is_set_aside_and_made_again(results, trained, data, capsys):
    folder = results / "runs" / trained.id
    whole = contents(folder)
    (folder / "predictions.csv").write_text((folder / "predictions.csv").read_text().replace("positive", "neutral"))
    changed = contents(folder)
    again = train_run(CONFIG, *data, results)
    assert contents(again.folder)["predictions.csv"] == whole["predictions.csv"]
    (aside,) = (results / "set_aside").iterdir()
    assert contents(aside) == changed, "nothing is lost"
    said = capsys.readouterr().out
    assert "predictions.csv" in said and str(aside) in said
    train_run(CONFIG, *data, results)  # the twin: a sound run is left alone
    assert capsys.readouterr().out == "" and len(list((results / "set_aside").iterdir())) == 1


@pytest.mark.parametrize("file", ["predictions.csv", "history.csv"])
def test_a_missing_table_is_one_clear_error(results, trained, file):
    folder = results / "runs" / trained.id
    run = load_run(folder)
    (folder / file).unlink()
    with pytest.raises(RunError, match=file):
        _ = run.predictions if file == "predictions.csv" else run.history


def test_an_epoch_whose_loss_is_no_number_is_read_back_as_such(results, trained):
    path = results / "runs" / trained.id / "history.csv"
    history = trained.history.copy()
    history.loc[1, ["train_loss", "dev_loss"]] = np.nan
    keep._write_frame(path, history)
    seal_again(path.parent)
    read = load_run(path.parent).history
    assert read["dev_loss"].dtype == read["train_loss"].dtype == float
    assert np.isnan(read["dev_loss"][1]) and read["dev_loss"].notna().sum() == len(history) - 1


def test_guids_stay_text(data, tmp_path):
    """007 is no 7, and a pair called null is no missing value."""
    frame = pd.DataFrame({"guid": ["007", "null", "1e3"], "x": [0.1, 0.2, 0.3]})
    keep._write_frame(tmp_path / "frame.csv", frame)
    run = folder_module.Run(tmp_path, None, "", {}, (), 3, 0.0, folder_module.seal_folder(tmp_path))
    assert run._read_frame("frame.csv", ["guid"])["guid"].tolist() == ["007", "null", "1e3"]


def test_a_folder_that_cannot_be_written_is_one_clear_error(data, tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(RunError, match="Choose another folder"):
        train_run(CONFIG.replace(epochs=1), *data, tmp_path / "results")


# -------------------------------------------------------------------------------------------- the run's name


def test_a_run_is_named_after_all_that_decides_its_numbers(data, tmp_path, monkeypatch):
    course, features = data

    def name(config=CONFIG, course=course, features=features) -> str:
        return run_folder(config, course, features, tmp_path).name

    names = {
        name(),
        name(config=CONFIG.replace(epochs=5)),
        name(config=CONFIG.replace(seed=1)),
        name(config=CONFIG.replace(control="shuffle_images")),
        name(course=dataclasses.replace(course, fingerprint="other data")),
        name(course=dataclasses.replace(course, split_hash="other split")),
        name(features=dataclasses.replace(features, digest="other encoders")),
    }
    monkeypatch.setattr(folder_module, "code_digest", lambda *roots: "other code")
    names.add(name())
    assert len(names) == 8
    monkeypatch.undo()
    assert name() in names and name(features="encoders") == name()  # and after nothing else
    assert name().startswith("text_and_image-concat-lr0.01-do0.3-s0-")


# ----------------------------------------------------------------------------------------- prediction files


def test_two_scenarios_that_answer_alike_are_refused(trained, tmp_path):
    """The fault of the coursework: the joint model's answers were the text's, to the last row."""
    copied = trained.test_predictions.copy()
    copied[probability_columns("text_and_image")] = copied[probability_columns("text_only")].to_numpy()
    with pytest.raises(RunError, match="text_and_image and text_only answer alike in all 60 rows"):
        write_test_results(tmp_path, CONFIG, copied)
    assert list(tmp_path.iterdir()) == []
    best = copied[probability_columns("text_only")].to_numpy().argmax(axis=1)
    one_row = probability_columns("text_and_image")
    copied.loc[0, one_row] = np.eye(3)[(best[0] + 1) % 3]  # the twin: one row that differs
    assert len(write_test_results(tmp_path, CONFIG, copied)) == 3


def test_a_training_whose_scenarios_answer_alike_is_no_complete_run(data, tmp_path, monkeypatch):
    whole = training.cross_fit

    def returns_its_text_head(config, *rest):
        found = whole(config, *rest)
        for frame in (found.predictions, found.test_predictions):
            frame[probability_columns("text_and_image")] = frame[probability_columns("text_only")].to_numpy()
        return found

    monkeypatch.setattr(training, "cross_fit", returns_its_text_head)
    with pytest.raises(RunError, match="answer alike"):
        train_run(CONFIG, *data, tmp_path)
    assert list_runs(tmp_path) == []


def test_one_scenario_alone_writes_its_own_file_alone(data, tmp_path):
    run = train_run(CONFIG.replace(scenario="image_only", epochs=1), *data, tmp_path)
    assert [path.name for path in run.folder.glob("test_result_*")] == ["test_result_0.01_0.3_image_only.txt"]
    assert list(run.scores) == ["image_only"]
    assert run.folder.name.startswith("image_only-lr0.01")


def test_a_file_is_named_after_lr_dropout_and_scenario():
    assert result_name(RunConfig(lr=1e-5, dropout=0), "text_only") == "test_result_1e-05_0_text_only.txt"
    assert result_name(RunConfig(lr=1e-3, dropout=0.3), "text_and_image") == "test_result_0.001_0.3_text_and_image.txt"


# ------------------------------------------------------------------------------------------------ baselines


def test_a_baseline_is_kept_beside_the_runs_and_computed_once(results, data):
    course, _ = data
    asked = []

    def keep(number_of_folds):
        folds = split_folds(course.labels, course.labelled["twin"].to_numpy(), number_of_folds, 0)

        def predict():
            asked.append(number_of_folds)
            return majority_baseline(course.labelled, folds)

        return keep_predictions("majority", predict, course, results, key=folds.tolist())

    saved = keep(5)
    assert saved.config is None and saved.name == "majority"
    assert list(saved.scores) == ["majority"] and saved.scores["majority"].n == N_LABELLED
    assert {run.name for run in list_runs(results)} == {"majority", "text_and_image"}
    assert keep(5).id == saved.id and asked == [5]
    assert keep(4).id != saved.id and asked == [5, 4]  # the twin: other folds are other predictions
    (saved.folder / "metrics.json").unlink()
    assert keep(5).id == saved.id and asked == [5, 4, 5]  # and an unfinished folder is done again


# ------------------------------------------------------------------------------------------------ a full disk


def test_a_full_disk_leaves_nothing_half_written_and_says_what_to_do(data, tmp_path, monkeypatch):
    whole, written = keep.write_atomic, []

    def write(path, content):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        return whole(path, content)

    with monkeypatch.context() as patch, pytest.raises(RunError, match="No space left on device.*Free some space"):
        patch.setattr(keep, "write_atomic", write)
        train_run(CONFIG.replace(epochs=1), *data, tmp_path)
    assert len(written) == 3 and list((tmp_path / "runs").iterdir()) == []
    assert is_complete(train_run(CONFIG.replace(epochs=1), *data, tmp_path).folder)


def test_what_killed_processes_left_is_removed_by_the_next_call_and_what_is_in_use_is_not(data, tmp_path):
    run = train_run(CONFIG.replace(epochs=1), *data, tmp_path)
    shutil.rmtree(run.folder)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    mine = storage._owner()
    killed, elsewhere = mine.replace(str(os.getpid()), dead.stdout.decode().strip()), ".0123abcd-1."
    folder = run.folder.parent
    for mark in (mine, killed, elsewhere):
        (folder / f".{run.id}{mark}xyz").mkdir()
        (folder / f".metrics.json{mark}xyz.part").touch()
    (old := folder / f".{run.id}.0123abcd-2.xyz").mkdir()
    os.utime(old, (0, 0))
    (folder / "notes.txt").touch()
    storage._TIDIED.clear()
    train_run(CONFIG.replace(epochs=1), *data, tmp_path)
    left = {path.name for path in folder.iterdir()} - {run.id}
    kept = {f".{run.id}{mark}xyz" for mark in (mine, elsewhere)}
    assert left == {*kept, *(f".metrics.json{mark}xyz.part" for mark in (mine, elsewhere)), "notes.txt"}

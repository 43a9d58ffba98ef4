"""A finished model, asked about new pairs: `mmlab.load(results).predict("a tweet", "picture.jpg")`.

In: a results folder, a run folder or an exported model. Out: answers with probabilities. Explained in docs/ask.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlab.answer import Answer, tabulate
from mmlab.config import IMAGE, LABELS, TEXT, RunConfig, probability_columns
from mmlab.course import Course
from mmlab.course.tables import NEW_LINE, first_few
from mmlab.encoders import ImageEncoder, TextEncoder, find_image_encoder, find_text_encoder
from mmlab.errors import ConfigError, MmlabError
from mmlab.evaluation.confidence import fit_temperature, heat
from mmlab.evaluation.frames import class_numbers
from mmlab.explain import DRAWS, FEW_DRAWS, Explanation, explain
from mmlab.export import EXPORT, read_export
from mmlab.features import Features, Pairs, encode_pairs
from mmlab.images import FORMATS, LARGEST_FILE, Picture, read_rgb
from mmlab.runs import BEST, METRICS, Run, check_minutes, find_main, load_run, open_results, train_run, write_record
from mmlab.storage import expand, read_file
from mmlab.views import find_views

ASKED_AT_ONCE = 256  # pairs that are encoded before they are answered
_READERS = 4  # threads
_BLANK = np.full((8, 8, 3), 128, np.uint8)


@dataclass(frozen=True, eq=False)
class Seen:
    """Texts and pictures as the models of a lab see them, each encoded once: `Lab.answer` pairs them.

    by_model: for each model its share of each scenario's answer, its heads and the features that these read. Row i of
    the features has text i and picture i.
    """

    n: int
    by_model: list[tuple[dict[str, float], Any, Features]] = field(repr=False)


class Lab:
    """The models of a finished run, ready to answer new pairs. `load` and `fit` make one.

    run: the run; its config, scores and folder. temperature: what probabilities are heated by to become the confidence
    in an answer, fitted on the run's out-of-fold predictions; None where there are none. scores: accuracy of each
    scenario in words, out of fold.
    """

    def __init__(self, run: Run, temperature: float | None, scores: dict[str, str]) -> None:
        self.run, self.config = run, run.config
        self.temperature, self.scores = temperature, scores

    @property
    def scenarios(self) -> tuple[str, ...]:
        return self.config.trained_scenarios

    def __repr__(self) -> str:
        lines = [f"{name}: accuracy {words}, out of fold" for name, words in self.scores.items()]
        return "\n".join([f"Lab({self.run.folder}): {len(self._models)} models", *lines])

    def predict(self, text: Any = None, image: Picture | None = None) -> Answer | pd.DataFrame:
        """The answer to one pair, or a frame of answers to many.

        text: a tweet, or None; image: a picture's path or bytes, a Pillow image, pixels uint8 (height, width, 3), or
        None. At least one of the two. Many: a DataFrame with the columns text and image, or a list of (text, image);
        the frame has its index, and the columns label, confidence and three probabilities for each scenario, nan where
        a scenario has nothing to read. All models answer and are averaged. Raises MmlabError, with the row, for a
        picture that cannot be read and for a pair of nothing.
        """
        if isinstance(text, str) or text is None:
            return self._ask([(text, image)], [""])[0]
        if image is not None:
            raise MmlabError("Give one text and one image, or a list of (text, image), or a DataFrame.")
        pairs, index = _list_pairs(text)
        answers = self._ask(pairs, [f"{index.name or 'row'} {name}: " for name in index])
        return tabulate(answers, self.scenarios, index)

    def explain(self, text: str | None = None, image: Picture | None = None, **options: Any) -> Explanation:
        """What each word and each cell of the picture did to the answer; options: as `mmlab.explain.explain` has them.

        Encoders that were trained take longer, since each model has its own: there, fewer draws are the default. Raises
        MmlabError for a picture that cannot be read and for a pair of nothing.
        """
        faults: list[str] = []
        (text,), (pixels,) = self._read([(text, image)], [""], faults)
        _refuse(faults)
        explained = explain(self, text, pixels, **{"draws": FEW_DRAWS if self.config.tunes else DRAWS} | options)
        return replace(explained, image=image)  # to be shown as it is, not squashed

    def see(self, texts: Sequence[str | None], images: Sequence[Picture | None]) -> Seen:
        """Encode texts and pictures, None where one is missing; the two lists need not belong together or be as long.

        Raises OSError for a picture that cannot be read.
        """
        n = max(len(texts), len(images))
        texts, images = ([*side, *[None] * (n + 1 - len(side))] for side in (texts, images))  # the last one is absent
        config = self.config
        unread = set(config.tunes).intersection(*(model.config.tunes for _, model in self._models))
        frozen = encode_pairs(
            [None] * (n + 1) if "text" in unread else texts,
            [None] * (n + 1) if "image" in unread else images,
            *self.encoders,
            self._widths,
            self._views,
        )
        if not config.tunes:
            return Seen(n, [(shares, model, frozen) for shares, model in self._models])
        from mmlab.training import Inputs, run_towers

        inputs = Inputs.of(texts, images, config, frozen)
        own = {True: lambda one: (one.head, run_towers(one, inputs)), False: lambda one: (one, frozen)}
        return Seen(n, [(shares, *own[bool(model.config.tunes)](model)) for shares, model in self._models])

    def answer(self, seen: Seen, text_rows: Iterable[int], image_rows: Iterable[int]) -> dict[str, np.ndarray]:
        """Probabilities float64 (m, 3) of each scenario for m pairs: the text and the picture of these rows of `seen`.

        A row of -1 is an absent side. All models are averaged, those of an ensemble by their weights.
        """
        from mmlab.training import needed, predict

        rows = [np.where(np.asarray(one) < 0, seen.n, one) for one in (text_rows, image_rows)]
        sums: dict[str, np.ndarray] = {}
        paired: dict[tuple, Pairs] = {}  # frozen features are the same for all models that look at them alike
        for shares, head, features in seen.by_model:
            looked_at = needed(head.config, features)
            if (key := (id(features), looked_at is features)) not in paired:
                paired[key] = looked_at.pair_up(*rows)
            for scenario, one in predict(head, paired[key], np.arange(len(rows[0]))).items():
                if shares[scenario]:
                    sums[scenario] = sums.get(scenario, 0) + shares[scenario] * one
        return {scenario: sums[scenario] for scenario in self.scenarios}  # a first model may have a share of 0

    def read_picture(self, image: Picture) -> np.ndarray:
        """The pixels that the image encoder sees, uint8 (height, width, 3). Raises OSError for what is no picture."""
        if isinstance(image, str | Path):
            image = read_file(image, LARGEST_FILE)
        elif not hasattr(image, "tobytes") and not isinstance(image, bytes):  # both pixels and a Pillow image have it
            raise OSError(f"a {type(image).__name__} is no picture")
        elif isinstance(image, np.ndarray) and (image.dtype != np.uint8 or image.shape[2:] != (3,)):
            raise OSError(f"pixels are {image.dtype} {image.shape}, and must be uint8 (height, width, 3)")
        if "image" in self.config.tunes:
            from PIL import Image

            settings, side = self.encoders[1].settings, self.config.image_side
            height, width = (side, side) if side else settings["input_size"][1:]
            return np.asarray(
                read_rgb(image).resize((width, height), Image.Resampling[settings["interpolation"].upper()])
            )
        return self.encoders[1].read(image)

    @cached_property
    def encoders(self) -> tuple[TextEncoder, ImageEncoder]:
        config = self.config
        text = find_text_encoder(config.text_encoder, config.precision)
        image = find_image_encoder(config.image_encoder, config.precision)
        self.run.check_weights({"text": text.weights, "image": image.weights})
        return text, image

    @cached_property
    def _widths(self) -> tuple[int, int]:
        """Of the vectors of both encoders, 1 where the run's course lacks the side. To ask makes the engines ready."""
        samples = {TEXT: "a", IMAGE: _BLANK}
        return tuple(
            1 if side in self.run.lacks else encoder.encode([sample])[0].shape[1]
            for encoder, (side, sample) in zip(self.encoders, samples.items(), strict=True)
        )

    _views = cached_property(lambda self: find_views(self.config))  # they keep the lists of words that they have read

    @cached_property
    def _models(self) -> list[tuple[dict[str, float], Any]]:
        """Every model with its share of the answer in each scenario; the shares of a scenario sum to 1."""
        empty = encode_pairs([None], [None], *self.encoders, self._widths)
        pairs: Pairs = empty
        if self.config.tunes:
            from mmlab.training import Inputs

            pairs = Inputs.of([None], [None], self.config, empty)
        return _share([model for fold in self.run.load_models(pairs, new=True).values() for model in fold])

    def _ask(self, pairs: list[tuple[Any, Any]], places: list[str]) -> list[Answer]:
        """places: how a message names each pair. After a fault, the others are read alone: one message tells all."""
        answers, faults = [], []
        for start in range(0, len(pairs), ASKED_AT_ONCE):
            here = slice(start, start + ASKED_AT_ONCE)
            texts, images = self._read(pairs[here], places[here], faults)
            if faults:
                continue
            seen = self.see(texts, images)
            rows = (np.where([one is None for one in side], -1, np.arange(len(side))) for side in (texts, images))
            found = self.answer(seen, *rows)
            for row, (text, (_, image)) in enumerate(zip(texts, pairs[here], strict=True)):
                answers.append(self._make_answer(text, image, {name: one[row] for name, one in found.items()}))
        _refuse(faults)
        return answers

    def _make_answer(self, text: str | None, image: Picture | None, found: dict[str, np.ndarray]) -> Answer:
        unasked = {"text_only": text is None, "image_only": image is None}
        asked = {name: one for name, one in found.items() if not unasked.get(name)}
        if not asked:
            raise MmlabError(f"This model reads {self.scenarios[0].removesuffix('_only')}s alone. Give one.")
        scenario = list(asked)[-1]  # the joint one comes last
        answered = asked[scenario]
        best, confidence = int(answered.argmax()), float(answered.max())
        if self.temperature is not None:
            confidence = float(heat(answered[None], self.temperature)[0, best])
        return Answer(text, image, asked, scenario, LABELS[best], confidence, self.temperature is not None)

    def _read(
        self, pairs: list[tuple[Any, Any]], places: list[str], faults: list[str]
    ) -> tuple[list[str | None], list[Any]]:
        """Texts without spaces at their ends, None where there is nothing to read; pixels or None.

        A sentence of what is wrong with a pair is added to `faults`.
        """

        def read(pair: tuple[Any, Any], place: str) -> tuple[str | None, np.ndarray | None, str]:
            text, image = pair
            if text is not None and not isinstance(text, str):
                return None, None, f"{place}the text is of type {type(text).__name__}. Give a str, or None for no text."
            text = text.encode("utf-8", "replace").decode().strip() if text else None  # half an emoji is no letter
            if not text and image is None:
                return None, None, f"{place}there is neither a text nor an image. Give one of them, or both."
            for side, there in ((TEXT, text), (IMAGE, image is not None)):
                if there and side in self.run.lacks:
                    return None, None, f"{place}this model learned from pairs without {side}s. Leave the {side} out."
            try:
                return text or None, None if image is None else self.read_picture(image), ""
            except Exception as error:  # Pillow's decoders raise many kinds; whichever it is, there is no picture
                name = image if isinstance(image, str | Path) else "the image"
                why = getattr(error, "strerror", None) or str(error).split("<")[0].strip() or type(error).__name__
                return text, None, f"{place}{name}: {why}. Give a picture ({', '.join(FORMATS)}) or None."

        if len(pairs) == 1:
            found = [read(pairs[0], places[0])]
        else:
            with ThreadPool(_READERS) as pool:
                found = pool.starmap(read, zip(pairs, places, strict=True))
        faults += [fault for _, _, fault in found if fault]
        return [text for text, _, _ in found], [pixels for _, pixels, _ in found]


def _share(models: list) -> list[tuple[dict[str, float], Any]]:
    """Every model, those of an ensemble one by one, with its share of the mean answer in each scenario."""
    if models[0].config.model != "ensemble":
        return [(dict.fromkeys(models[0].scenarios, 1 / len(models)), model) for model in models]
    parts = [part for one in models for part in one.parts()]
    return [({name: share / len(models) for name, share in shares.items()}, model) for shares, _, model in parts]


def load(path: Path | str) -> Lab:
    """A finished model from a results folder (its main run), the folder of a run, or a folder of `mmlab export`.

    Raises MmlabError where there is none, and where it is damaged.
    """
    if not isinstance(path, str | Path):
        raise ConfigError(f"load takes the path of a folder, and this is of type {type(path).__name__}.")
    path = expand(path)
    if (path / EXPORT).is_file():
        return Lab(*read_export(path))
    is_run = (path / METRICS).is_file() and not (path / "runs").is_dir()
    run = load_run(path if is_run else find_main(path))
    if run.config is None:
        raise MmlabError(f"{run.folder}: is a baseline, which has no model to ask. Name the folder of a training.")
    return Lab(run, *judge(run))


def judge(run: Run) -> tuple[float | None, dict[str, str]]:
    """The temperature of a run's answers and the accuracy of its scenarios in words, from its predictions."""
    frame, scenario = run.predictions, run.scenarios[0] if len(run.scenarios) == 1 else "text_and_image"
    temperature = fit_temperature(frame[probability_columns(scenario)].to_numpy(), class_numbers(frame["label"]))
    return temperature, {name: f"{one.accuracy:.3f}" for name, one in run.scores.items()}


def fit(
    course: Course,
    results: Path | str = "results/fit",
    preset: str = "laptop",
    minutes: float | None = None,
    **knobs: Any,
) -> Lab:
    """Train on a course, cross-fitted, keep the run in `results`, and give the lab that answers with its models.

    knobs: as `mmlab run --help` lists them, such as fusion="attention". minutes: of the preset "best", after which it
    answers with what is ready. A run that is complete and current is read, not
    repeated. Raises ConfigError for an unknown knob or value.
    """
    from mmlab.training import prepare_pairs, show_training

    check_minutes(minutes)
    config = RunConfig.from_params(knobs, preset).check_used(knobs)
    if not isinstance(course, Course):
        raise ConfigError("fit takes a course: mmlab.fit(mmlab.read_course(folder)).")
    open_results(results, course.root)
    pairs = prepare_pairs(course, config)
    with show_training(config, len(course.labels)) as watch:
        run = train_run(config, course, pairs, results, minutes=minutes, **watch)
    if config.model == "ensemble":
        write_record(results, BEST, {"runs": {BEST: run.id}, "minutes": minutes})
    return Lab(run, *judge(run))


def _refuse(faults: list[str]) -> None:
    if len(faults) == 1:
        raise MmlabError(faults[0])
    if faults:
        raise MmlabError(f"{len(faults)} pairs cannot be read:\n  {first_few(faults, NEW_LINE)}")


def _list_pairs(given: Any) -> tuple[list[tuple[Any, Any]], pd.Index]:
    """The pairs of a DataFrame or a list of (text, image), and the name of each row."""
    if isinstance(given, pd.DataFrame):
        if not {TEXT, IMAGE} & set(given.columns):
            raise MmlabError(f"The frame has no column text or image. It has: {', '.join(map(str, given.columns))}.")
        if twice := [side for side in (TEXT, IMAGE) if list(given.columns).count(side) > 1]:
            raise MmlabError(f"The frame has two columns {twice[0]}. Keep one.")
        sides = [given[side] if side in given else pd.Series(None, given.index, object) for side in (TEXT, IMAGE)]
        sides = [side.astype(object).where(side.notna(), None) for side in sides]
        return list(zip(*sides, strict=True)), given.index
    pairs = list(given) if isinstance(given, Iterable) else [given]
    for row, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise MmlabError(f"row {row}: is no pair. Give (text, image), with None for a side that is missing.")
    return [tuple(pair) for pair in pairs], pd.RangeIndex(len(pairs))

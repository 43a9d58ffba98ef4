"""Views of an image: together with its mirror image, its style, and the words that can be read in it."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from mmlab.encoders import ImageEncoder, TextEncoder
from mmlab.images import read_rgb
from mmlab.views.text import encode_means
from mmlab.views.view import View

SIDE = 320  # pixels of the longer side in which lines of text are looked for: a tenth of a second an image
SURE = 0.6  # of a line, by the reader's own score; below, it sees letters in leaves


class MirroredImage(View, name="mirrored"):
    """The image encoder's pooled vector, averaged with that of the mirror image: (n, its width).

    A picture and its mirror image mean the same: what differs between their vectors is noise.
    """

    modality = "image"
    summary = "the pooled vectors of the picture and of its mirror image, averaged"

    @property
    def encoder(self) -> ImageEncoder:
        return self.image

    def measure(self, sources: list[Any]) -> np.ndarray:
        pixels = [self.encoder.read(one) for one in sources]
        seen = self.encoder.encode([*pixels, *(np.ascontiguousarray(one[:, ::-1]) for one in pixels)])
        pooled = np.stack([one[0] for one in seen]).astype(np.float32)
        return (pooled[: len(sources)] + pooled[len(sources) :]) / 2


class ImageStyle(View, name="style"):
    """Mean and deviation of each channel after each stage of the image encoder's network, as `measure_style` has it."""

    modality = "image"
    summary = "mean and deviation of each channel after each stage of the image encoder"

    @cached_property
    def encoder(self) -> ImageEncoder:
        return replace(self.image, readout="style")

    def measure(self, sources: list[Any]) -> np.ndarray:
        return np.concatenate(self.encoder.encode(sources))


class ImageWords(View, name="words"):
    """The words that RapidOCR reads in the image, as the text encoder's mean over their tokens: (n, its width).

    Not among the views by default: on the data it was tried on, it did not help (docs/what-was-tried.md). Its networks
    come with its package.
    """

    modality = "image"
    summary = "the words in the picture (RapidOCR), by the text encoder"
    packages = ("rapidocr", "onnxruntime")
    extra = "ocr"

    @property
    def encoder(self) -> TextEncoder:
        return self.text

    @cached_property
    def _reader(self):
        from rapidocr import RapidOCR

        threads = dict.fromkeys(("intra_op_num_threads", "inter_op_num_threads"), 1)
        settings = {f"EngineConfig.onnxruntime.{name}": count for name, count in threads.items()}
        settings |= {"Global.log_level": "error", "Global.use_cls": False}
        return RapidOCR(params={**settings, "Det.limit_side_len": SIDE, "Det.limit_type": "max"})

    def measure(self, sources: list[Any]) -> np.ndarray:
        return encode_means(self.encoder, [self._read(one) for one in sources])

    def _read(self, source: Any) -> str:
        found = self._reader(np.ascontiguousarray(np.asarray(read_rgb(source))[:, :, ::-1]))  # it wants BGR
        lines = zip(found.txts or (), found.scores or (), strict=True)
        return " ".join(line for line, score in lines if score >= SURE)

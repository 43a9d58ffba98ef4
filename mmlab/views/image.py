"""Views of an image: together with its mirror image, and its style."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from mmlab.encoders import ImageEncoder
from mmlab.views.view import View


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

"""What a view is, and how it is found. To the cache of features a view is one more encoder."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mmlab.config import RunConfig, suggest
from mmlab.device import find_precision
from mmlab.encoders import ImageEncoder, TextEncoder, find_image_encoder, find_text_encoder
from mmlab.errors import ConfigError
from mmlab.freshness import code_digest, digest_of

VIEWS: dict[str, type["View"]] = {}  # by name; the classes enter themselves
AT_ONCE = 512  # sources between two ticks of the progress bar


@dataclass(frozen=True)
class View:
    """A few numbers for each text or each image. It has what the cache asks of an encoder.

    text, image: the encoders of the run, which a view may use.
    """

    text: TextEncoder
    image: ImageEncoder

    name: ClassVar[str]
    modality: ClassVar[str]
    summary: ClassVar[str] = ""  # one line
    packages: ClassVar[tuple[str, ...]] = ()  # those whose data decide the numbers, as pip names them
    extra: ClassVar[str] = ""  # what has to be installed with mmlab for it

    def __init_subclass__(cls, name: str) -> None:
        cls.name = name
        VIEWS[name] = cls

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits that name all that decides the numbers: code, packages, and the encoder that it uses."""
        versions = [f"{one} {importlib.metadata.version(one)}" for one in self.packages]
        used = f"{self.encoder.identity} {find_precision(self.encoder.precision)}" if self.encoder else ""
        return digest_of(self.name, versions, used, code_digest(type(self)), length=32)

    @property
    def encoder(self) -> TextEncoder | ImageEncoder | None:
        """The encoder that this view asks; None if it asks none."""
        return None

    def prepare(self) -> None:
        """Make all ready. Raises EncoderError when weights cannot be had."""
        if self.encoder:
            self.encoder.prepare()

    def measure(self, sources: list[Any]) -> np.ndarray:
        """float32 (n, width) of n texts or n pictures. A picture is what `read_rgb` takes."""
        raise NotImplementedError

    def encode(self, sources: list[Any], progress: Callable[[int], None] = lambda n: None) -> list[np.ndarray]:
        """One float32 array (1, width) for each source."""
        rows: list[np.ndarray] = []
        for start in range(0, len(sources), AT_ONCE):
            measured = self.measure(sources[start : start + AT_ONCE])
            rows += list(np.asarray(measured, np.float32)[:, None])
            progress(len(measured))
        return rows


def find_views(config: RunConfig) -> dict[str, View]:
    """The views that a config turns on, by name; none for a model that uses none.

    Raises ConfigError for an unknown name and for a view whose package is missing.
    """
    names = config.view_names
    for name in names:
        if name not in VIEWS:
            raise ConfigError(f"views={config.views!r}: there is no view {name!r}.{suggest(name, list(VIEWS))}")
        _check_installed(VIEWS[name])
    if len(set(names)) < len(names):
        raise ConfigError(f"views={config.views!r} names a view twice. Keep one of them.")
    if not names:
        return {}
    text = find_text_encoder(config.text_encoder, config.precision)
    image = find_image_encoder(config.image_encoder, config.precision)
    return {name: VIEWS[name](text, image) for name in names}


def _check_installed(kind: type[View]) -> None:
    for package in kind.packages:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            install = f"mmlab[{kind.extra}]" if kind.extra else package
            raise ConfigError(
                f"The view {kind.name!r} needs the package {package}. Install it: python -m pip install '{install}'."
            ) from None

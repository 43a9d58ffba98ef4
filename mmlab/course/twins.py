"""Twins: which pairs have the same or nearly the same text or image, and the groups that follow.

A twin in dev of a pair in train is an answer known beforehand, so that a split must keep groups whole. Explained in
notebook 01, section 4.
"""

import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFile, __version__

from mmlab.images import CONVERSIONS, list_conversions, open_image, room_for, to_rgb
from mmlab.storage import cache_folder, read_file, seal_bytes, unseal_bytes, write_atomic

# Nearly the same image: see `link_images` for what the three numbers mean and how they were chosen.
HASH_BITS_APART, COLOUR_LEVELS_APART, STEPS_NEEDED = 32, 6.0, 64
FACTS_VERSION = 4

_NUMBERS = [(name, "<i4") for name in ("width", "height", "steps")]
FACTS = np.dtype([("digest", "V32"), *_NUMBERS, ("hash", "<u8", 4), ("colours", "u1", 192), ("conversions", "u1")])

Link = tuple[int, int]  # two positions that are twins, directly


def link_equal(keys: Iterable[str | bytes]) -> list[Link]:
    """Positions with the same key: each with the first that has it. An empty key equals no other."""
    first, links = {}, []
    for position, key in enumerate(keys):
        if key and first.setdefault(key, position) != position:
            links.append((first[key], position))
    return links


def link_images(facts: Sequence[np.void | None]) -> list[Link]:
    """Positions with the same or nearly the same image; None is a pair without an image.

    Nearly the same means: at most HASH_BITS_APART of the 256 bits "brighter than the neighbour" differ, and the 8 × 8
    mean colours are at most COLOUR_LEVELS_APART of 255 apart on average. The second keeps drawings of one shape in
    two colours apart. An image with fewer than STEPS_NEEDED visible steps (a plain colour, a line of print) has a hash
    of noise: such images are twins only when their bytes are equal.
    """
    links = link_equal(b"" if image is None else image["digest"].item() for image in facts)
    copies = {position for _, position in links}
    seen = [(position, image) for position, image in enumerate(facts) if image is not None and position not in copies]
    candidates = [position for position, image in seen if image["steps"] >= STEPS_NEEDED]
    table = np.array([facts[position] for position in candidates], dtype=FACTS)
    # Colours so near have sums as near. In the order of these sums each image meets its few neighbours, not all others.
    sums = table["colours"].sum(axis=1, dtype=np.int64)
    order = np.argsort(sums, kind="stable")
    table, sums = table[order], sums[order]
    ends = np.searchsorted(sums, sums + COLOUR_LEVELS_APART * table["colours"].shape[1], side="right").tolist()
    words, colours = table["hash"].T.copy(), table["colours"].astype(np.int16)
    for row, end in enumerate(ends):
        apart = np.bitwise_count(words[:, row : row + 1] ^ words[:, row + 1 : end]).sum(axis=0)
        others = np.flatnonzero(apart <= HASH_BITS_APART) + row + 1
        if len(others):
            alike = np.abs(colours[row] - colours[others]).mean(axis=1) <= COLOUR_LEVELS_APART
            here, *found = (candidates[one] for one in order[[row, *others[alike]]])
            links += [(min(here, other), max(here, other)) for other in found]
    return links


def group_links(n: int, links: Sequence[Link]) -> np.ndarray:
    """Group numbers 0, 1, ... in order of first appearance, (n,) int64: linked positions share one, transitively."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links), dtype=bool), tuple(ends)), shape=(n, n))
    return pd.factorize(connected_components(graph, directed=False)[1])[0]


class _WholeFile(io.BytesIO):
    """The bytes of an image, where a decoder that asks for more than there is fails.

    Pillow fails by itself unless ImageFile.LOAD_TRUNCATED_IMAGES is on. The flag belongs to the whole process, which
    is the caller's, so that it is neither set nor relied on here.
    """

    opened = False  # while a file is opened, plug-ins may look beyond a short one to tell what it is

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        if self.opened and size and not found:
            raise OSError("the image is truncated")
        return found


def look_at_image(raw: bytes, digest: bytes) -> np.void:
    """Decode a whole image, reduced where the decoder can, and note what twins are found by (dtype FACTS).

    Raises OSError, or whatever a decoder raises, for what is truncated or no image.
    """
    if not raw:
        raise OSError("the file is empty")
    file = _WholeFile(raw)
    image = open_image(file)
    file.opened = True
    conversions = list_conversions(image)
    # A download cut short and padded with zeros decodes without complaint, but its last scan has no end marker.
    if image.format == "JPEG" and raw.rfind(b"\xff\xd9") < raw.rfind(b"\xff\xda"):
        raise OSError("the image is truncated")
    width, height = image.size
    image.draft("RGB", (128, 128))  # coarser is hardly faster and moves the hash by as much again
    with room_for(image):  # until its pixels are not held any more
        image = to_rgb(image)
        if (image.width > image.height) != (width > height):  # it was turned by a quarter
            width, height = height, width
        grey = np.asarray(image.convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
        image = image.resize((8, 8), Image.Resampling.BOX)
    steps = np.diff(grey, axis=1)  # (16, 16): brighter or darker than the neighbour to the left
    facts = np.zeros((), dtype=FACTS)
    facts["digest"], facts["width"], facts["height"] = np.void(digest), width, height
    facts["conversions"] = sum(1 << CONVERSIONS.index(name) for name in conversions)
    facts["steps"] = np.count_nonzero(np.abs(steps) > 1)
    facts["hash"] = np.packbits(steps > 0).view("<u8")
    facts["colours"] = np.asarray(image).ravel()
    return facts[()]


def read_conversions(facts: np.void) -> list[str]:
    """Which of CONVERSIONS a picture needs."""
    return [name for bit, name in enumerate(CONVERSIONS) if facts["conversions"] >> bit & 1]


def _facts_file() -> Path:
    # Another decoder may give other hashes, and so does another `look_at_image`: raise FACTS_VERSION with it.
    return cache_folder("images") / f"facts-{FACTS_VERSION}-pillow-{__version__}.bin"


def load_facts() -> dict[bytes, np.void]:
    """The facts of earlier readings, by the sha256 of an image's bytes; bad images are never among them."""
    try:
        facts = np.frombuffer(unseal_bytes(read_file(_facts_file())), dtype=FACTS)
    except (OSError, ValueError):  # no such file, or a part of one, or a damaged one
        return {}
    return dict(zip(facts["digest"].tolist(), facts, strict=True))


def save_facts(known: dict[bytes, np.void]) -> None:
    """Keep facts for the next reading."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        return  # Pillow also passes over damaged data in this process: another one must see for itself
    body = np.array(list(known.values()), dtype=FACTS).tobytes()
    with suppress(OSError):  # a full or read-only disk costs the next reading a few seconds, no more
        write_atomic(_facts_file(), seal_bytes(body))

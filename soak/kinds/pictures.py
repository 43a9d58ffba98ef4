"""Damage to the picture of a pair, and unusual pictures that are read as a person sees them."""

import struct
import zlib

import numpy as np
from PIL import Image

from soak.course import Damaged, Pair, save, to_jpeg
from soak.kinds.registry import add, kind

ORIENTATION = 0x0112
BAD = r"the image cannot be decoded \(.+\)"


def picture_of(pair: Pair) -> Image.Image:
    return Image.fromarray(pair.picture)


def shown(damaged: Damaged, pair: Pair, raw: bytes, pixels=None, *conversions: str, apart: float = 0.0) -> None:
    """These bytes are read as these pixels, (height, width, 3) uint8; None: as before."""
    damaged.write_image(raw, pair)
    if pixels is not None:
        pair.picture, pair.size = pixels, pixels.shape[1::-1]
    pair.conversions, pair.apart = conversions, apart


# ------------------------------------------------------------------------------- other formats under the name of a JPEG


def as_format(damaged: Damaged, format: str, apart: float, options: dict) -> None:
    pair = damaged.victim()
    shown(damaged, pair, save(picture_of(pair), format, **options), apart=apart)


for name, (format, apart, options) in {
    "PNG named jpg": ("PNG", 0, {}), "WebP named jpg": ("WEBP", 9, {}),
    "WebP without loss": ("WEBP", 0, {"lossless": True}), "BMP named jpg": ("BMP", 0, {}),
    "TIFF named jpg": ("TIFF", 0, {}),
    "TIFF with LZW": ("TIFF", 0, {"compression": "tiff_lzw"}),
    "TIFF with deflate": ("TIFF", 0, {"compression": "tiff_adobe_deflate"}),
    "TIFF with JPEG inside": ("TIFF", 9, {"compression": "jpeg"}),
    "progressive JPEG": ("JPEG", 8, {"progressive": True}),
    "JPEG of the best quality": ("JPEG", 2, {"quality": 100, "subsampling": 0}),
    "JPEG with a broken profile": ("JPEG", 9, {"icc_profile": b"no profile" * 50}),
    "PNG with a broken profile": ("PNG", 0, {"icc_profile": b"no profile" * 50}),
    "JPEG with a broken EXIF": ("JPEG", 9, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff\xff"}),
    "JPEG with 60 KB of EXIF": ("JPEG", 9, {"exif": b"Exif\0\0" + b"\xff" * 60000}),
    "JPEG with a comment": ("JPEG", 9, {"comment": b"<script>" * 7000}),
}.items():  # fmt: skip
    add(name, as_format, format, apart, options)


@kind
def grey_JPEG(damaged: Damaged) -> None:
    pair = damaged.victim()
    grey = picture_of(pair).convert("L")
    shown(damaged, pair, to_jpeg(grey), np.asarray(grey.convert("RGB")), apart=4)


@kind
def picture_of_one_bit(damaged: Damaged) -> None:
    pair = damaged.victim()
    bits = pair.picture[..., 0] > np.median(pair.picture[..., 0])
    pixels = np.where(bits[..., None], 255, 0).repeat(3, axis=2).astype(np.uint8)
    format = str(damaged.random.choice(["PNG", "BMP", "TIFF"]))
    shown(damaged, pair, save(Image.fromarray(bits), format), pixels)


def sixteen_bits(damaged: Damaged, format: str) -> None:
    """A grey picture of 16 bits is scaled to 8."""
    pair = damaged.victim()
    grey = np.asarray(picture_of(pair).convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    shown(damaged, pair, save(deep, format), grey[..., None].repeat(3, axis=2), "16 bits made 8", apart=1)


add("grey PNG of 16 bits", sixteen_bits, "PNG")
add("grey TIFF of 16 bits", sixteen_bits, "TIFF")


@kind
def colour_PNG_of_16_bits(damaged: Damaged) -> None:
    pair = damaged.victim()
    high, wide = pair.picture.shape[:2]
    rows = (pair.picture.astype(">u2") * 257).reshape(high, -1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = (b"IHDR", struct.pack(">IIBBBBB", wide, high, 16, 2, 0, 0, 0)), (b"IDAT", body), (b"IEND", b"")
    shown(damaged, pair, b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts), apart=1)


def chunk(name: bytes, body: bytes) -> bytes:
    """One part of a PNG file."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@kind
def TIFF_of_fractions(damaged: Damaged) -> None:
    pair = damaged.victim()
    grey = np.asarray(picture_of(pair).convert("L")).copy()
    grey[0, 0] = 255  # the largest value is white
    raw = save(Image.fromarray(grey.astype(np.float32) / 255), "TIFF")
    shown(damaged, pair, raw, grey[..., None].repeat(3, axis=2), "16 bits made 8", apart=1)


def drawing(damaged: Damaged, format: str, options: dict) -> None:
    """Black on transparency lies on white."""
    pair = damaged.victim()
    opaque = (pair.picture[..., 1] > np.median(pair.picture[..., 1])).astype(np.uint8) * 255
    layers = np.dstack([np.zeros_like(pair.picture), opaque])
    pixels = (255 - opaque)[..., None].repeat(3, axis=2)
    shown(damaged, pair, save(Image.fromarray(layers, "RGBA"), format, **options), pixels, "transparency on white")


add("drawing as PNG", drawing, "PNG", {})
add("drawing as WebP", drawing, "WEBP", {"lossless": True})
add("drawing as TIFF", drawing, "TIFF", {})


@kind
def palette_with_transparency(damaged: Damaged) -> None:
    pair = damaged.victim()
    flat = picture_of(pair).quantize(16)
    numbers = np.asarray(flat)
    clear = int(np.bincount(numbers.ravel()).argmax())
    pixels = np.array(flat.convert("RGB"))
    pixels[numbers == clear] = 255
    format = str(damaged.random.choice(["PNG", "GIF"]))
    raw = save(flat, format, transparency=clear)
    shown(damaged, pair, raw, pixels, "transparency on white")


@kind
def grey_with_transparency(damaged: Damaged) -> None:
    pair = damaged.victim()
    grey = np.asarray(picture_of(pair).convert("L"))
    layers = Image.fromarray(np.dstack([grey, np.full_like(grey, 128)]), "LA")
    pixels = np.round(grey * (128 / 255) + 127).astype(np.uint8)[..., None].repeat(3, axis=2)
    shown(damaged, pair, save(layers, "PNG"), pixels, "transparency on white", apart=1)


def print_colours(damaged: Damaged, options: dict) -> None:
    pair = damaged.victim()
    layers = np.dstack([255 - pair.picture, np.zeros(pair.picture.shape[:2], np.uint8)])
    format = "TIFF" if damaged.random.integers(2) and not options else "JPEG"
    raw = save(Image.fromarray(layers, "CMYK"), format, **({"quality": 95} | options if format == "JPEG" else {}))
    shown(damaged, pair, raw, None, "CMYK", apart=6)


add("CMYK picture", print_colours, {})
add("CMYK picture with a broken profile", print_colours, {"icc_profile": b"no profile" * 50})


def several_frames(damaged: Damaged, format: str, options: dict, apart: float) -> None:
    pair = damaged.victim()
    first = picture_of(pair).quantize(32).convert("RGB") if format == "GIF" else picture_of(pair)
    others = [Image.new("RGB", first.size, colour) for colour in ("red", "blue")]
    raw = save(first, format, save_all=True, append_images=others, **options)
    shown(damaged, pair, raw, np.asarray(first), "first frame of several", apart=apart)


add("animated GIF", several_frames, "GIF", {}, 3)
add("animated WebP", several_frames, "WEBP", {"lossless": True}, 0)
add("animated PNG", several_frames, "PNG", {}, 0)
add("TIFF of several pages", several_frames, "TIFF", {}, 0)
add("two pictures of a phone in one file", several_frames, "MPO", {"quality": 95}, 4)


def oriented(damaged: Damaged, number: int, format: str) -> None:
    """A picture that is stored as the camera was held, and shown upright."""
    pair = damaged.victim()
    upright = pair.picture
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1), 7: upright[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }.get(number, upright)  # fmt: skip
    exif = Image.Exif()
    exif[ORIENTATION] = number
    options = {"lossless": True} if format == "WEBP" else {}
    raw = save(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif, **options)
    shown(damaged, pair, raw, None, *(["turned"] if 2 <= number <= 8 else []), apart=8 if format == "JPEG" else 0)


for number in range(10):
    add(f"orientation {number}", oriented, number, "JPEG")
add("orientation 6 in a PNG", oriented, 6, "PNG")
add("orientation 8 in a WebP", oriented, 8, "WEBP")

# ------------------------------------------------------------------------------------------------------------- sizes


def of_size(damaged: Damaged, wide: int, high: int, mode: str, format: str, options: dict) -> None:
    """One plain colour: its pixels are not compared where they would be too many."""
    pair = damaged.victim()
    value = int(damaged.random.integers(100, 200))
    image = Image.new(mode, (wide, high), value if mode in ("L", "P") else (value,) * 3)
    raw = save(image, format, **options)
    damaged.write_image(raw, pair)
    pair.picture = None if wide * high > 10**6 else np.full((high, wide, 3), value, np.uint8)
    pair.size, pair.apart = (wide, high), 3


for name, arguments in {
    "picture of one pixel": (1, 1, "RGB", "PNG", {}),
    "JPEG of one pixel": (1, 1, "RGB", "JPEG", {}),
    "picture of 1 by 10000": (1, 10_000, "RGB", "PNG", {}),
    "picture of 10000 by 1": (10_000, 1, "RGB", "PNG", {}),
    "JPEG of 2 by 60000": (2, 60_000, "RGB", "JPEG", {}),
    "JPEG of 13000 by 13000": (13_000, 13_000, "L", "JPEG", {}),
    "picture of 9000 by 9000": (9000, 9000, "L", "PNG", {"compress_level": 1}),
}.items():
    add(name, of_size, *arguments)


@kind
def four_pictures_of_9000_by_9000(damaged: Damaged) -> None:
    image = Image.new("L", (9000, 9000), int(damaged.random.integers(100, 200)))
    raw = save(image, "PNG", compress_level=1)
    victims = [damaged.victim() for _ in range(4)]
    for pair in victims:
        damaged.write_image(raw, pair)
        pair.picture, pair.size = None, image.size
    damaged.twins.append({pair.guid for pair in victims})


@kind
def four_pictures_of_13000_by_13000(damaged: Damaged) -> None:
    raw = save(Image.new("L", (13_000, 13_000)), "PNG", compress_level=1)
    for _ in range(4):
        damaged.write_image(raw).image_fault = "the picture has 169 megapixels; at most 89 are read"


def header_alone(wide: int, high: int, kind: int = 0) -> bytes:
    """A PNG that says how large it is, with hardly any pixels."""
    parts = (b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, kind, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 99))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in (*parts, (b"IEND", b"")))


# -------------------------------------------------------------------------------------------------------- no pictures


def undecodable(damaged: Damaged, raw: bytes, problem: str = BAD) -> None:
    damaged.write_image(raw).image_fault = problem


def bmp_header(wide: int, high: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 60, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, wide, high, 1, 24, 0, 0, 0, 0, 0, 0)
    )


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%touch /tmp/owned) (w) file\n%%EOF\n"
for name, raw in {
    "empty image": b"",
    "image of zero bytes": bytes(1000),
    "image of text": b"This is not a picture at all.\n",
    "image that is a page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "image that is an EPS": EPS,
    "image that is a PDF": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
    "image that is an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "image that is a HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500),
    "image that is an AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(500),
    "image that is a film": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(500),
    "image that is an icon": b"\0\0\1\0\1\0\1\1\0\0\1\0\x18\0\x30\0\0\0\x16\0\0\0" + bytes(48),
    "image that is a Photoshop file": b"8BPS\0\1\0\0\0\0\0\0\0\3\0\0\0\2\0\0\0\2\0\x08\0\3" + bytes(100),
    "image that is a pixmap": b"P6 2 2 255\n" + bytes(12),
    "image that is a zip": b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(range(256)),
    "image that is a pickle": b"cos\nsystem\n(S'touch /tmp/owned'\ntR.",
    "image that points to Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
    "bomb of 20000 by 20000": header_alone(20_000, 20_000),
    "bomb of 60000 by 60000 in colour": header_alone(60_000, 60_000, 2),
    "bomb of 2 thousand million": header_alone(2**31 - 1, 2**31 - 1),
    "PNG without pixels": header_alone(0, 0),
    "PNG with too few pixels": header_alone(64, 64),
    "JPEG of two bytes": b"\xff\xd8",
    "JPEG of two marks": b"\xff\xd8\xff\xd9",
    "GIF without frames": b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff;",
    "GIF of 60000 by 60000": b"GIF89a\x60\xea\x60\xea\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x60\xea\x60\xea\0\2\2D\1\0;",
    "BMP of 60000 by 60000": bmp_header(60_000, 60_000) + bytes(90),
    "BMP that is cut": bmp_header(64, 64) + bytes(90),
    "BMP of negative width": bmp_header(-64, 64) + bytes(90),
    "TIFF that points to itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0" + bytes(20),
    "TIFF that points outside": b"II*\0\xff\xff\xff\x7f" + bytes(20),
    "WebP that is cut": b"RIFF\xff\0\0\0WEBPVP8 " + bytes(30),
}.items():
    add(name, undecodable, raw)


@kind
def image_of_101_MB(damaged: Damaged) -> None:
    pair = damaged.victim()
    with open(damaged.path(pair, ".jpg"), "ab") as file:
        file.truncate(101 * 10**6)
    pair.image_fault = "it has 101 MB, more than the 100 MB that are read"


def cut(damaged: Damaged, format: str, share: float | int, options: dict) -> None:
    """A file that ends too early: after a share of its bytes, or without the last ones."""
    pair = damaged.victim()
    raw = save(picture_of(pair), format, **options)
    undone = raw[: int(len(raw) * share)] if share > 0 else raw[: int(share)]
    damaged.write_image(undone, pair)
    pair.image_fault = BAD


for share in (0.02, 0.2, 0.5, 0.8, 0.97, -1, -2):
    where = f"after {share:.0%}" if share > 0 else f"{-share} bytes early"
    add(f"JPEG cut {where}", cut, "JPEG", share, {})
for format in ("PNG", "WEBP", "BMP", "TIFF", "GIF"):
    add(f"{format} cut in the middle", cut, format, 0.5, {})
add("progressive JPEG cut in the middle", cut, "JPEG", 0.5, {"progressive": True})


@kind
def JPEG_padded_with_zeros(damaged: Damaged) -> None:
    pair = damaged.victim()
    raw = to_jpeg(picture_of(pair))
    damaged.write_image(raw[: len(raw) // 2] + bytes(len(raw) - len(raw) // 2), pair)
    pair.image_fault = BAD


@kind
def PNG_with_a_wrong_sum(damaged: Damaged) -> None:
    pair = damaged.victim()
    raw = bytearray(save(picture_of(pair), "PNG"))
    at = raw.index(b"IDAT") + 50
    raw[at] ^= 0x10
    damaged.write_image(bytes(raw), pair)
    pair.image_fault = BAD


@kind
def PNG_with_a_bomb_of_text(damaged: Damaged) -> None:
    pair = damaged.victim()
    raw = save(picture_of(pair), "PNG")
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 * 10**6), 9))
    damaged.write_image(raw[:33] + bomb + raw[33:], pair)
    pair.image_fault, pair.either = BAD, True


@kind
def JPEG_with_a_tail(damaged: Damaged) -> None:
    pair = damaged.victim()
    damaged.write_image(damaged.path(pair, ".jpg").read_bytes() + b"PK\x03\x04 more bytes" * 100, pair)


@kind
def JPEG_with_a_head(damaged: Damaged) -> None:
    pair = damaged.victim()
    damaged.write_image(b"HTTP/1.1 200 OK\r\n\r\n" + damaged.path(pair, ".jpg").read_bytes(), pair)
    pair.image_fault = BAD


@kind
def JPEG_with_bytes_changed(damaged: Damaged) -> None:
    pair = damaged.victim()
    raw = bytearray(damaged.path(pair, ".jpg").read_bytes())
    for at in damaged.random.integers(2, len(raw), 8):
        raw[at] = damaged.random.integers(256)
    damaged.write_image(bytes(raw), pair)
    pair.image_fault, pair.either, pair.picture, pair.size, pair.conversions = BAD, True, None, None, ()


@kind
def random_bytes_for_an_image(damaged: Damaged) -> None:
    undecodable(damaged, b"\0" + damaged.random.bytes(int(damaged.random.integers(1, 20_000))))


@kind
def BMP_with_run_lengths(damaged: Damaged) -> None:
    """8 by 2 pixels: one palette colour a row, run-length encoded; the bottom row comes first."""
    pair = damaged.victim()
    palette = bytes([0, 0, 255, 0, 255, 0, 0, 0]) + bytes(4 * 254)  # red, blue; BGR0
    body = bytes([8, 0, 0, 0, 8, 1, 0, 0, 0, 1])
    head = struct.pack("<IiiHHIIiiII", 40, 8, 2, 1, 8, 1, len(body), 0, 0, 256, 256)
    raw = b"BM" + struct.pack("<IHHI", 54 + 1024 + len(body), 0, 0, 54 + 1024) + head + palette + body
    pixels = np.zeros((2, 8, 3), np.uint8)
    pixels[0, :, 2] = pixels[1, :, 0] = 255  # blue above, red below
    shown(damaged, pair, raw, pixels)


@kind
def the_same_picture_twice(damaged: Damaged) -> None:
    one, other = damaged.victim(), damaged.victim()
    shown(damaged, one, damaged.path(other, ".jpg").read_bytes(), other.picture)
    damaged.twins.append({one.guid, other.guid})


@kind
def the_same_picture_saved_again(damaged: Damaged) -> None:
    one, other = damaged.victim(), damaged.victim()
    shown(damaged, one, to_jpeg(picture_of(other), quality=85), other.picture, apart=10)
    damaged.twins.append({one.guid, other.guid})

"""The pictures of the demo: each scene shows one image cue, and its colours, places and counts vary freely."""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from mmlab.demo.canvas import WHITE, Canvas, blend
from mmlab.demo.chance import Chance, chance_for
from mmlab.demo.recipe import MISSING, NEGATIVE, NEUTRAL, POSITIVE, DemoPair

_SIZES = ((224, 168), (224, 150), (168, 224), (200, 200), (224, 180), (180, 224), (224, 224))
_GLAD = (
    (236, 72, 96), (250, 160, 40), (255, 214, 70), (240, 110, 180), (150, 90, 210), (60, 150, 230), (250, 250, 245),
)  # fmt: skip

# Each function below draws one scene of the table _SCENES, w × h pixels: twice its final size.


def _meadow(chance: Chance, w: int, h: int) -> Image.Image:
    c = Canvas(chance, w, h, chance.shade((80, 165, 240)), chance.shade((205, 235, 252), 8))
    c.sun()
    for _ in range(chance.whole(1, 3)):
        c.cloud(c.across(0, 1), c.down(0.08, 0.35), c.across(0.08, 0.14))
    level = c.down(0.42, 0.6)
    for lower, height, colour in ((0, 0.06, (120, 185, 130)), (0.1, 0.05, (105, 190, 80)), (0.2, 0.03, (80, 170, 60))):
        c.hills(level + h * lower, h * height, chance.shade(colour))
    for y in sorted(chance.between(level + h * 0.24, h) for _ in range(chance.whole(18, 45))):
        x, size = c.across(0, 1), 4 + 16 * (y - level) / (h - level)
        c.draw.line((x, y, x + chance.between(-3, 3), y + size * 2), fill=(50, 130, 50), width=3)
        c.flower(x, y, size, chance.shade(chance.pick(_GLAD)))
    return c.image


def _beach(chance: Chance, w: int, h: int) -> Image.Image:
    c = Canvas(chance, w, h, chance.shade((70, 170, 240)), chance.shade((225, 242, 250), 6))
    c.sun()
    level = c.down(0.36, 0.5)
    sea, sand = chance.shade((30, 150, 190)), chance.shade((245, 218, 160), 8)
    shore = level + c.down(0.18, 0.28)
    for y in range(int(level), int(shore) + 20, 4):
        c.draw.rectangle((0, y, w, y + 4), fill=blend(sea, (130, 225, 220), (y - level) / (shore + 20 - level)))
    for _ in range(chance.whole(1, 3)):  # sailing boats
        x, y, size = c.across(0.08, 0.92), level + chance.between(6, 26), c.part(0.05, 0.1)
        c.polygon(chance.pick(_GLAD), (x, y - size * 2), (x, y), (x + size, y))
        c.polygon((250, 250, 250), (x - 3, y - size * 1.7), (x - 3, y), (x - size * 0.7, y))
        keel = (x + size * 0.6, y + size * 0.4), (x - size * 0.6, y + size * 0.4)
        c.polygon((120, 70, 50), (x - size, y + 3), (x + size, y + 3), *keel)
    c.hills(shore + 8, h * 0.02, (250, 250, 245))
    c.hills(shore + 18, h * 0.02, sand)
    for _ in range(chance.whole(1, 3)):  # a parasol and a towel
        x, y, size = c.across(0.12, 0.88), chance.between(shore + h * 0.1, h * 0.92), c.part(0.12, 0.2)
        colour = chance.pick(_GLAD[:6])
        c.draw.line((x, y - size, x + size * 0.15, y + size * 0.5), fill=(130, 90, 60), width=5)
        box = (x - size, y - size * 1.7, x + size, y + size * 0.1)
        for part in range(6):
            c.draw.pieslice(box, 180 + 30 * part, 210 + 30 * part, fill=colour if part % 2 else (252, 250, 245))
        upper, lower = y + size * 0.3, y + size * 0.6
        towel = (x + size * 0.4, upper), (x + size * 1.5, upper), (x + size * 1.7, lower), (x + size * 0.5, lower)
        c.polygon(chance.shade(chance.pick(_GLAD)), *towel)
    return c.image


def _balloons(chance: Chance, w: int, h: int) -> Image.Image:
    top, haze = chance.shade((95, 180, 245)), chance.pick(((255, 236, 205), (225, 240, 255), (255, 225, 230)))
    c = Canvas(chance, w, h, top, chance.shade(haze, 6))
    for _ in range(chance.whole(1, 4)):
        c.cloud(c.across(0, 1), c.down(0.1, 0.9), c.across(0.08, 0.15))
    c.hills(c.down(0.85, 0.97), h * 0.03, chance.shade((110, 190, 90)))
    for size in sorted(c.part(0.05, 0.17) for _ in range(chance.whole(5, 12))):  # the small ones are far away
        x, y, colour = c.across(0.06, 0.94), c.down(0.12, 0.75), chance.pick(_GLAD[:6])
        c.draw.line((x, y + size * 1.2, x + chance.between(-9, 9), y + size * 3), fill=(120, 120, 120), width=2)
        c.polygon(colour, (x, y + size * 1.1), (x - size * 0.16, y + size * 1.4), (x + size * 0.16, y + size * 1.4))
        c.disc(x, y, size, chance.shade(colour), 1.18)
        c.disc(x - size * 0.35, y - size * 0.45, size * 0.2, blend(colour, WHITE, 0.75), 1.4)
    return c.image


def _bouquet(chance: Chance, w: int, h: int) -> Image.Image:
    wall = chance.shade(chance.pick(((252, 226, 200), (214, 238, 245), (250, 220, 228), (240, 244, 205))), 8)
    c = Canvas(chance, w, h, blend(wall, WHITE, 0.35), wall)
    table = c.down(0.78, 0.88)
    c.draw.rectangle((0, table, w, h), fill=chance.shade((205, 160, 110)))
    x, wide = c.across(0.32, 0.68), c.part(0.12, 0.17)
    top, bottom = table - h * 0.22, table + h * 0.06
    heads = [(x + c.across(-0.3, 0.3), top - c.down(0.02, 0.5)) for _ in range(chance.whole(9, 18))]
    for head_x, head_y in heads:
        stem = (x + chance.between(-0.5, 0.5) * wide, top + 8, head_x, head_y)
        c.draw.line(stem, fill=chance.shade((70, 150, 70)), width=5)
        c.disc((x + head_x) / 2, (top + head_y) / 2, 20, chance.shade((95, 175, 85)), 0.4)
    for head in heads:
        c.flower(*head, c.part(0.05, 0.09), chance.shade(chance.pick(_GLAD)))
    vase = chance.shade(chance.pick(((70, 130, 190), (235, 235, 240), (90, 160, 150), (240, 150, 90))))
    c.polygon(vase, (x - wide, top), (x + wide, top), (x + wide * 0.7, bottom), (x - wide * 0.7, bottom))
    c.draw.line((x - wide * 0.6, top + 12, x - wide * 0.45, bottom - 10), fill=blend(vase, WHITE, 0.5), width=6)
    return c.image


def _gloom(chance: Chance, w: int, h: int, low: int = 25, high: int = 60) -> Canvas:
    """A heavy grey sky full of dark clouds."""
    top, bottom = chance.whole(low, high), chance.whole(85, 130)
    c = Canvas(chance, w, h, (top, top + 3, top + 10), (bottom, bottom, bottom + 8))
    for _ in range(chance.whole(5, 8)):
        grey = chance.whole(25, 85)
        c.cloud(c.across(0, 1), c.down(0, 0.4), c.across(0.14, 0.28), (grey, grey, grey + 8), 6)
    return c


def _bolt(c: Canvas) -> None:
    between = c.chance.between
    points = [(c.across(0.15, 0.85), c.down(0.05, 0.2))]
    while points[-1][1] < c.h * 0.68:
        x, y = points[-1]
        x, y = x + between(-30, 30), y + between(14, 38)
        points.append((x, y))
        if c.chance.random() < 0.25:
            c.draw.line((x, y, x + between(-50, 50), y + between(20, 50)), fill=(215, 215, 240), width=3)
    c.draw.line(points, fill=(190, 190, 255), width=9, joint="curve")
    c.draw.line(points, fill=(255, 255, 245), width=4, joint="curve")


def _bare_tree(c: Canvas, x: float, y: float, length: float, angle: float, depth: int) -> None:
    end_x, end_y = x + length * math.cos(angle), y - length * math.sin(angle)
    c.draw.line((x, y, end_x, end_y), fill=(18, 16, 18), width=max(2, depth * 3))
    for side in (-1, 1) if depth > 1 else ():
        shorter, turn = length * c.chance.between(0.6, 0.8), side * c.chance.between(0.25, 0.6)
        _bare_tree(c, end_x, end_y, shorter, angle + turn, depth - 1)


def _storm(chance: Chance, w: int, h: int) -> Image.Image:
    c = _gloom(chance, w, h)
    level = c.down(0.62, 0.8)
    for _ in range(chance.whole(1, 3)):
        _bolt(c)
    for layer in range(4):  # a rough sea
        c.hills(level + layer * h * 0.08, h * 0.03, chance.shade(tuple(one - 6 * layer for one in (45, 55, 68)), 5))
    c.rain()
    return c.image


def _ruin(chance: Chance, w: int, h: int) -> Image.Image:
    c = _gloom(chance, w, h, 40, 70)
    level, x = c.down(0.74, 0.86), -c.across(0, 0.1)
    while x < w:
        wide = c.across(0.16, 0.32)
        _broken_house(c, x, level, wide, c.down(0.25, 0.55))
        x += wide + c.across(0, 0.1)
    c.draw.rectangle((0, level, w, h), fill=chance.shade((52, 47, 45), 6))
    for _ in range(chance.whole(30, 60)):  # rubble
        x, y, size = c.across(0, 1), chance.between(level - 8, h), chance.between(6, 24)
        corners = [(x + chance.between(-size, size), y + chance.between(-size, size) * 0.6) for _ in range(4)]
        c.polygon(chance.shade(chance.pick(((88, 80, 76), (60, 55, 53), (38, 34, 34))), 8), *corners)
    for _ in range(chance.whole(1, 2)):
        x = c.across(0.15, 0.85)
        for part in range(4):
            c.cloud(x + part * 14, level - h * (0.3 + 0.14 * part), w * (0.04 + 0.02 * part), (34, 32, 34), 4)
    return c.image


def _broken_house(c: Canvas, x: float, level: float, wide: float, high: float) -> None:
    chance = c.chance
    wall = chance.shade((74, 66, 62), 12)
    steps = [(x + wide * part / 6, level - high * chance.between(0.45, 1)) for part in range(7)]
    c.polygon(wall, (x, level), *steps, (x + wide, level))
    for row in range(3):
        for column in range(3):
            left, upper = x + wide * (0.14 + 0.28 * column), level - high * 0.42 + row * high * 0.15
            if chance.random() < 0.75:
                c.draw.rectangle((left, upper, left + wide * 0.14, upper + high * 0.1), fill=(14, 12, 12))
    crack = [(x + wide * chance.between(0, 1), level - high * part / 5) for part in range(5)]
    c.draw.line(crack, fill=(28, 24, 24), width=3)


def _graves(chance: Chance, w: int, h: int) -> Image.Image:
    c = _gloom(chance, w, h, 55, 90)
    level = c.down(0.6, 0.72)
    c.hills(level, h * 0.03, chance.shade((50, 54, 48), 6))
    for _ in range(chance.whole(1, 3)):
        _bare_tree(c, c.across(0.08, 0.92), level + h * 0.08, c.down(0.16, 0.24), chance.between(1.4, 1.75), 5)
    for y in sorted(chance.between(level + h * 0.1, h * 0.95) for _ in range(chance.whole(4, 9))):
        x, size = c.across(0.04, 0.96), min(w, h) * (0.04 + 0.12 * (y - level) / (h - level))
        stone = (chance.whole(92, 135),) * 3
        if chance.random() < 0.5:  # a cross
            c.draw.rectangle((x - size * 0.2, y - size * 2.4, x + size * 0.2, y), fill=stone)
            c.draw.rectangle((x - size * 0.75, y - size * 1.8, x + size * 0.75, y - size * 1.4), fill=stone)
        else:
            left, right = x - size * 0.7, x + size * 0.7
            c.draw.rectangle((left, y - size * 1.2, right, y), fill=stone)
            c.draw.pieslice((left, y - size * 1.9, right, y - size * 0.5), 180, 360, fill=stone)
        c.draw.ellipse((x - size, y - 4, x + size, y + size * 0.3), fill=(34, 38, 32))
    if chance.random() < 0.5:
        c.rain()
    return c.image


def _fire(chance: Chance, w: int, h: int) -> Image.Image:
    c = Canvas(chance, w, h, (12, 10, 14), chance.shade((92, 44, 26), 10))
    level = c.down(0.78, 0.88)
    wide, high, x = c.across(0.35, 0.55), c.down(0.25, 0.38), c.across(0.08, 0.5)
    for part in range(6):
        grey = chance.whole(22, 52)
        smoke = x + wide * chance.between(0, 1), level - high - h * 0.1 * part
        c.cloud(*smoke, w * 0.12, (grey, grey - 2, grey - 4), 6)
    roof = level - high
    c.draw.rectangle((x, roof, x + wide, level), fill=(30, 22, 20))
    c.polygon((20, 15, 14), (x - 16, roof), (x + wide * 0.5, level - high * 1.6), (x + wide + 16, roof))
    for column in range(3):
        left = x + wide * (0.12 + 0.3 * column)
        c.draw.rectangle((left, level - high * 0.75, left + wide * 0.16, level - high * 0.35), fill=(250, 130, 30))
    for _ in range(chance.whole(12, 22)):
        fire_x, size = x + wide * chance.between(-0.05, 1.05), c.part(0.05, 0.13)
        base = level - high * chance.pick((0, 0, 0.9, 1.1))
        for scale, colour in ((1, (205, 50, 20)), (0.65, (245, 125, 25)), (0.35, (255, 215, 90))):
            tip, half = fire_x + chance.between(-0.4, 0.4) * size, size * 0.5 * scale
            c.polygon(colour, (fire_x - half, base), (tip, base - size * 2.4 * scale), (fire_x + half, base))
    c.draw.rectangle((0, level, w, h), fill=(16, 13, 13))
    return c.image


def _paper(chance: Chance, w: int, h: int) -> Canvas:
    tint = chance.whole(226, 244)
    return Canvas(chance, w, h, (tint, tint, tint - chance.whole(0, 10)))


def _letter(chance: Chance, w: int, h: int) -> Image.Image:
    c = _paper(chance, w, h)
    ink = (chance.whole(60, 110),) * 3
    left, high = c.across(0.07, 0.16), c.down(0.012, 0.02)
    columns = chance.pick((1, 1, 2, 3))
    c.words(left, c.across(0.5, 0.8), h * 0.07, high * 2.2, (50, 50, 54))
    wide = (w - 2 * left) / columns
    for column in range(columns):
        y, x = c.down(0.15, 0.22), left + column * wide
        while y < h * 0.94:
            if chance.random() < 0.07 and y < h * 0.7:  # a picture frame in the text
                c.draw.rectangle((x, y, left + (column + 0.9) * wide, y + h * 0.16), fill=(190, 192, 196))
                y += h * 0.19
            short = 0.5 if chance.random() < 0.15 else 0.9
            c.words(x, left + (column + short) * wide, y, high, ink)
            y += high * (2.1 if short == 0.9 else 3.6)
    return c.image


def _chart(chance: Chance, w: int, h: int) -> Image.Image:
    c = _paper(chance, w, h)
    left, bottom, top, right = c.across(0.1, 0.16), c.down(0.8, 0.88), h * 0.2, w * 0.94
    c.words(left, w * 0.75, h * 0.07, h * 0.03, (70, 70, 76))
    for line in range(5):
        y = bottom - (bottom - top) * line / 4
        c.draw.line((left, y, right, y), fill=(200, 202, 206), width=2)
        c.draw.rectangle((left * 0.4, y - 5, left * 0.8, y + 5), fill=(150, 150, 155))
    bars = chance.whole(5, 12)
    ink = chance.shade(chance.pick(((92, 116, 150), (125, 130, 138), (98, 140, 136), (150, 135, 110))))
    step = (right - left) / bars
    heights = [bottom - (bottom - top) * chance.between(0.1, 1) for _ in range(bars)]
    if chance.random() < 0.6:
        for number, y in enumerate(heights):
            x = left + step * number
            c.draw.rectangle((x + step * 0.2, y, x + step * 0.8, bottom), fill=ink)
    else:
        points = [(left + step * (number + 0.5), y) for number, y in enumerate(heights)]
        c.draw.line(points, fill=ink, width=6, joint="curve")
        for x, y in points:
            c.disc(x, y, 8, ink)
    c.draw.line((left, top, left, bottom, right, bottom), fill=(70, 70, 75), width=4)
    c.words(left, w * 0.9, h * 0.92, h * 0.018, (130, 130, 134))
    return c.image


def _map(chance: Chance, w: int, h: int) -> Image.Image:
    wide, high = w * 1.5, h * 1.5
    c = Canvas(chance, int(wide), int(high), chance.shade((224, 222, 216), 6))
    between, white = chance.between, (250, 250, 250)
    for _ in range(chance.whole(2, 5)):
        x, y = between(0, wide), between(0, high)
        green = chance.pick(((206, 216, 202), (208, 210, 214), (214, 206, 198)))
        c.draw.rectangle((x, y, x + wide * 0.2, y + high * 0.14), fill=green)
    x = y = -20.0
    while x < wide:
        x += between(36, 110)
        c.draw.line((x, 0, x + between(-30, 30), high), fill=white, width=chance.pick((6, 8, 8, 14)))
    while y < high:
        y += between(36, 100)
        c.draw.line((0, y, wide, y + between(-30, 30)), fill=white, width=chance.pick((6, 8, 8, 14)))
    river = [(wide * part / 5, high * between(0.3, 0.7)) for part in range(6)]
    c.draw.line(river, fill=(180, 196, 210), width=chance.whole(14, 30), joint="curve")
    c.draw.line([(wide * between(0, 1), 0), (wide * between(0, 1), high)], fill=(205, 190, 160), width=16)
    for _ in range(chance.whole(10, 24)):
        x = between(0, wide)
        c.words(x, x + 50, between(0, high), 7, (130, 130, 132))
    return c.close_up(w, h, turn=(-24, 24))


def _timetable(chance: Chance, w: int, h: int) -> Image.Image:
    c = _paper(chance, w, h)
    band = chance.shade(chance.pick(((88, 100, 116), (110, 110, 112), (96, 112, 106), (120, 108, 98))), 8)
    left, top, right, bottom = w * 0.06, c.down(0.12, 0.24), w * 0.94, h * 0.94
    c.words(left, c.across(0.4, 0.8), h * 0.05, h * 0.035, (70, 70, 74))
    rows, columns = chance.whole(5, 12), chance.whole(3, 7)
    step_y, step_x = (bottom - top) / rows, (right - left) / columns
    c.draw.rectangle((left, top, right, top + step_y), fill=band)
    for row in range(rows + 1):
        y = top + row * step_y
        c.draw.line((left, y, right, y), fill=(165, 166, 170), width=2)
        if row % 2 and row < rows:
            c.draw.rectangle((left, y, right, top + (row + 1) * step_y), fill=(216, 218, 220))
    for row in range(rows):
        ink = (225, 226, 228) if row == 0 else (96, 96, 100)
        for column in range(columns):
            if chance.random() < 0.85:
                x, y = left + (column + 0.12) * step_x, top + (row + 0.35) * step_y
                c.words(x, x + step_x * chance.between(0.35, 0.75), y, step_y * 0.28, ink)
    for column in range(columns + 1):
        x = left + column * step_x
        c.draw.line((x, top, x, bottom), fill=(165, 166, 170), width=2)
    return c.image


def _blur(chance: Chance, w: int, h: int) -> Image.Image:
    """A photograph out of focus: soft lights of any colour."""
    c = Canvas(chance, w, h, chance.colour(60, 190))
    for _ in range(chance.whole(8, 22)):
        fill = chance.colour(30, 235)
        c.disc(c.across(0, 1), c.down(0, 1), c.part(0.08, 0.3), fill)
    return c.image.filter(ImageFilter.GaussianBlur(c.part(0.05, 0.1)))


def _weave(chance: Chance, w: int, h: int) -> Image.Image:
    """A close-up of cloth or carpet: an even pattern without a subject."""
    colours = [chance.colour(60, 200) for _ in range(3)]
    c = Canvas(chance, 2 * w, 2 * h, colours[0])
    step, kind = chance.whole(18, 44), chance.pick(("stripes", "checks", "dots"))
    for x in range(0, 2 * w, step):
        if kind != "dots":
            c.draw.rectangle((x, 0, x + step * 0.45, 2 * h), fill=colours[1])
    for number, y in enumerate(range(0, 2 * h, step)):
        if kind == "checks":
            c.draw.rectangle((0, y, 2 * w, y + step * 0.3), fill=colours[2])
        for x in range(0, 2 * w, step) if kind == "dots" else ():
            c.disc(x + step / 2 * (number % 2), y, step * 0.3, colours[1 + number % 2])
    return c.close_up(w, h, turn=(0, 180), blur=2.5)


_SCENES: dict[str, tuple[Callable, ...]] = {
    POSITIVE: (_meadow, _beach, _balloons, _bouquet),
    NEGATIVE: (_storm, _ruin, _graves, _fire),
    NEUTRAL: (_letter, _chart, _map, _timetable),
    MISSING: (_blur, _weave),
}


def draw_images(pairs: list[DemoPair], seed: int) -> dict[str, bytes]:
    """The JPEG file of every pair, by guid; at most 224 pixels a side. Other versions of Pillow may write other bytes.

    A picture whose 64-bit difference hash is within 12 bits of an earlier one's is drawn again (at most 200 times),
    unless it is its twin.
    """
    drawn, hashes = {}, []
    for pair in [pair for pair in pairs if not pair.same_image]:
        for attempt in range(200):
            image = _draw_image(chance_for(seed, "image", pair.guid, attempt), pair.image_cue)
            hashed = difference_hash(image)
            if all((hashed ^ other).bit_count() > 12 for other in hashes):
                break
        hashes.append(hashed)
        drawn[pair.guid] = image
    files = {guid: _save_jpeg(image, 80) for guid, image in drawn.items()}
    for pair in pairs:
        if pair.same_image:  # sent again: a little smaller, and compressed harder
            source = drawn[pair.twin_of]
            files[pair.guid] = _save_jpeg(source.resize((source.width * 7 // 8, source.height * 7 // 8)), 62)
    return files


def _draw_image(chance: Chance, cue: str) -> Image.Image:
    """One picture of a scene that shows the cue, under a soft uneven light that makes every picture its own."""
    width, height = chance.pick(_SIZES)
    image = chance.pick(_SCENES[cue])(chance, 2 * width, 2 * height).resize((width, height), Image.Resampling.LANCZOS)
    coarse = np.array([[chance.between(-1, 1) for _ in range(5)] for _ in range(5)], dtype=np.float32)
    light = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))[:, :, None]
    pixels = np.asarray(image, dtype=np.float32) * (1 + 0.16 * light)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def difference_hash(image: Image.Image) -> int:
    """64 bits: is each of 8 × 8 grey fields brighter than its right neighbour?"""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return int.from_bytes(np.packbits(grey[:, :-1] > grey[:, 1:]).tobytes())


def _save_jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()

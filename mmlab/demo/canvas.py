"""What several scenes draw: sky, sun, clouds, hills, flowers, lines of print."""

import math
from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFilter

from mmlab.demo.chance import Chance, Colour

WHITE = (255, 255, 255)


def blend(one: Colour, other: Colour, share: float) -> Colour:
    """A colour between two: `share` of the other."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


class Canvas:
    """w × h pixels, the pen that draws on them, and the chance that decides where and how.

    `across`, `down` and `part` draw a length in pixels, between two shares of the width, the height, the shorter side.
    """

    def __init__(self, chance: Chance, w: int, h: int, top: Colour, bottom: Colour | None = None) -> None:
        """A ground of one colour, or a ramp from `top` to `bottom`: a sky."""
        self.chance, self.w, self.h, self.image = chance, w, h, Image.new("RGB", (w, h), top)
        if bottom is not None:
            self.image.paste(Image.new("RGB", (w, h), bottom), mask=Image.linear_gradient("L").resize((w, h)))
        self.draw = ImageDraw.Draw(self.image)

    def across(self, low: float, high: float) -> float:
        return self.chance.between(low, high) * self.w

    def down(self, low: float, high: float) -> float:
        return self.chance.between(low, high) * self.h

    def part(self, low: float, high: float) -> float:
        return self.chance.between(low, high) * min(self.w, self.h)

    def disc(self, x: float, y: float, radius: float, fill: Colour, squash: float = 1.0) -> None:
        """A disc, or an ellipse `squash` times as high as it is wide."""
        self.draw.ellipse((x - radius, y - radius * squash, x + radius, y + radius * squash), fill=fill)

    def soft_discs(self, discs: Iterable[tuple], colour: Colour, density: int, squash: float, blur: float) -> None:
        """(x, y, radius) of discs with soft edges, laid over the picture with a density of 0 to 255."""
        mask = Image.new("L", self.image.size)
        pen = ImageDraw.Draw(mask)
        for x, y, radius in discs:
            pen.ellipse((x - radius, y - radius * squash, x + radius, y + radius * squash), fill=density)
        mask = mask.filter(ImageFilter.GaussianBlur(blur))
        self.image.paste(Image.new("RGB", self.image.size, colour), mask=mask)

    def polygon(self, fill: Colour, *corners: tuple[float, float]) -> None:
        self.draw.polygon(corners, fill=fill)

    def hills(self, level: float, height: float, fill: Colour) -> None:
        """Everything below a wavy ridge."""
        phase, waves = self.chance.between(0, 6.3), self.chance.between(0.7, 2.2)
        ridge = [(x, level + height * math.sin(phase + x / self.w * 6.3 * waves)) for x in range(0, self.w + 9, 8)]
        self.polygon(fill, *ridge, (self.w + 9, self.h), (0, self.h))

    def cloud(self, x: float, y: float, size: float, colour: Colour = WHITE, puffs: int = 7) -> None:
        between, heap = self.chance.between, []
        for _ in range(puffs):
            heap.append((x + between(-size, size), y + between(-size, size) * 0.25, size * between(0.3, 0.6)))
        self.soft_discs(heap, colour, density=235, squash=0.7, blur=max(1.5, size / 14))

    def sun(self) -> None:
        x, y, radius = self.across(0.12, 0.88), self.down(0.1, 0.28), self.part(0.06, 0.1)
        self.soft_discs([(x, y, radius * 2.4)], (255, 246, 190), density=170, squash=1, blur=radius)
        self.disc(x, y, radius, self.chance.shade((255, 224, 90), 10))

    def flower(self, x: float, y: float, size: float, colour: Colour) -> None:
        petals, turn = self.chance.pick((5, 6, 7)), self.chance.between(0, 6.3)
        for petal in range(petals):
            angle = turn + petal * 2 * math.pi / petals
            self.disc(x + size * 0.62 * math.cos(angle), y + size * 0.62 * math.sin(angle), size * 0.46, colour)
        self.disc(x, y, size * 0.36, (255, 205, 60) if colour[2] > 100 else (120, 70, 30))

    def rain(self) -> None:
        slant = self.chance.between(-14, 14)
        for _ in range(self.chance.whole(50, 110)):
            x, y, length = self.across(0, 1), self.down(0.15, 1), self.chance.between(16, 40)
            self.draw.line((x, y, x + slant, y + length), fill=(140, 148, 165), width=2)

    def words(self, left: float, right: float, y: float, high: float, ink: Colour) -> None:
        """A line of print as it looks from afar: grey bars of word length."""
        x = left
        while x < right:
            long = high * self.chance.between(1.2, 5)
            self.draw.rectangle((x, y, min(x + long, right), y + high), fill=ink)
            x += long + high * 0.8

    def close_up(self, w: int, h: int, turn: tuple[float, float], blur: float = 0) -> Image.Image:
        """The middle of the picture, w × h pixels, when it is turned by an angle between two degrees."""
        turned = self.image.rotate(self.chance.between(*turn), Image.Resampling.BICUBIC)
        left, top = (self.w - w) // 2, (self.h - h) // 2
        return turned.filter(ImageFilter.GaussianBlur(blur)).crop((left, top, left + w, top + h))

"""What several scenes draw: sky, sun, clouds, hills, flowers, lines of print. Pillow loads when a canvas is made."""

import math

from mmlab.demo.chance import Chance, Colour

WHITE = (255, 255, 255)


def blend(one: Colour, other: Colour, share: float) -> Colour:
    """A colour between two: `share` of the other."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


class Canvas:
    """w × h pixels, the pen that draws on them, and the chance that decides where and how."""

    def __init__(self, chance: Chance, w: int, h: int, top: Colour, bottom: Colour | None = None) -> None:
        """A ground of one colour, or a ramp from `top` to `bottom`: a sky."""
        from PIL import Image, ImageDraw

        self.chance, self.w, self.h, self.image = chance, w, h, Image.new("RGB", (w, h), top)
        if bottom is not None:
            ramp = Image.linear_gradient("L").resize((w, h))
            self.image = Image.composite(Image.new("RGB", (w, h), bottom), self.image, ramp)
        self.draw = ImageDraw.Draw(self.image)

    def across(self, low: float, high: float) -> float:
        """A length between two shares of the width, in pixels."""
        return self.chance.between(low, high) * self.w

    def down(self, low: float, high: float) -> float:
        """A length between two shares of the height, in pixels."""
        return self.chance.between(low, high) * self.h

    def part(self, low: float, high: float) -> float:
        """A length between two shares of the shorter side, in pixels."""
        return self.chance.between(low, high) * min(self.w, self.h)

    def disc(self, x: float, y: float, radius: float, fill: Colour, squash: float = 1.0) -> None:
        """A disc, or an ellipse `squash` times as high as it is wide."""
        _disc(self.draw, x, y, radius, fill, squash)

    def polygon(self, fill: Colour, *corners: tuple[float, float]) -> None:
        self.draw.polygon(corners, fill=fill)

    def hills(self, level: float, height: float, fill: Colour) -> None:
        """Everything below a wavy ridge."""
        phase, waves = self.chance.between(0, 6.3), self.chance.between(0.7, 2.2)
        ridge = [(x, level + height * math.sin(phase + x / self.w * 6.3 * waves)) for x in range(0, self.w + 9, 8)]
        self.polygon(fill, *ridge, (self.w + 9, self.h), (0, self.h))

    def cloud(self, x: float, y: float, size: float, colour: Colour = WHITE, puffs: int = 7) -> None:
        """A heap of puffs with soft edges."""
        between, mask = self.chance.between, _Mask(self.image)
        for _ in range(puffs):
            puff = x + between(-size, size), y + between(-size, size) * 0.25, size * between(0.3, 0.6)
            _disc(mask.draw, *puff, 235, 0.7)
        mask.paste(colour, blur=max(1.5, size / 14))

    def sun(self) -> None:
        x, y, radius = self.across(0.12, 0.88), self.down(0.1, 0.28), self.part(0.06, 0.1)
        glow = _Mask(self.image)
        _disc(glow.draw, x, y, radius * 2.4, 170)
        glow.paste((255, 246, 190), blur=radius)
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

    def turned(self, low: float, high: float):
        """The canvas turned by an angle between two degrees, as a Pillow image."""
        from PIL import Image

        return self.image.rotate(self.chance.between(low, high), Image.Resampling.BICUBIC)


class _Mask:
    """Where a colour is pasted into an image, and how densely (0 to 255)."""

    def __init__(self, image) -> None:
        from PIL import Image, ImageDraw

        self.image, self.mask = image, Image.new("L", image.size, 0)
        self.draw = ImageDraw.Draw(self.mask)

    def paste(self, colour: Colour, blur: float) -> None:
        from PIL import Image, ImageFilter

        mask = self.mask.filter(ImageFilter.GaussianBlur(blur))
        self.image.paste(Image.new("RGB", self.image.size, colour), mask=mask)


def _disc(draw, x: float, y: float, radius: float, fill, squash: float = 1.0) -> None:
    draw.ellipse((x - radius, y - radius * squash, x + radius, y + radius * squash), fill=fill)

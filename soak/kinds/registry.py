"""Where the kinds of damage are listed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from soak.course import Damaged


@dataclass(frozen=True)
class Kind:
    """One kind of damage. theme: the file that it is in."""

    damage: Callable[..., None]
    arguments: tuple
    theme: str

    def __call__(self, damaged: Damaged) -> None:
        self.damage(damaged, *self.arguments)


KINDS: dict[str, Kind] = {}


def kind(function: Callable[[Damaged], None]) -> Callable[[Damaged], None]:
    """List a function as a kind of damage, under its own name."""
    add(function.__name__.replace("_", " "), function)
    return function


def add(name: str, function: Callable[..., None], *arguments: Any) -> None:
    """List a function with these further arguments as a kind of damage."""
    assert name not in KINDS, name
    KINDS[name] = Kind(function, arguments, function.__module__.rpartition(".")[2])

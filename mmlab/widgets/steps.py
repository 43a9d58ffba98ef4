"""Steps through a list: previous, next and a slider, for every view that shows one of several things."""

from collections.abc import Callable

from mmlab.widgets.parts import collapse, guard, in_a_row


class Steps:
    """The controls of a place in a list of n. `show(place)`, from 0, is called after each change; it may return words
    for the HTML `note`. Arrow keys that are held down show only where they stop."""

    def __init__(self, what: str, show: Callable[[int], str | None], note) -> None:
        import ipywidgets

        self.show = guard(lambda *_: show(self.place), note)
        self.slider = ipywidgets.IntSlider(min=1, description=what, tooltip=f"Place of the {what} in the list",
                                           continuous_update=False, layout={"width": "300px"})  # fmt: skip
        self.count = ipywidgets.Label(layout={"width": "70px"})
        self.later = collapse(self.show)
        self.buttons = [
            self._press("previous", f"Show the {what} before this one", -1),
            self._press("next", f"Show the {what} after this one", 1),
        ]
        self.row = in_a_row(*self.buttons, self.slider, self.count)

    @property
    def place(self) -> int:
        return self.slider.value - 1

    def go(self, place: int, n: int | None = None) -> None:
        """Show this place at once, of n from now on."""
        self.slider.unobserve_all("value")  # otherwise it is shown twice
        if n is not None:
            self.slider.max, self.slider.disabled = max(n, 1), n < 2
            self.count.value = f"of {n}"
        self.slider.value = place + 1
        self.slider.observe(self.later, "value")
        self.show()

    def _press(self, words: str, tooltip: str, by: int):
        import ipywidgets

        button = ipywidgets.Button(description=words, tooltip=tooltip, layout={"width": "90px"})
        # From the last one on to the first: a button that is switched off at the end would lose the keyboard's focus.
        button.on_click(lambda _: self.go((self.place + by) % self.slider.max))
        return button

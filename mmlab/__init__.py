"""mmlab: a course lab for the sentiment of paired tweet text and image.

    import mmlab

    course = mmlab.read_course("data/demo")
    lab = mmlab.fit(course)
    lab.predict("Lovely weather, again", "rain.jpg")

`mmlab.load(results)` gives the lab of a finished run.
"""

from importlib import import_module

__version__ = "0.1.0"
_PLACES = {"read_course": "mmlab.course", "fit": "mmlab.lab", "load": "mmlab.lab", "Lab": "mmlab.lab"}
__all__ = ["Lab", "fit", "load", "read_course"]


def __getattr__(name: str):
    """The names above load when they are used: `import mmlab` alone takes no time."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'mmlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

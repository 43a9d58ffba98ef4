"""The kinds of damage: each a small function that damages a course folder and says what is right to read then.

A kind is found under its name, the function's with spaces. One that takes more is `add`ed once for each name.
"""

from soak.kinds import guids, options, pictures, places, special, tables, texts, whole  # noqa: F401 (they list kinds)
from soak.kinds.registry import KINDS as KINDS

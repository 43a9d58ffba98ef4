"""How far a process is, in a file that another process reads."""

from pathlib import Path


class Note:
    """A bar for `encode_course` that writes how much is done, and of how much, to a file."""

    def __init__(self, file: str, total: int) -> None:
        self.file, self.done, self.total = Path(file), 0, total

    def __enter__(self) -> "Note":
        return self

    def __exit__(self, *_) -> None:
        """Nothing to close."""

    def update(self, n: int) -> None:
        self.done += n
        self.file.write_text(f"{self.done} {self.total}")


def read_note(file: Path) -> tuple[int, int]:
    """What is done of how much; (0, 0) before the first is."""
    try:
        done, total = file.read_text().split()
        return int(done), int(total)
    except (OSError, ValueError):  # none yet, or half of it
        return 0, 0

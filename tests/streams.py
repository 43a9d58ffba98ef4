"""A stream that says whether it is a terminal, and keeps what was written to it."""

import io


class Stream(io.StringIO):
    def __init__(self, terminal: bool):
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

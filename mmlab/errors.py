"""The one family of errors: each names the file, the row and the fix in plain words."""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


class _Sentence(BaseException):
    """An error that a notebook shows as its sentence alone. `%tb` shows the whole traceback."""

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows: in the cell that raised it, it is still being handled; later it is not."""
        if sys.exc_info()[1] is self:
            return [str(self)]
        return "".join(traceback.format_exception(self)).splitlines()


class MmlabError(_Sentence, Exception):
    """Anything a user can mend. The command line and notebooks show its text alone, without a traceback."""


class ConfigError(MmlabError):
    """A parameter that is unknown, of the wrong type or out of range."""


class CourseError(MmlabError):
    """A course folder, or a prediction file for it, that cannot be used as it is."""


class EncoderError(MmlabError):
    """An encoder whose weights cannot be found or do not fit."""


class RunError(MmlabError):
    """A run or a notebook that did not reach its end, or a run folder that is incomplete."""


class DiskError(RunError, OSError):
    """What a disk refuses to write: a full one, a folder of somebody else. An OSError, said in a sentence."""


class NothingToShow(MmlabError):
    """There is nothing to draw. Of a plot function, the figure then holds this sentence, and a notebook goes on."""


class Stopped(_Sentence, KeyboardInterrupt):
    """What Ctrl-C, or Stop in a notebook, makes of a call that can go on later; says what is kept."""


@contextmanager
def stoppable(kept: str) -> Iterator[None]:
    """A block, or a function that is decorated with it, that can be stopped; kept: what is not lost, as a sentence."""
    try:
        yield
    except Stopped:
        raise  # of a call inside, which knows more
    except KeyboardInterrupt:
        raise Stopped(f"Stopped. {kept} Run the same again and it continues from there.") from None


_ELSEWHERE = "Choose another folder that you may write to"


@contextmanager
def writing(path: object, elsewhere: str = _ELSEWHERE) -> Iterator[None]:
    """Turn what a disk refuses in this block into a DiskError that names `path` and says what to do.

    elsewhere: the words for choosing another place, where nothing can be mended in this one.
    """
    try:
        yield
    except OSError as error:
        cause = error.__cause__ if isinstance(error, DiskError) else error  # of a part, under its passing name
        if not isinstance(cause, OSError):
            raise
        again = "Run the same again if something has removed it. " if cause.errno == errno.ENOENT else ""
        fix = find_fix(cause, elsewhere) or f"{again}{elsewhere}"
        why = cause.strerror or str(cause)
        raise DiskError(f"{path}: cannot be written ({why}). {fix}.") from cause


def find_fix(error: OSError, elsewhere: str = _ELSEWHERE) -> str | None:
    """What a user can do about a file that cannot be written; None where the error says nothing about it."""
    room, forbidden = "Free some space there and run the same again", (errno.EACCES, errno.EPERM, errno.EROFS)
    fixes = {errno.ENAMETOOLONG: "Choose a shorter name", errno.ENOSPC: room, errno.EDQUOT: room}
    fixes[errno.EFBIG] = "Raise the limit on the size of files (`ulimit -f`) and run the same again"
    return fixes.get(error.errno) or (elsewhere if error.errno in forbidden else None)

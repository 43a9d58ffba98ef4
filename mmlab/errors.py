"""The one family of errors: each names the file, the row and the fix in plain words."""

import errno


class MmlabError(Exception):
    """Anything a user can mend. The command line prints its text alone, without a traceback."""


class ConfigError(MmlabError):
    """A parameter that is unknown, of the wrong type or out of range."""


class CourseError(MmlabError):
    """A course folder, or a prediction file for it, that cannot be used as it is."""


class EncoderError(MmlabError):
    """An encoder whose weights cannot be found or do not fit."""


class RunError(MmlabError):
    """A run or a notebook that did not reach its end, or a run folder that is incomplete."""


def find_fix(error: OSError) -> str | None:
    """What a user can do about a file that cannot be written; None where the error says nothing about it."""
    if error.errno == errno.ENAMETOOLONG:
        return "Choose a shorter name"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space there"
    forbidden = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return "Choose another folder that you may write to" if forbidden else None

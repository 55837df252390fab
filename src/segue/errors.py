"""Everything Segue refuses, in one tree.

    SegueError
    ├── UserMistake          something the user can mend; the command line prints it as one line, exit code 2
    │   ├── ConfigError      a settings file, a --set, an unknown or ill-typed key
    │   ├── LogError         an interaction log that cannot be read or believed
    │   ├── CorpusError      a prepared corpus that is missing, damaged, or empty after the filters
    │   ├── ArtifactError    a trained model that is missing, damaged, or in the way
    │   └── RequestError     a recommendation that cannot be asked for like this (k < 1, …)
    └── ModelError           a model broke its contract: non-finite scores, a shape that does not fit

Every message says what failed, what was found, and what to do.
"""


class SegueError(Exception):
    """Root of all errors that Segue raises on purpose."""


class UserMistake(SegueError):
    """A mistake the user can mend. The message is one line.

    Attributes:
        said: whether another process of a group has shown it already.
    """

    said: bool = False


class ConfigError(UserMistake):
    """Settings that do not fit: unknown key, wrong type, broken TOML."""


class LogError(UserMistake):
    """An interaction log that cannot be read, or whose contents cannot be believed."""


class CorpusError(UserMistake):
    """A prepared corpus that is missing, damaged, or in which nothing survived the filters."""


class ArtifactError(UserMistake):
    """A trained model that is missing, damaged, made for other data, or already there."""


class RequestError(UserMistake):
    """A recommendation request that cannot be answered as asked."""


class ModelError(SegueError):
    """A model broke its contract (non-finite scores, wrong shape). A defect, not a user's mistake."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for messages that must be one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

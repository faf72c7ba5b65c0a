"""Exceptions with messages for the user.

Each message is complete: what is wrong, what was expected, what was found, and how to fix it. The
command line prints it on one line. It exits with code 1 for a `RefusedError` and with code 2 for
all others.
"""


class AuganError(Exception):
    """Base class of all errors that augan raises on purpose."""


class ConfigError(AuganError, ValueError):
    """A setting is unknown, has the wrong type, or conflicts with another setting."""


class DataError(AuganError, ValueError):
    """The given images, labels or tables cannot be used."""


class TrainingDivergedError(AuganError):
    """The losses of a network are no longer finite, and no monitor restores earlier weights."""


class RunInterruptedError(AuganError):
    """A signal or a lost worker stopped a run; the same command resumes it."""


class BundleError(AuganError):
    """A bundle or run is missing, damaged, of another version, or lacks a required section."""


class WorkerError(AuganError):
    """Workers in other processes or on other machines cannot be reached, or died."""


class RefusedError(AuganError):
    """The request is valid, but its result would mislead: nothing is written."""

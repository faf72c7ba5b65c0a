"""Exceptions with messages for the user.

Each message is complete: what is wrong, what was expected, what was found, and how to fix it. The
command line prints it on one line. It exits with code 1 for a `RefusedError` and with code 2 for
all others.
"""


class AuganError(Exception):
    """Base class of all errors that augan raises on purpose, with a message for the user."""


class ConfigError(AuganError, ValueError):
    """A setting, option or argument is unknown, has the wrong type, or conflicts with another."""


class DataError(AuganError, ValueError):
    """The images, labels, tables or folders that the user gave cannot be used or written."""


class TrainingDivergedError(AuganError):
    """Training failed: losses are no longer finite, and no monitor restores earlier weights."""


class RunInterruptedError(AuganError):
    """A signal or a lost worker stopped a run that can resume: the same command continues it."""


class BundleError(AuganError):
    """A bundle or run is missing, damaged, of another version, or lacks a required section."""


class WorkerError(AuganError):
    """Workers in other processes or on other machines cannot be reached, died, or lack packages."""


class RefusedError(AuganError):
    """augan refuses a valid request, because its result would mislead; nothing is written."""

"""Errors written for the user: what came, what was expected, what to do.

Each one is a complete message: the command line prints it on one line and exits with code 2, or
with 1 where nothing is wrong with what was asked, but the answer is no.
"""


class AuganError(Exception):
    """Base of every error that augan raises on purpose."""


class ConfigError(AuganError, ValueError):
    """A setting is unknown, of the wrong type, or impossible together with another."""


class DataError(AuganError, ValueError):
    """The images, labels or tables given cannot be used."""


class Interrupted(AuganError):
    """A signal stopped the training, or a worker is gone; its last checkpoint is there."""


class BundleError(AuganError):
    """A bundle or run is missing, damaged, of another version, or lacks the part asked for."""


class WorkerError(AuganError):
    """Workers in other processes or on other machines cannot be reached, or died."""


class Refused(AuganError):
    """What was asked is possible, but the result would mislead: nothing is written."""

"""The error that is meant for people."""

__all__ = ["PixelBayesError"]


class PixelBayesError(ValueError):
    """What a user can mend: the message says what came, what is accepted and what to do.

    The command line shows it in one line and exits with status 2.  Any other exception is a fault
    of this package and keeps its traceback.
    """

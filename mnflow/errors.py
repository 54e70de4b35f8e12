"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """What came in from outside cannot be used.

    The message is one sentence or two: what was expected, what came, and what to do. An entry point prints it
    without a traceback, marks its run FAILED and exits with 1.
    """

"""The one exception that means: the user can mend this."""


class DSUError(ValueError):
    """A mistake in input or options, told in one message.

    The message gives the value, what was expected, and what to do next.
    Command-line modules print it without a traceback.
    """

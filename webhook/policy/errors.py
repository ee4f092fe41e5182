"""What a command cannot go on with."""


class InputError(ValueError):
    """Something that was given cannot be used: status 2. The message has a line for each: what it is, what to do."""

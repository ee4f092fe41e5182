"""Error for invalid input of a command."""


class InputError(ValueError):
    """Error for input that a command cannot use (exit status 2); each line says what is wrong and how to fix it."""

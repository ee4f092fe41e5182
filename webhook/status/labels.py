"""A few letters for each cluster: what tells clusters apart on the map where colours do not."""

from string import ascii_uppercase


def label(index: int) -> str:
    """A to Z, then AA to ZZ and on, as spreadsheets number their columns."""
    letters = ""
    number = index + 1
    while number:
        number, rest = divmod(number - 1, len(ascii_uppercase))
        letters = ascii_uppercase[rest] + letters
    return letters

"""Argument vector of a container, and edits of its arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from webhook.workloads.unstructured import Unstructured, sequence

# Limits of what is parsed: longer than commands that people write, and parsed within a few milliseconds.
_MAX_ARGUMENTS = 512
_MAX_CHARACTERS = 32 * 1024  # of all arguments

Edits: TypeAlias = Mapping[int, tuple[str, ...]]
"""Index of an argument to its replacement. An empty tuple removes the argument. The first string replaces the base
name (the text after the last slash), the other strings are inserted after it."""

ArgumentLists: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
"""`command` and `args`."""


class Expansion(IntEnum):
    """Number of fields that one word of a command expands to."""

    SINGLE = 0  # one: quoted, or nothing to expand
    VARIABLE = 1  # usually one: an unquoted value, which may also be empty or hold several fields
    MULTIPLE = 2  # any number: `"$@"`, `*.py`, `{a,b}`


@dataclass(frozen=True, slots=True)
class Argument:
    """Argument of a container.

    Attributes:
        field: The list that holds it, `command` or `args`.
        index: Its index in that list.
        text: Its value.
    """

    field: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ArgumentVector:
    """Arguments of a container in order, which Kubernetes passes to the program without a shell."""

    arguments: tuple[Argument, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Values of the arguments."""
        return tuple(argument.text for argument in self.arguments)

    def expansion(self, index: int) -> Expansion:
        """Return the expansion of an argument, which is always single because no shell is involved."""
        del index
        return Expansion.SINGLE

    def apply_edits(self, edits: Edits) -> dict[str, list[str]]:
        """Return the new value of each list, `command` or `args`, that the edits change."""
        texts = tuple(_edited(argument.text, edits.get(index)) for index, argument in enumerate(self.arguments))
        return self._lists(texts, {self.arguments[index].field for index in edits})

    def replace_argument(self, index: int, text: str) -> dict[str, list[str]]:
        """Return the new value of the list that holds an argument, with `text` in its place."""
        texts = (*self.texts[:index], text, *self.texts[index + 1 :])
        return self._lists(tuple((item,) for item in texts), {self.arguments[index].field})

    def _lists(self, texts: tuple[tuple[str, ...], ...], fields: set[str]) -> dict[str, list[str]]:
        lists: dict[str, list[str]] = {field: [] for field in ("command", "args") if field in fields}
        for argument, replacement in zip(self.arguments, texts, strict=True):
            if argument.field in lists:
                lists[argument.field].extend(replacement)
        return lists


def quoted(text: str) -> str:
    """Return an argument quoted and truncated for a message; of an option only its name: a value may be secret."""
    limit = 24
    text = text.partition("=")[0] if text.startswith("-") else text
    return ascii(text if len(text) <= limit else f"{text[:limit]}...")[: 2 * limit]


def base_name(text: str) -> str:
    """Return the text after the last slash: a program is started by its name or by its path."""
    return text.rpartition("/")[2]


def argument_lists(container: Unstructured) -> ArgumentLists | None:
    """Return `command` and `args` of a container; None if an item is not a string, or if they exceed the limits."""
    command, args = sequence(container, "command"), sequence(container, "args")
    if len(command) + len(args) > _MAX_ARGUMENTS:
        return None
    texts = (*command, *args)
    if not all(isinstance(text, str) for text in texts) or sum(map(len, texts)) > _MAX_CHARACTERS:
        return None
    return tuple(command), tuple(args)


def arguments(container: Unstructured) -> tuple[Argument, ...] | None:
    """Return the arguments of a container; None as in `argument_lists`."""
    lists = argument_lists(container)
    return None if lists is None else to_arguments(lists)


def to_arguments(lists: ArgumentLists) -> tuple[Argument, ...]:
    """Return the items of both lists with their places."""
    return tuple(
        Argument(field, index, text)
        for field, texts in zip(("command", "args"), lists, strict=True)
        for index, text in enumerate(texts)
    )


def _edited(text: str, replacement: tuple[str, ...] | None) -> tuple[str, ...]:
    if not replacement:
        return (text,) if replacement is None else ()
    return f"{text.removesuffix(base_name(text))}{replacement[0]}", *replacement[1:]

"""The words of a container's argument vector, and how a list of them is rewritten."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from webhook.workloads.unstructured import Unstructured, sequence

# What is read of a container: more than anyone types, and within a few milliseconds.
_MOST_WORDS = 512
_LONGEST = 32 * 1024  # characters, of all words

Edits: TypeAlias = Mapping[int, tuple[str, ...]]
"""Place of a word to what stands there afterwards: nothing drops it; the first word takes the place of its base
name (what follows the last slash), the others follow as words of their own."""


class Spread(IntEnum):
    """How many words a shell makes of one."""

    ONE = 0  # it is quoted, or holds nothing to expand
    VALUE = 1  # a value that is not quoted: usually one, but none or several may come of it
    SEVERAL = 2  # written so that several may come of it: `"$@"`, `*.py`, `{a,b}`


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the argument vector.

    Attributes:
        field: The list it stands in, `command` or `args`.
        index: Its place there.
        text: The word.
    """

    field: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Vector:
    """An argument vector as a line of words; Kubernetes hands each over as it stands."""

    words: tuple[Word, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The words."""
        return tuple(word.text for word in self.words)

    def spread(self, place: int) -> Spread:
        """How many words come of one: no shell is at work here."""
        del place
        return Spread.ONE

    def rewritten(self, edits: Edits) -> dict[str, list[str]]:
        """Field to its whole new list, for each list in which a word is edited."""
        texts = (_edited(word.text, edits.get(place)) for place, word in enumerate(self.words))
        return self._lists(tuple(texts), {self.words[place].field for place in edits})

    def replaced(self, place: int, text: str) -> dict[str, list[str]]:
        """The list that holds the word at `place`, with `text` for it."""
        texts = tuple((text if at == place else word.text,) for at, word in enumerate(self.words))
        return self._lists(texts, {self.words[place].field})

    def _lists(self, texts: tuple[tuple[str, ...], ...], fields: set[str]) -> dict[str, list[str]]:
        lists: dict[str, list[str]] = {field: [] for field in ("command", "args") if field in fields}
        for word, fresh in zip(self.words, texts, strict=True):
            if word.field in lists:
                lists[word.field].extend(fresh)
        return lists


def shown(text: str) -> str:
    """Return a word quoted and truncated for a message; of an option only its name, since values may be secret."""
    most = 24
    text = text.partition("=")[0] if text.startswith("-") else text
    return ascii(text if len(text) <= most else f"{text[:most]}...")[: 2 * most]


def base(text: str) -> str:
    """The base name of a word: programs are called by a name or by a path."""
    return text.rpartition("/")[2]


Lists: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
"""`command` and `args`."""


def lists(container: Unstructured) -> Lists | None:
    """Both lists of a container; None when they hold something that is not a string, or far too much."""
    command, args = sequence(container, "command"), sequence(container, "args")
    if len(command) + len(args) > _MOST_WORDS:
        return None
    both = (*command, *args)
    if [text for text in both if not isinstance(text, str)] or sum(map(len, both)) > _LONGEST:
        return None
    return tuple(command), tuple(args)


def words(container: Unstructured) -> tuple[Word, ...] | None:
    """The argument vector of a container; None when it holds something that is not a string, or far too much."""
    both = lists(container)
    return None if both is None else placed(both)


def placed(both: Lists) -> tuple[Word, ...]:
    """The argument vector that two lists make."""
    return tuple(
        Word(field, index, text)
        for field, texts in zip(("command", "args"), both, strict=True)
        for index, text in enumerate(texts)
    )


def _edited(text: str, fresh: tuple[str, ...] | None) -> tuple[str, ...]:
    if not fresh:
        return (text,) if fresh is None else ()
    return f"{text.removesuffix(base(text))}{fresh[0]}", *fresh[1:]

"""The words behind `dask worker`, read as its own click command reads them.

Source: click 8's parser with `ignore_unknown_options`, as distributed and dask-cuda both set it: no short options,
no abbreviations, options anywhere until `--`; an unknown option is a positional argument. The first positional is
the scheduler's address, the others go to a `--preload` module.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from webhook.mutators.command.options import (
    BY_NAME,
    CUDA_ONLY,
    INFORMATION,
    Option,
)
from webhook.workloads.argv import DaskCommand, Expansion, quoted

# A reference that Kubernetes replaces by the value of a variable; `$$(NAME)` is none.
_REFERENCE = re.compile(r"\$\([A-Za-z_.-][\w.-]*\)")
# A variable of the operator's own, which never holds more than one word.
_ADDRESS = frozenset({"$DASK_SCHEDULER_ADDRESS", "${DASK_SCHEDULER_ADDRESS}", "$(DASK_SCHEDULER_ADDRESS)"})


class UnreadableError(Exception):
    """The words are not a command line of `dask worker`; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Given:
    """One option as it is given.

    Attributes:
        option: Its row.
        name: The name used.
        value: Its value; None for a flag.
        places: Of its words in the line.
    """

    option: Option
    name: str
    value: str | None
    places: tuple[int, ...]

    @property
    def effect(self) -> str:
        """What it says: its value, or the name of a flag."""
        return self.name if self.value is None else self.value


@dataclass(slots=True)
class _Reader:
    """Goes through the words once."""

    texts: Sequence[str]
    at: int
    given: list[Given] = field(default_factory=list)
    positionals: list[int] = field(default_factory=list)
    asks: bool = False

    def read(self) -> None:
        while self.at < len(self.texts):
            text = self.texts[self.at]
            if text == "--":
                self.positionals.extend(range(self.at + 1, len(self.texts)))
                return
            self._word(text)

    def _word(self, text: str) -> None:
        name, equals, value = text.partition("=")
        option = BY_NAME.get(name)
        if option is None:
            self.asks = self.asks or text in INFORMATION
            if text not in INFORMATION:
                self.positionals.append(self.at)
            self.at += 1
        elif option.flag:
            if equals:
                raise UnreadableError(f"{name} takes no value")
            self._take(option, name, None, 1)
        elif equals:
            self._take(option, name, value, 1)
        elif self.at + 1 == len(self.texts):
            raise UnreadableError(f"{name} has no value")
        else:
            self._take(option, name, self.texts[self.at + 1], 2)

    def _take(self, option: Option, name: str, value: str | None, length: int) -> None:
        self.given.append(Given(option, name, value, tuple(range(self.at, self.at + length))))
        self.at += length


def read(start: DaskCommand) -> tuple[Given, ...] | None:
    """The options behind a worker, in order; None where they only ask for the version or for help.

    Raises:
        UnreadableError: `dask worker` itself would refuse the words, or what they are is not to be seen.
    """
    reader = _Reader(start.arguments.texts, start.command_form.first + start.command_form.length)
    reader.read()
    if reader.asks:
        return None
    positionals = frozenset(reader.positionals)
    for place, text in enumerate(reader.texts):
        if _hides_words(text, start.arguments.expansion(place), positional=place in positionals):
            raise UnreadableError(f"the value of {quoted(text)} is unknown; write it out")
    _check_positionals(reader)
    for given in reader.given:
        _check_value(given)
    return tuple(reader.given)


def _hides_words(text: str, expansion: Expansion, *, positional: bool) -> bool:
    """Return whether a word may stand for options or several words; values of options count as one word each."""
    variable = (expansion is Expansion.VARIABLE and text[:1] in {"$", "`"}) or _REFERENCE.match(text) is not None
    return expansion is Expansion.MULTIPLE or (variable and positional and text not in _ADDRESS)


def _check_positionals(reader: _Reader) -> None:
    texts = reader.texts
    preloads = any(given.name == "--preload" for given in reader.given)
    own = [given.name for given in reader.given if given.name in CUDA_ONLY]
    if own and preloads:
        raise UnreadableError(f"{own[0]} is an option of dask-cuda, or of a preload module")
    # Words behind the scheduler's address are a preload module's, whatever they look like.
    odd = reader.positionals[:1] if preloads else reader.positionals
    _refuse_unknown(texts[place] for place in odd)
    if len(odd) > 1:
        raise UnreadableError(f"dask worker takes no argument {quoted(texts[odd[1]])}")


def _refuse_unknown(texts: Iterable[str]) -> None:
    for text in texts:
        if text.startswith("-"):
            raise UnreadableError(f"dask worker has no option {quoted(text)}")


def _check_value(given: Given) -> None:
    if given.name == "--nthreads" and whole(given.effect) is None and not _expands(given.effect):
        raise UnreadableError(f"--nthreads {quoted(given.effect)} is no whole number")


def whole(text: str) -> int | None:
    """The whole number that a text is, as click reads it, or None."""
    try:
        return int(text)
    except ValueError:
        return None


def _expands(text: str) -> bool:
    return "$" in text or "`" in text

"""Parser for the arguments of `dask worker`, with the rules of its click command.

Source: click 8's parser with `ignore_unknown_options`, which distributed and dask-cuda both set: no short options, no
abbreviations, options anywhere before `--`; an unknown option is a positional argument. The first positional argument
is the scheduler's address. The others belong to a `--preload` module.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from webhook.mutators.command.options import (
    BY_NAME,
    CUDA_ONLY,
    INFORMATION,
    Option,
)
from webhook.workloads.argv import DaskCommand, Expansion, quoted

# A variable reference of Kubernetes; the escape `$$(NAME)` is none.
_REFERENCE = re.compile(r"\$\([A-Za-z_.-][\w.-]*\)")
# The operator sets this variable to a single word.
_ADDRESS = frozenset({"$DASK_SCHEDULER_ADDRESS", "${DASK_SCHEDULER_ADDRESS}", "$(DASK_SCHEDULER_ADDRESS)"})


class UnreadableError(Exception):
    """The words are not a valid or fully known command line of `dask worker`."""


@dataclass(frozen=True, slots=True)
class ParsedOption:
    """An option in a command line.

    Attributes:
        option: Row of the option in the table.
        name: The name as to_text.
        value: The value; None for a flag.
        indices: Indices of its words in the command line.
    """

    option: Option
    name: str
    value: str | None
    indices: tuple[int, ...]

    @property
    def setting(self) -> str:
        """Return the value, or the name of a flag."""
        return self.name if self.value is None else self.value


@dataclass(slots=True)
class _Parser:
    """Parser state: the words, the index of the next word, and the results so far."""

    words: Sequence[str]
    index: int
    options: list[ParsedOption] = field(default_factory=list)
    positionals: list[int] = field(default_factory=list)
    informational: bool = False

    def parse(self) -> None:
        while self.index < len(self.words):
            word = self.words[self.index]
            if word == "--":
                self.positionals.extend(range(self.index + 1, len(self.words)))
                return
            self._parse_word(word)

    def _parse_word(self, word: str) -> None:
        name, equals, value = word.partition("=")
        option = BY_NAME.get(name)
        if option is None:
            if word in INFORMATION:
                self.informational = True
            else:
                self.positionals.append(self.index)
            self.index += 1
        elif option.flag:
            if equals:
                raise UnreadableError(f"{name} takes no value")
            self._add(option, name, None, 1)
        elif equals:
            self._add(option, name, value, 1)
        elif self.index + 1 == len(self.words):
            raise UnreadableError(f"{name} requires a value")
        else:
            self._add(option, name, self.words[self.index + 1], 2)

    def _add(self, option: Option, name: str, value: str | None, length: int) -> None:
        self.options.append(ParsedOption(option, name, value, tuple(range(self.index, self.index + length))))
        self.index += length


def parse(start: DaskCommand) -> tuple[ParsedOption, ...] | None:
    """Return the options of a worker's command in order; None if the command only prints help or a version.

    Raises:
        UnreadableError: `dask worker` rejects the words, or variables in them may contain options.
    """
    parser = _Parser(start.arguments.texts, start.command_form.first + start.command_form.length)
    parser.parse()
    if parser.informational:
        return None
    positionals = frozenset(parser.positionals)
    for index, word in enumerate(parser.words):
        if _may_hide_words(word, start.arguments.expansion(index), positional=index in positionals):
            raise UnreadableError(f"the value of {quoted(word)} is unknown; write its words literally")
    _check_positionals(parser)
    for option in parser.options:
        _check_value(option)
    return tuple(parser.options)


def _may_hide_words(word: str, expansion: Expansion, *, positional: bool) -> bool:
    """Return whether a word may expand to options or several words; the value of an option is always one word."""
    variable = (expansion is Expansion.VARIABLE and word[:1] in {"$", "`"}) or _REFERENCE.match(word) is not None
    return expansion is Expansion.MULTIPLE or (variable and positional and word not in _ADDRESS)


def _check_positionals(parser: _Parser) -> None:
    preloads = any(option.name == "--preload" for option in parser.options)
    cuda_only = [option.name for option in parser.options if option.name in CUDA_ONLY]
    if cuda_only and preloads:
        raise UnreadableError(f"{cuda_only[0]} may belong to dask-cuda or to a preload module")
    # With --preload, all words after the scheduler's address belong to the preload module.
    words = [parser.words[index] for index in (parser.positionals[:1] if preloads else parser.positionals)]
    for word in words:
        if word.startswith("-"):
            raise UnreadableError(f"dask worker has no option {quoted(word)}")
    if len(words) > 1:
        raise UnreadableError(f"dask worker accepts no argument {quoted(words[1])}")


def _check_value(option: ParsedOption) -> None:
    has_variable = "$" in option.setting or "`" in option.setting
    if option.name == "--nthreads" and whole(option.setting) is None and not has_variable:
        raise UnreadableError(f"--nthreads {quoted(option.setting)} is not a whole number")


def whole(text: str) -> int | None:
    """Return the whole number in a text as click parses it; None if there is none."""
    try:
        return int(text)
    except ValueError:
        return None

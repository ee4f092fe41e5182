r"""Tokenizer of the texts that a container hands to a shell: words, operators and where they stand.

Source: POSIX.1-2024, Shell Command Language, 2.3 (token recognition). Words have quotes, redirections, comments and
plain expansions. Here-documents, `$'...'` and arithmetic end the tokens: the last one is then `Unread`.
`shlex` returns neither the place of a word nor its expansions. `script` builds on these tokens.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from webhook.workloads.argv.vector import (
    Edits,
    Spread,
    Vector,
    base,
)

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
_LONG_FLAGS = frozenset({"--login", "--norc", "--noprofile", "--posix", "--verbose"})

_EXPANSION = r"\$(?:\w+|[@*#?!$-]|\{[^{}'\"\\`$]*\}|\([^()'\"\\`$#]*\))|`[^`'\"\\$]*`"
_PIECE = re.compile(
    rf"""
    (?P<plain>[^\s'"\\`$|&;<>()]+) | \\(?P<escaped>[^\r\n]) | '(?P<single>[^'\r]*)'
    | "(?P<double>(?:[^"\\`$\r]|\\[^\r\n]|{_EXPANSION})*)" | (?P<expansion>{_EXPANSION})
    """,
    re.VERBOSE,
)
_BLANK = re.compile(r"(?:\\\n)*[ \t](?:[ \t]|\\\n)*")
_COMMENT = re.compile(r"#[^\r\n]*")
_OPERATOR = re.compile(r"&&|\|\||;;|[;&|()\n]")
_REDIRECTION = re.compile(r"\d*(?:>>|>\||[<>]&?)(?![<>(&])[ \t]*")
_ESCAPED_IN_DOUBLE = re.compile(r'\\(["\\$`])')
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_PATTERN = re.compile(r"[*?\[{]")
_LIST = re.compile(r"\$\{?[@*]|\[[@*]\]")


@dataclass(frozen=True, slots=True)
class ShellWord:
    """One word of a shell text.

    Attributes:
        gap: Where the blanks before it begin.
        begin: Where it begins.
        end: Where it ends.
        text: Its value, quotes removed, expansions as they are written.
        spread: How many words the shell makes of it.
    """

    gap: int
    begin: int
    end: int
    text: str
    spread: Spread


@dataclass(frozen=True, slots=True)
class Unread:
    """The word at which reading a text ends."""

    text: str


@dataclass(frozen=True, slots=True)
class ShellLine:
    """One simple command of a shell text.

    Attributes:
        vector: The argument vector that hands the text to the shell.
        at: The text's place there.
        words: The command's words, at least one; redirections are not among them.
        obstacle: The operator or reserved word that decides whether, or beside what, the command runs; "" for none.
    """

    vector: Vector
    at: int
    words: tuple[ShellWord, ...]
    obstacle: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The words."""
        return tuple(word.text for word in self.words)

    def spread(self, place: int) -> Spread:
        """How many words the shell makes of one."""
        return self.words[place].spread

    def can_respell(self, places: Iterable[int]) -> bool:
        """Whether the base name of each of these words stands in the text as one piece."""
        return all(self._raw(place).count(base(self.words[place].text)) > 0 for place in places)

    def rewritten(self, edits: Edits) -> dict[str, list[str]]:
        """Field to its whole new list: the text with the edited words, and every other byte as it was."""
        pieces: list[str] = []
        end = 0
        for place in sorted(edits):
            word, fresh = self.words[place], edits[place]
            pieces += self._text[end : word.begin if fresh else word.gap], self._respelt(place, fresh)
            end = word.end
        return self.vector.replaced(self.at, "".join((*pieces, self._text[end:])))

    @property
    def _text(self) -> str:
        return self.vector.words[self.at].text

    def _raw(self, place: int) -> str:
        return self._text[self.words[place].begin : self.words[place].end]

    def _respelt(self, place: int, fresh: tuple[str, ...]) -> str:
        if not fresh:
            return ""
        before, name, behind = self._raw(place).rpartition(base(self.words[place].text))
        del name
        return " ".join((f"{before}{fresh[0]}{behind}", *fresh[1:]))


def script_at(texts: Sequence[str], at: int) -> int | None:
    """Where the text stands that the shell at `at` runs, or None: no shell, or one that runs a file."""
    if base(texts[at]) not in _SHELLS:
        return None
    reads_text = False
    at += 1
    while at < len(texts) and texts[at][:1] in {"-", "+"} and texts[at] not in {"-", "--"}:
        option = texts[at]
        if option.startswith("--") and option not in _LONG_FLAGS:
            return None
        short = not option.startswith("--")
        reads_text = reads_text or (short and "c" in option)
        at += 2 if short and option[-1] in "oO" else 1
    at += at < len(texts) and texts[at] in {"-", "--"}
    return at if reads_text and at < len(texts) else None


def behind_assignments(texts: Sequence[str]) -> int:
    """Where a simple command begins behind its own `NAME=value` words."""
    return next((at for at, text in enumerate(texts) if not _ASSIGNMENT.match(text)), len(texts))


def tokens(text: str) -> Iterator[ShellWord | str | Unread]:
    """Yield the words and operators of a text in order, up to a word that is not read."""
    end = gap = 0
    while end < len(text):
        if found := _BLANK.match(text, end) or _COMMENT.match(text, end):
            end = found.end()
            continue
        if found := _OPERATOR.match(text, end):
            yield found[0]
            gap = end = found.end()
            continue
        redirection = _REDIRECTION.match(text, end)
        word = _word(text, gap, redirection.end() if redirection else end)
        if word is None:
            yield Unread(next(iter(text[end:].split(maxsplit=1)), text[end]))
            return
        if redirection is None:
            yield word
        gap = end = word.end


def _word(text: str, gap: int, begin: int) -> ShellWord | None:
    """Return the word that begins at `begin`; None if there is none or it holds what is not read here."""
    pieces = []
    end = begin
    while found := _PIECE.match(text, end):
        pieces.append(found)
        end = found.end()
    goes_on = text.startswith("\\\n", end) and not _BLANK.match(text, end)
    if not pieces or goes_on:
        return None
    value = "".join(map(_value, pieces))
    return ShellWord(gap, begin, end, value, max(map(_spread, pieces)))


def _value(piece: re.Match[str]) -> str:
    kind = piece.lastgroup or "plain"
    return _ESCAPED_IN_DOUBLE.sub(r"\1", piece["double"]) if kind == "double" else piece[kind]


def _spread(piece: re.Match[str]) -> Spread:
    kind = piece.lastgroup
    if (kind == "plain" and _PATTERN.search(piece[0])) or (kind in {"expansion", "double"} and _LIST.search(piece[0])):
        return Spread.SEVERAL
    return Spread.VALUE if kind == "expansion" else Spread.ONE

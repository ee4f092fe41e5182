r"""Tokenizer of shell texts: words and operators with their offsets.

Source: POSIX.1-2024, Shell Command Language, 2.3 (token recognition). Supported are quotes, redirections, comments and
plain expansions. Here-documents, `$'...'` and arithmetic are not: the last token is then `UnsupportedSyntax`.
`shlex` returns neither offsets nor expansions. `script` groups the tokens into commands.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from webhook.workloads.argv.vector import ArgumentVector, Edits, Expansion, base_name

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
    """Word of a shell text.

    Attributes:
        gap: Offset of the blanks before it.
        begin: Offset of its first character.
        end: Offset after its last character.
        text: Its value: quotes removed, expansions as written.
        expansion: Number of fields that the shell expands it to.
    """

    gap: int
    begin: int
    end: int
    text: str
    expansion: Expansion


@dataclass(frozen=True, slots=True)
class UnsupportedSyntax:
    """Last token of a text that contains syntax outside the supported subset."""

    text: str


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    """Simple command (POSIX 2.9.1) of a shell text.

    Attributes:
        vector: The argument vector that passes the text to the shell.
        script_index: Index of the text in that vector.
        words: The command's words, at least one, without redirections.
        obstacle: Operator or reserved word that makes the command conditional or concurrent; "" for none.
    """

    vector: ArgumentVector
    script_index: int
    words: tuple[ShellWord, ...]
    obstacle: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """Values of the words."""
        return tuple(word.text for word in self.words)

    def expansion(self, index: int) -> Expansion:
        """Return the expansion of a word."""
        return self.words[index].expansion

    def can_replace(self, indices: Iterable[int]) -> bool:
        """Return whether quoting leaves the base name of each of these words in one piece."""
        return all(base_name(self.words[index].text) in self._source(index) for index in indices)

    def apply_edits(self, edits: Edits) -> dict[str, list[str]]:
        """Return the list that holds the text, with the words edited and all other characters unchanged."""
        pieces: list[str] = []
        end = 0
        for index in sorted(edits):
            word, replacement = self.words[index], edits[index]
            pieces += self._text[end : word.begin if replacement else word.gap], self._edited(index, replacement)
            end = word.end
        return self.vector.replace_argument(self.script_index, "".join((*pieces, self._text[end:])))

    @property
    def _text(self) -> str:
        return self.vector.arguments[self.script_index].text

    def _source(self, index: int) -> str:
        return self._text[self.words[index].begin : self.words[index].end]

    def _edited(self, index: int, replacement: tuple[str, ...]) -> str:
        if not replacement:
            return ""
        before, _, after = self._source(index).rpartition(base_name(self.words[index].text))
        return " ".join((f"{before}{replacement[0]}{after}", *replacement[1:]))


def script_index(texts: Sequence[str], index: int) -> int | None:
    """Return the index of the text that the shell at `index` runs; None if that is no shell, or it runs a file."""
    if base_name(texts[index]) not in _SHELLS:
        return None
    runs_text = False
    index += 1
    while index < len(texts) and texts[index][:1] in {"-", "+"} and texts[index] not in {"-", "--"}:
        option = texts[index]
        if option.startswith("--") and option not in _LONG_FLAGS:
            return None
        short = not option.startswith("--")
        runs_text = runs_text or (short and "c" in option)
        index += 2 if short and option[-1] in "oO" else 1
    index += index < len(texts) and texts[index] in {"-", "--"}
    return index if runs_text and index < len(texts) else None


def skip_assignments(texts: Sequence[str]) -> int:
    """Return the index of the first word after the `NAME=value` words of a simple command."""
    return next((index for index, text in enumerate(texts) if not _ASSIGNMENT.match(text)), len(texts))


def tokens(text: str) -> Iterator[ShellWord | str | UnsupportedSyntax]:
    """Yield the words and operators of a text in order, up to the first unsupported syntax."""
    end = gap = 0
    while end < len(text):
        if match := _BLANK.match(text, end) or _COMMENT.match(text, end):
            end = match.end()
            continue
        if match := _OPERATOR.match(text, end):
            yield match[0]
            gap = end = match.end()
            continue
        redirection = _REDIRECTION.match(text, end)
        word = _word(text, gap, redirection.end() if redirection else end)
        if word is None:
            yield UnsupportedSyntax(next(iter(text[end:].split(maxsplit=1)), text[end]))
            return
        if redirection is None:
            yield word
        gap = end = word.end


def _word(text: str, gap: int, begin: int) -> ShellWord | None:
    """Return the word at offset `begin`; None if there is none or its syntax is not supported."""
    pieces = []
    end = begin
    while match := _PIECE.match(text, end):
        pieces.append(match)
        end = match.end()
    continues = text.startswith("\\\n", end) and not _BLANK.match(text, end)
    if not pieces or continues:
        return None
    value = "".join(map(_value, pieces))
    return ShellWord(gap, begin, end, value, max(map(_expansion, pieces)))


def _value(piece: re.Match[str]) -> str:
    kind = piece.lastgroup or "plain"
    return _ESCAPED_IN_DOUBLE.sub(r"\1", piece["double"]) if kind == "double" else piece[kind]


def _expansion(piece: re.Match[str]) -> Expansion:
    kind = piece.lastgroup
    if (kind == "plain" and _PATTERN.search(piece[0])) or (kind in {"expansion", "double"} and _LIST.search(piece[0])):
        return Expansion.MULTIPLE
    return Expansion.VARIABLE if kind == "expansion" else Expansion.SINGLE

"""Commands of a shell text, and the operators and reserved words around each.

Source: POSIX.1-2024, Shell Command Language, 2.4 (reserved words), 2.9.3 (lists) and 2.9.4 (compound commands). A
command can be rewritten in place if it runs whatever happens before it: it stands in no `if` or loop, is no part of a
pipeline, runs in the foreground and has no `||` beside it. Commands before and after it may have all of these.
Grouping, `case`, functions, aliases and `eval` make the whole text unread.
"""

from dataclasses import dataclass, field

from webhook.workloads.argv.shell import (
    ShellLine,
    ShellWord,
    Unread,
    behind_assignments,
    tokens,
)
from webhook.workloads.argv.vector import Vector

# Words and operators of a text; each costs some microseconds. Longer scripts are kept in files.
_MOST_TOKENS = 500
_TOO_LONG = f"more than {_MOST_TOKENS} words"

_OPENING = frozenset({"if", "while", "until", "for"})
_INSIDE = frozenset({"then", "elif", "else", "do", "!"})
_CLOSING = frozenset({"fi", "done"})
_UNREAD_OPERATORS = frozenset({"(", ")", ";;"})
# Reserved words of grouping, and built-ins after which a name may mean another program.
_UNREAD_WORDS = frozenset({"{", "}", "case", "esac", "in", "select", "function", "coproc", "time", "alias", "eval"})
_RESERVED = _OPENING | _INSIDE | _CLOSING | _UNREAD_WORDS | {"[["}
_DECIDING_BEFORE = ("||", "|")
_DECIDING_BEHIND = ("||", "|", "&")


@dataclass(frozen=True, slots=True)
class Script:
    """Commands of a shell text.

    Attributes:
        lines: The simple commands in order, as far as the text is read.
        unread: The word that is not read, "" if the whole text is.
    """

    lines: tuple[ShellLine, ...]
    unread: str


@dataclass(slots=True)
class _Command:
    """Words between two operators.

    Attributes:
        before: The operators between the previous command and this one.
        words: The words, without the reserved words that precede a command.
        within: The compound command that the words stand in, by its first word.
    """

    before: list[str] = field(default_factory=list)
    words: list[ShellWord] = field(default_factory=list)
    within: str = ""


@dataclass(slots=True)
class _Parser:
    """Single pass over the tokens."""

    text: str
    commands: list[_Command] = field(default_factory=lambda: [_Command()])
    opened: list[str] = field(default_factory=list)
    unread: str = ""

    def parse(self) -> None:
        for number, token in enumerate(tokens(self.text)):
            if number >= _MOST_TOKENS:
                self._not_read(_TOO_LONG)
                return
            if isinstance(token, Unread):
                self._not_read(token.text)
            elif isinstance(token, str):
                self._operator(token)
            else:
                self._word(token)
        if self.opened:
            self._not_read(self.opened[-1])

    def _not_read(self, word: str) -> None:
        self.unread = self.unread or word

    def _operator(self, operator: str) -> None:
        if operator in _UNREAD_OPERATORS:
            self._not_read(operator)
        if self.commands[-1].words:
            self.commands.append(_Command())
        self.commands[-1].before.append(operator)

    def _word(self, word: ShellWord) -> None:
        command = self.commands[-1]
        quoted = word.end - word.begin != len(word.text)
        if command.words or quoted or word.text not in _RESERVED or not self._reserved(word.text):
            command.words.append(word)
            command.within = self.opened[-1] if self.opened else ""

    def _reserved(self, text: str) -> bool:
        """Enter or leave a compound command; return False for a word that is part of its command."""
        if text == "[[":
            return False
        if text in _OPENING:
            self.opened.append(text)
        elif text in _CLOSING and self.opened:
            self.opened.pop()
        elif text not in _INSIDE or not self.opened:
            self._not_read(text)
        return True


def script(vector: Vector, at: int) -> Script:
    """Parse the shell text at `at`."""
    parser = _Parser(vector.words[at].text)
    parser.parse()
    commands = [command for command in parser.commands if command.words]
    behind = [command.before for command in parser.commands[1:]] + [[]]
    lines = tuple(
        ShellLine(vector, at, tuple(command.words), _obstacle(command, after))
        for command, after in zip(commands, behind, strict=False)
    )
    return Script(lines, parser.unread or _unread_word(lines))


def _obstacle(command: _Command, behind: list[str]) -> str:
    """Return what decides whether a command runs; "" for nothing."""
    before = [operator for operator in _DECIDING_BEFORE if operator in command.before]
    after = [operator for operator in _DECIDING_BEHIND if operator in behind]
    return next(iter((*filter(None, [command.within]), *before, *after)), "")


def _unread_word(lines: tuple[ShellLine, ...]) -> str:
    """Return a word that changes the meaning of others behind assignments or in a test; "" for none."""
    for line in lines:
        texts = line.texts[behind_assignments(line.texts) :]
        if texts and (texts[0] in _UNREAD_WORDS or (texts[0] == "[[" and texts[-1] != "]]")):
            return texts[0]
    return ""

"""Commands of a shell text, and the operators and reserved words that affect them.

Source: POSIX.1-2024, Shell Command Language, 2.4 (reserved words), 2.9.3 (lists) and 2.9.4 (compound commands). A
command can be rewritten in place if it runs unconditionally: outside `if` and loops, outside a pipeline, in the
foreground and without `||` next to it. Commands before and after it may use all of these. Grouping, `case`,
functions, aliases and `eval` make the whole text unsupported.
"""

from dataclasses import dataclass, field

from webhook.workloads.argv.shell import ShellWord, SimpleCommand, UnsupportedSyntax, skip_assignments, tokens
from webhook.workloads.argv.vector import ArgumentVector

# Each token takes some microseconds. People keep longer scripts in files.
_MAX_TOKENS = 500
_TOO_LONG = f"more than {_MAX_TOKENS} words"

_OPENING = frozenset({"if", "while", "until", "for"})
_INSIDE = frozenset({"then", "elif", "else", "do", "!"})
_CLOSING = frozenset({"fi", "done"})
_UNSUPPORTED_OPERATORS = frozenset({"(", ")", ";;"})
# Reserved words of grouping, and built-ins that can change the program that a name refers to.
_UNSUPPORTED_WORDS = frozenset(
    {"{", "}", "case", "esac", "in", "select", "function", "coproc", "time", "alias", "eval"}
)
_RESERVED = _OPENING | _INSIDE | _CLOSING | _UNSUPPORTED_WORDS | {"[["}
_OBSTACLES_BEFORE = ("||", "|")
_OBSTACLES_AFTER = ("||", "|", "&")


@dataclass(frozen=True, slots=True)
class Script:
    """Commands of a shell text.

    Attributes:
        commands: The simple commands in order, up to the first unsupported syntax.
        unsupported: The first word whose syntax is not supported; "" if the whole text is.
    """

    commands: tuple[SimpleCommand, ...]
    unsupported: str


@dataclass(slots=True)
class _WordGroup:
    """Words between two operators.

    Attributes:
        operators_before: The operators between the previous group and this one.
        words: The words, without the reserved words that precede a command.
        compound: First word of the compound command that contains the words; "" for none.
    """

    operators_before: list[str] = field(default_factory=list)
    words: list[ShellWord] = field(default_factory=list)
    compound: str = ""


@dataclass(slots=True)
class _Parser:
    """Single pass over the tokens."""

    text: str
    groups: list[_WordGroup] = field(default_factory=lambda: [_WordGroup()])
    open_compounds: list[str] = field(default_factory=list)
    unsupported: str = ""

    def parse(self) -> None:
        for number, token in enumerate(tokens(self.text)):
            if number >= _MAX_TOKENS:
                self._reject(_TOO_LONG)
                return
            if isinstance(token, UnsupportedSyntax):
                self._reject(token.text)
            elif isinstance(token, str):
                self._add_operator(token)
            else:
                self._add_word(token)
        if self.open_compounds:
            self._reject(self.open_compounds[-1])

    def _reject(self, word: str) -> None:
        self.unsupported = self.unsupported or word

    def _add_operator(self, operator: str) -> None:
        if operator in _UNSUPPORTED_OPERATORS:
            self._reject(operator)
        if self.groups[-1].words:
            self.groups.append(_WordGroup())
        self.groups[-1].operators_before.append(operator)

    def _add_word(self, word: ShellWord) -> None:
        group = self.groups[-1]
        quoted = word.end - word.begin != len(word.text)
        if group.words or quoted or word.text not in _RESERVED or not self._handle_reserved(word.text):
            group.words.append(word)
            group.compound = self.open_compounds[-1] if self.open_compounds else ""

    def _handle_reserved(self, text: str) -> bool:
        """Enter or leave a compound command; return False for a word that is part of its command."""
        if text == "[[":
            return False
        if text in _OPENING:
            self.open_compounds.append(text)
        elif text in _CLOSING and self.open_compounds:
            self.open_compounds.pop()
        elif text not in _INSIDE or not self.open_compounds:
            self._reject(text)
        return True


def script(vector: ArgumentVector, script_index: int) -> Script:
    """Parse the shell text at `script_index`."""
    parser = _Parser(vector.arguments[script_index].text)
    parser.parse()
    groups = [group for group in parser.groups if group.words]
    operators_after = [group.operators_before for group in parser.groups[1:]] + [[]]
    commands = tuple(
        SimpleCommand(vector, script_index, tuple(group.words), _obstacle(group, after))
        for group, after in zip(groups, operators_after, strict=False)
    )
    return Script(commands, parser.unsupported or _unsupported_word(commands))


def _obstacle(group: _WordGroup, operators_after: list[str]) -> str:
    """Return the first word that makes a command conditional or concurrent; "" for none."""
    before = [operator for operator in _OBSTACLES_BEFORE if operator in group.operators_before]
    after = [operator for operator in _OBSTACLES_AFTER if operator in operators_after]
    return next(filter(None, (group.compound, *before, *after)), "")


def _unsupported_word(commands: tuple[SimpleCommand, ...]) -> str:
    """Return an unsupported word that follows assignments, or the `[[` of an unclosed test; "" for none."""
    for command in commands:
        texts = command.texts[skip_assignments(command.texts) :]
        if texts and (texts[0] in _UNSUPPORTED_WORDS or (texts[0] == "[[" and texts[-1] != "]]")):
            return texts[0]
    return ""

"""Language checks of the project: `python -m tests.language` lists violations and exits with status 1 if there are any.

1. A docstring in `webhook/` and `certs/` does not start with a question word.
2. Texts for users do not contain the words that the glossary (deploy/concepts.md) replaces.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGES = ("webhook", "certs")
DOCUMENTS = ("README.md", "CHANGELOG.md", "deploy/*.md", "deploy/chart/values.yaml", "deploy/chart/templates/NOTES.txt")
MONITORING = ("deploy/chart/files/rules.yaml", "deploy/chart/files/dashboard.json")
QUESTION_WORD = re.compile(r"(What|Whatever|Whether|How|Why|Who|Whoever|Whom|Whose|Where|Which|That)\b")
# Words that users could not look up, and their replacement.
VOCABULARY = {
    r"(stands?|stood) (together|apart|on|at|there|still|beside|behind|twice)": "place, run on, set",
    r"draw[ns]? to": "prefer nodes with",
    r"the fewest": "the minimum number of",
    r"left alone": "unmodified, skipped",
    r"(hear[ds]?|heard) of": "contact, receive",
    r"(is|are|was|were|be) told": "receive, report",
    r"promise[ds]?": "reserve, reservation",
    r"ledger": "reservations",
    r"follower": "informer",
    r"vouch\w*": "cache, maximum age",
    r"turn(ed|s)? away": "reject",
    r"in force": "published, trusted by the API server",
    r"mend(s|ed|ing)?": "fix",
    r"to see to": "action required",
    r"spoken for": "reserved",
    r"(nobody|somebody|whoever|whosoever)": "the user, no client",
    r"take[ns]? in": "mutate",
    r"as it were": "(delete)",
}
_FORBIDDEN = {re.compile(rf"\b{words}\b", re.IGNORECASE): instead for words, instead in VOCABULARY.items()}


def docstrings(source: str) -> Iterator[ast.Constant]:
    """Yield the docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value


def question_docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the first line of each docstring that starts with a question word."""
    for node in docstrings(source):
        text = str(node.value).lstrip()
        if QUESTION_WORD.match(text):
            yield node.lineno, text.partition("\n")[0]


def forbidden_words(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, words and replacement for each use of a replaced word."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in _FORBIDDEN.items():
            for match in pattern.finditer(line):
                yield number, match[0], instead


def string_literals(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and value of each string literal that is not a docstring: help, errors, warnings and log lines."""
    documented = {(node.lineno, node.col_offset) for node in docstrings(source)}
    for node in ast.walk(ast.parse(source)):
        is_string = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_string and (node.lineno, node.col_offset) not in documented:
            yield node.lineno, str(node.value)


def docstring_violations() -> Iterator[str]:
    """Yield the docstrings of the packages that start with a question word."""
    for path in _sources():
        for line, docstring in question_docstrings(path.read_text()):
            yield f"{path.relative_to(ROOT)}:{line}: docstring starts with a question word: {docstring}"


def vocabulary_violations() -> Iterator[str]:
    """Yield the uses of replaced words in documents, monitoring files and string literals of the packages."""
    for path in (path for pattern in (*DOCUMENTS, *MONITORING) for path in sorted(ROOT.glob(pattern))):
        for line, words, instead in forbidden_words(path.read_text()):
            yield f"{path.relative_to(ROOT)}:{line}: {words!r}: use {instead}"
    for path in _sources():
        for first, literal in string_literals(path.read_text()):
            for line, words, instead in forbidden_words(literal):
                yield f"{path.relative_to(ROOT)}:{first + line - 1}: {words!r}: use {instead}"


def _sources() -> Iterator[Path]:
    yield from (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))


def main() -> None:
    """Print all violations and exit with status 1 if there are any."""
    violations = [*docstring_violations(), *vocabulary_violations()]
    sys.stdout.write("".join(f"{violation}\n" for violation in violations))
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()

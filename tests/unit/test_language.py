"""The language checks find what they are for, and the repository passes them."""

from __future__ import annotations

import pytest

from tests import language

SOURCE = '''
"""What the module does."""


class Cache:
    """Cache of policies."""

    def get(self) -> str:
        """Whether it is there.

        Which is a second line.
        """
        return "nobody answers"
'''


def test_docstring_that_starts_with_a_question_word_is_found() -> None:
    """Docstrings are checked by their first word only."""
    assert list(language.question_docstrings(SOURCE)) == [
        (2, "What the module does."),
        (9, "Whether it is there."),
    ]


def test_docstring_that_only_contains_a_question_word_passes() -> None:
    """`Return whether ...` and words such as `Whatsoever` are accepted."""
    source = 'def f():\n    """Return whether it is there."""\n\n\ndef g():\n    """Whichever."""\n'
    assert list(language.question_docstrings(source)) == []


def test_string_literals_are_checked_without_docstrings() -> None:
    """Errors and warnings are user-facing; docstrings are not."""
    assert list(language.string_literals(SOURCE)) == [(13, "nobody answers")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hosts are promised\nuntil it stands still", ["promised", "stands still"]),
        ("Nobody is told.", ["is told", "Nobody"]),
        ("put it in force", ["in force"]),
        ("The webhook amends and compromises nothing; it is listed there.", []),
        ("not-trusted-in-force", []),
    ],
)
def test_replaced_words_are_found(text: str, words: list[str]) -> None:
    """Whole words are found in any case; parts of other words and codes are not."""
    assert [found for _, found, _ in language.forbidden_words(text)] == words


def test_docstrings_of_the_packages() -> None:
    """No docstring in webhook/ or certs/ starts with a question word."""
    assert list(language.docstring_violations()) == []


def test_vocabulary_of_the_user_facing_texts() -> None:
    """Documents, chart, alerts, CLI help, errors and warnings use the words of the glossary."""
    assert list(language.vocabulary_violations()) == []

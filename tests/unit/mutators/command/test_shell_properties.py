"""Properties of rewritten shell texts, checked with bash."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.mutators.command.cases import base_names, decided, run_in_shell
from tests.unit.mutators.command.test_properties import OPTIONS
from webhook.mutators.decision import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _single_quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Shell text that starts one worker."""

    prefix: str
    quote: Callable[[str], str]
    gap: str
    suffix: str

    def render(self, form: Sequence[str], options: Sequence[str]) -> str:
        """Return the text with this command form and these options."""
        return self.prefix + self.gap.join([*form, *map(self.quote, options)]) + self.suffix


PREFIXES = ("", "exec ", "cd /ws && exec ", "source /x; A=b ", "trap 'echo; :' EXIT; ", "set -e\n", "# why\n  exec ")
TEXT = st.builds(
    Text,
    prefix=st.sampled_from(PREFIXES),
    quote=st.sampled_from([shlex.quote, _single_quoted]),
    gap=st.sampled_from([" ", "  ", " \\\n  ", "\t"]),
    suffix=st.sampled_from(["", "\n", "; echo done", " # end", " 2>&1", "  "]),
)


@settings(max_examples=300, deadline=None)
@given(
    text=TEXT,
    form=st.sampled_from([("dask-worker",), ("dask", "worker"), ("/opt/bin/dask-worker",)]),
    options=st.lists(OPTIONS, max_size=5).map(lambda parts: [*chain.from_iterable(parts)]),
)
def test_any_shell_text(text: Text, form: tuple[str, ...], options: list[str]) -> None:
    """A command in a shell text is converted as without a shell, and the rest of the text is unchanged."""
    annotations = {"dask-cuda-version": "26.10"}
    plain = decided({"args": [*form, *options]}, annotations)
    inside = decided({"args": ["sh", "-c", text.render(form, options)]}, annotations)
    assert inside.outcome is plain.outcome
    assert inside.warnings == plain.warnings
    if plain.outcome is Outcome.APPLIED:
        (first, *rest) = plain.operations[0].value
        assert inside.operations[0].value == ["sh", "-c", text.render([first], rest)]


PIECES = (
    *(
        "--name",
        "--name=w",
        "--no-nanny",
        "--nworkers",
        "4",
        "--lifetime",
        "1h",
        "tcp://s:1",
        "$N",
        '"$N"',
        "${N}",
        "--",
    ),
    *(
        "'a b'",
        '"a b"',
        "\\ ",
        "\\\n",
        "\t",
        "\n",
        ";",
        "&&",
        "#",
        "# c\n",
        "2>/dev/null",
        "2>&1",
        "{a,b}",
        "~",
        "'",
        '"',
    ),
    *(
        "\\",
        "$(hostname)",
        "`echo x`",
        "$",
        "(",
        ")",
        "|",
        "&",
        "<",
        ">",
        "=",
        "$'x'",
        "<<",
        "!",
        "é",
        "$DASK_SCHEDULER_ADDRESS",
    ),
)
BEGINS = (
    "dask-worker ",
    "exec dask worker ",
    "cd /x && dask-worker ",
    "A=b nice -n 5 dask-worker ",
    "./bin/dask-worker ",
)


@settings(max_examples=150, deadline=None)
@given(begin=st.sampled_from(BEGINS), pieces=st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(["", " "]))))
def test_bash_parses_the_result_alike(begin: str, pieces: list[tuple[str, str]]) -> None:
    """The words of a rewritten text, as parsed by bash, are the conversion of the original's words."""
    text = begin + "".join(chain.from_iterable(pieces))
    decision = decided({"args": ["bash", "-c", text]}, {})
    if decision.outcome is not Outcome.APPLIED or not (words := run_in_shell(text)):
        return
    plain = decided({"args": words}, {})
    if plain.outcome is Outcome.APPLIED:
        assert base_names(run_in_shell(decision.operations[0].value[2])) == base_names(plain.operations[0].value)
    else:
        # Only a shell knows the value of a variable, which the conversion does not change.
        assert "$" in text or "`" in text

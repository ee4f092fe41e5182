"""What a container runs: where in `command` and `args` a Dask worker is started, however it is spelled.

Both lists together are the argument vector behind the image's entrypoint (Kubernetes: `command` replaces the
entrypoint, `args` its arguments), so a spelling may begin in one and end in the other, behind any number of
wrappers, or stand inside the text of a `sh -c`. What is not recognised with certainty is not recognised:
`mentioned` then tells whether a worker seems to be meant.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from webhook.workloads.argv import shell
from webhook.workloads.argv.command_forms import (
    CommandForm,
    Form,
    Program,
    spelling,
)
from webhook.workloads.argv.shell import ShellLine
from webhook.workloads.argv.vector import (
    Edits,
    Lists,
    Spread,
    Vector,
    Word,
    lists,
    placed,
    words,
)
from webhook.workloads.argv.wrappers import program_at
from webhook.workloads.unstructured import Unstructured, sequence

__all__ = [
    "CommandForm",
    "Edits",
    "Form",
    "Program",
    "Spread",
    "Start",
    "Vector",
    "Word",
    "mentioned",
    "mentions_worker",
    "start",
    "starts_scheduler",
    "starts_worker",
    "uses_shell",
    "words",
]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a worker is started.

    Attributes:
        line: The words of the one command that does it, wrappers included.
        spelling: Which of them name the worker; its options are the words behind.
    """

    line: Vector | ShellLine
    spelling: CommandForm


_MENTION = re.compile(
    r"(?<![\w./-])(?:[\w./-]*/)?(?:dask-worker|dask\s+worker|-\w*m\s*(?:distributed\.cli\.dask_worker|dask\s+worker))"
    r"(?![\w./-])"
)
_SCHEDULER = re.compile(r"(?<![\w.-])dask[- ]scheduler(?![\w./-])|-m distributed\.cli\.dask_scheduler\b")
# Commands beside the worker's in a shell text whose words are only names of files, values or things to print.
_NAMES_ONLY = frozenset({"cd", "source", ".", "mkdir", "export", "echo", "printf", "test", "sleep", "ulimit", "umask"})


# Short commands are kept, since several rules ask about one, and clusters share theirs: at most 256 * 4 KiB of text.
_KEPT = 256
_LONGEST_KEPT = 1024  # characters, which are up to 4 bytes
_MOST_KEPT = 64  # words


def start(container: Unstructured) -> Start | None:
    """Where a container's words certainly start one Dask worker; None when they do not, or that cannot be told."""
    both = lists(container)
    if both is None:
        return None
    short = sum(map(len, both)) <= _MOST_KEPT and sum([len(text) for texts in both for text in texts]) <= _LONGEST_KEPT
    return _start_kept(both) if short else _start(both)


def _start(both: Lists) -> Start | None:
    line = Vector(placed(both))
    at = program_at(line.texts)
    if at is None:
        return None
    script = shell.script_at(line.texts, at)
    if script is not None:
        return _start_in_text(line, script)
    command, _ = both
    found = spelling(line.texts, at, behind_entrypoint=not command)
    return Start(line, found) if found else None


_start_kept = lru_cache(_KEPT)(_start)


def mentioned(vector: Sequence[Word]) -> bool:
    """Whether a Dask worker seems to be started somewhere that `start` cannot vouch for."""
    return bool(_MENTION.search(" ".join(word.text for word in vector)))


def uses_shell(vector: Sequence[Word]) -> bool:
    """Whether the vector hands a text to a shell."""
    texts = Vector(tuple(vector)).texts
    at = program_at(texts)
    return at is not None and shell.script_at(texts, at) is not None


def starts_worker(container: Unstructured) -> bool:
    """Whether a container's own words say that it is the Dask worker."""
    return start(container) is not None


def mentions_worker(container: Unstructured) -> bool:
    """Whether a container's words speak of a Dask worker that it may start."""
    return mentioned(words(container) or ())


def starts_scheduler(container: Unstructured) -> bool:
    """Whether a container's own words say that it is the Dask scheduler."""
    texts = chain(sequence(container, "command"), sequence(container, "args"))
    line = " ".join(text for text in texts if isinstance(text, str))
    behind_entrypoint = not sequence(container, "command") and line.split(" ", 1)[0] == "scheduler"
    return behind_entrypoint or bool(_SCHEDULER.search(line))


def _start_in_text(vector: Vector, at: int) -> Start | None:
    """The one command of a shell text that starts a worker, if no other part of the text has to do with one."""
    lines = shell.lines(vector, at)
    if lines is None:
        return None
    starts = [(line, _spelling_in(line)) for line in lines]
    workers = [Start(line, found) for line, found in starts if found]
    others = [line for line, found in starts if not found]
    if len(workers) != 1 or any(_concerns_worker(line) for line in others):
        return None
    return workers[0]


def _spelling_in(line: ShellLine) -> CommandForm | None:
    first = shell.behind_assignments(line.texts)
    at = program_at(line.texts, first)
    found = None if at is None else spelling(line.texts, at)
    return found if found and line.can_respell(range(found.first, found.first + found.length)) else None


def _concerns_worker(line: ShellLine) -> bool:
    return line.texts[0] not in _NAMES_ONLY and bool(_MENTION.search(" ".join(line.texts)))

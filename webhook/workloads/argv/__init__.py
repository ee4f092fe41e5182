"""Where a container's `command` and `args` start a Dask worker or scheduler, in whatever form.

Both lists together are the argument vector behind the image's entrypoint (Kubernetes: `command` replaces the
entrypoint, `args` its arguments). A command form may begin in one list and end in the other, behind any number of
wrappers, or stand inside the text of a `sh -c`. Only certain starts are returned; `mentioned` returns whether the
words name a worker without a certain start.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from webhook.workloads.argv import shell
from webhook.workloads.argv.command_forms import (
    MODULES,
    WORKERS,
    CommandForm,
    Form,
    Program,
    spelling,
)
from webhook.workloads.argv.script import script
from webhook.workloads.argv.shell import ShellLine
from webhook.workloads.argv.vector import (
    Edits,
    Lists,
    Spread,
    Vector,
    Word,
    base,
    lists,
    placed,
    shown,
    words,
)
from webhook.workloads.argv.wrappers import program_at, unknown_at
from webhook.workloads.unstructured import Unstructured

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
    "names_script",
    "scheduler_start",
    "shown",
    "start",
    "starts_scheduler",
    "starts_worker",
    "unread",
    "uses_shell",
    "words",
]


@dataclass(frozen=True, slots=True)
class Start:
    """Place where a worker or scheduler is started.

    Attributes:
        line: The words of the command that starts it, wrappers included.
        spelling: The words among them that name the program; its options are the words behind.
    """

    line: Vector | ShellLine
    spelling: CommandForm


@dataclass(frozen=True, slots=True)
class _Reading:
    """Programs of Dask that a container's words start.

    Attributes:
        programs: All programs that are certainly started.
        worker: The one start of a worker, if it can be rewritten; else the word that prevents it.
        scheduler: The same for the Dask scheduler.
    """

    programs: frozenset[Program]
    worker: Start | str
    scheduler: Start | str


_SCHEDULERS = frozenset({Program.SCHEDULER})
# What separates the words of a text that is not read exactly: blanks, operators, quotes and expansions.
_BETWEEN_WORDS = re.compile(r"[\s;&|(){}<>`$]+")
_QUOTING = re.compile(r"\\\n|[\\'\"]")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_SHORT_MODULE = re.compile(r"-[A-Za-z]*m(?=[a-z])")
_NAMED = {"dask-worker": WORKERS, "dask-scheduler": _SCHEDULERS} | {
    module: WORKERS if module.endswith("worker") else _SCHEDULERS for module in MODULES
}
_SUBCOMMANDS = {"worker": WORKERS, "scheduler": _SCHEDULERS}
# Commands beside the worker's in a shell text whose words are only names of files, values or things to print.
_NAMES_ONLY = frozenset({"cd", "source", ".", "mkdir", "export", "echo", "printf", "test", "sleep", "ulimit", "umask"})


# Short commands are cached, since several rules ask about one, and clusters share theirs: at most 256 * 4 KiB of text.
_CACHED = 256
_LONGEST_CACHED = 1024  # characters, which are up to 4 bytes
_MOST_CACHED = 64  # words


def start(container: Unstructured) -> Start | None:
    """Return the place where a container's words certainly start one Dask worker; None if there is none."""
    found = _reading(container)
    return found.worker if found and isinstance(found.worker, Start) else None


def scheduler_start(container: Unstructured) -> Start | None:
    """Return the place where a container's words certainly start one Dask scheduler; None if there is none."""
    found = _reading(container)
    return found.scheduler if found and isinstance(found.scheduler, Start) else None


def starts_worker(container: Unstructured) -> bool:
    """Return whether a container's words certainly start a Dask worker, be it in a text that is not rewritten."""
    found = _reading(container)
    return found is not None and not WORKERS.isdisjoint(found.programs)


def starts_scheduler(container: Unstructured) -> bool:
    """Return whether a container's words certainly start the Dask scheduler."""
    found = _reading(container)
    return found is not None and Program.SCHEDULER in found.programs


def unread(container: Unstructured, *, scheduler: bool = False) -> str:
    """Return the word of a container because of which `start`, or `scheduler_start`, returns None."""
    found = _reading(container)
    word = found and (found.scheduler if scheduler else found.worker)
    return word if isinstance(word, str) else ""


def mentioned(vector: Sequence[Word]) -> str:
    """Return the word of a vector that names a Dask worker which the words may start, "" for none."""
    # A bare `worker` goes to the image's entrypoint, which may be `dask` or any program of the user's.
    if vector and (vector[0].field, vector[0].text) == ("args", "worker"):
        return "worker"
    return _mention([word.text for word in vector], WORKERS)


def names_script(vector: Sequence[Word], script: str) -> bool:
    """Return whether a word, or a word inside a shell text, is the name or path of a script."""
    texts = [word.text for word in vector if script in word.text]
    return any(base(word) == script for word in _loose_words(texts) if not word.startswith("-"))


def uses_shell(vector: Sequence[Word]) -> bool:
    """Return whether the vector hands a text to a shell."""
    texts = Vector(tuple(vector)).texts
    at = program_at(texts)
    return at is not None and shell.script_at(texts, at) is not None


def _reading(container: Unstructured) -> _Reading | None:
    both = lists(container)
    if both is None:
        return None
    short = (
        sum(map(len, both)) <= _MOST_CACHED and sum([len(text) for texts in both for text in texts]) <= _LONGEST_CACHED
    )
    return _read_cached(both) if short else _read(both)


def _read(both: Lists) -> _Reading:
    line = Vector(placed(both))
    texts = line.texts
    at = program_at(texts)
    if at is None:
        stopped = unknown_at(texts)
        word = texts[stopped] if stopped is not None and texts else ""
        return _Reading(frozenset(), word, word)
    text = shell.script_at(texts, at)
    if text is not None:
        return _read_text(line, text)
    command, _ = both
    found = spelling(texts, at, behind_entrypoint=not command)
    if found is None:
        return _Reading(frozenset(), texts[at], texts[at])
    whole = Start(line, found)
    is_worker = found.program in WORKERS
    return _Reading(frozenset({found.program}), whole if is_worker else texts[at], texts[at] if is_worker else whole)


_read_cached = lru_cache(_CACHED)(_read)


def _read_text(vector: Vector, at: int) -> _Reading:
    """Read the text that a vector hands to a shell."""
    parsed = script(vector, at)
    starts = [(line, _spelling_in(line)) for line in parsed.lines]
    programs = frozenset(found.program for _, found in starts if found)
    return _Reading(programs, *(_sole(starts, parsed.unread, some) for some in (WORKERS, _SCHEDULERS)))


def _sole(
    starts: list[tuple[ShellLine, CommandForm | None]], not_read: str, programs: frozenset[Program]
) -> Start | str:
    """Return the one start of these programs, if no other part of the text concerns them; else the word in the way."""
    own = [Start(line, found) for line, found in starts if found and found.program in programs]
    words = [line.texts[found.first] for line, found in starts if found and found.program in programs]
    others = [line for line, found in starts if not (found and found.program in programs)]
    if not_read or len(own) != 1:
        return not_read or next(iter(words[1:]), _mention([text for line in others for text in line.texts], programs))
    obstacle = own[0].line.obstacle if isinstance(own[0].line, ShellLine) else ""
    return obstacle or next(filter(None, (_concern(line, programs) for line in others)), own[0])


def _spelling_in(line: ShellLine) -> CommandForm | None:
    first = shell.behind_assignments(line.texts)
    at = program_at(line.texts, first)
    found = None if at is None else spelling(line.texts, at)
    return found if found and line.can_respell(range(found.first, found.first + found.length)) else None


def _concern(line: ShellLine, programs: frozenset[Program]) -> str:
    """Return the word of a line that names one of these programs, "" for none."""
    return "" if line.texts[0] in _NAMES_ONLY else _mention(line.texts, programs)


def _mention(texts: Iterable[str], programs: frozenset[Program]) -> str:
    """Return the first word that names one of these programs where it may be started, "" for none.

    Options do not count: `--path=/var/log/dask-worker`.
    """
    previous = ""
    for word in _loose_words(texts):
        if not word.startswith("-") or _SHORT_MODULE.match(word):
            name = base(_ASSIGNED.sub("", _SHORT_MODULE.sub("", word)))
            named = _NAMED.get(name) or (_SUBCOMMANDS.get(name) if previous == "dask" else None)
            if named == programs:
                return word
            previous = name
    return ""


def _loose_words(texts: Iterable[str]) -> Iterator[str]:
    """Yield the words of texts whose quotes and line continuations are taken off, whatever is between them."""
    for text in texts:
        yield from filter(None, _BETWEEN_WORDS.split(_QUOTING.sub("", text)))

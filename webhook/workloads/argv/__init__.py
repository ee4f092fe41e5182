"""Detection of the Dask worker or scheduler that a container's `command` and `args` start.

Kubernetes concatenates both lists: `command` replaces the image's entrypoint, `args` its arguments. A command form may
span both lists, follow any number of wrappers, or be part of the text of a `sh -c`. `find_worker` and `find_scheduler`
return only commands that are certain to run; `mentioned_worker` also detects possible ones.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from webhook.workloads.argv import shell
from webhook.workloads.argv.command_forms import MODULES, WORKERS, CommandForm, Form, Program, match_form
from webhook.workloads.argv.script import script
from webhook.workloads.argv.shell import SimpleCommand
from webhook.workloads.argv.vector import (
    Argument,
    ArgumentLists,
    ArgumentVector,
    Edits,
    Expansion,
    argument_lists,
    arguments,
    base_name,
    quoted,
    to_arguments,
)
from webhook.workloads.argv.wrappers import program_index, unknown_index
from webhook.workloads.unstructured import Unstructured

__all__ = [
    "Argument",
    "ArgumentVector",
    "CommandForm",
    "DaskCommand",
    "Edits",
    "Expansion",
    "Form",
    "Program",
    "arguments",
    "find_scheduler",
    "find_worker",
    "mentioned_worker",
    "mentions_script",
    "quoted",
    "starts_scheduler",
    "starts_worker",
    "unrecognized",
    "uses_shell",
]


@dataclass(frozen=True, slots=True)
class DaskCommand:
    """Command that starts a Dask worker or scheduler.

    Attributes:
        arguments: The whole command, wrappers included.
        command_form: The arguments that name the program; the arguments after them are its options.
    """

    arguments: ArgumentVector | SimpleCommand
    command_form: CommandForm


@dataclass(frozen=True, slots=True)
class _Detection:
    """Dask programs that a container starts.

    Attributes:
        programs: All programs that are certain to run.
        worker: The only command of a worker, if it can be rewritten; else the argument that prevents it.
        scheduler: The same for the Dask scheduler.
    """

    programs: frozenset[Program]
    worker: DaskCommand | str
    scheduler: DaskCommand | str


_SCHEDULERS = frozenset({Program.SCHEDULER})
# Separators in shell syntax that is not parsed: blanks, operators and expansions.
_SEPARATORS = re.compile(r"[\s;&|(){}<>`$]+")
_QUOTING = re.compile(r"\\\n|[\\'\"]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SHORT_MODULE = re.compile(r"-[A-Za-z]*m(?=[a-z])")
_PROGRAMS_BY_NAME = {"dask-worker": WORKERS, "dask-scheduler": _SCHEDULERS} | {
    module: WORKERS if module.endswith("worker") else _SCHEDULERS for module in MODULES
}
_PROGRAMS_BY_SUBCOMMAND = {"worker": WORKERS, "scheduler": _SCHEDULERS}
# Commands whose arguments are only files, values or text to print: a Dask program's name there starts nothing.
_NEVER_START = frozenset({"cd", "source", ".", "mkdir", "export", "echo", "printf", "test", "sleep", "ulimit", "umask"})

# Several mutators detect the same command, and clusters share commands. The cache holds at most 256 * 4 KiB of text.
_CACHE_SIZE = 256
_MAX_CACHED_CHARACTERS = 1024  # up to 4 bytes each
_MAX_CACHED_ARGUMENTS = 64


def find_worker(container: Unstructured) -> DaskCommand | None:
    """Return the command of the one Dask worker that a container is certain to start; None if there is none."""
    detection = _detect(container)
    return detection.worker if detection and isinstance(detection.worker, DaskCommand) else None


def find_scheduler(container: Unstructured) -> DaskCommand | None:
    """Return the command of the one Dask scheduler that a container is certain to start; None if there is none."""
    detection = _detect(container)
    return detection.scheduler if detection and isinstance(detection.scheduler, DaskCommand) else None


def starts_worker(container: Unstructured) -> bool:
    """Return whether a container is certain to start a Dask worker, even if its command cannot be rewritten."""
    detection = _detect(container)
    return detection is not None and not WORKERS.isdisjoint(detection.programs)


def starts_scheduler(container: Unstructured) -> bool:
    """Return whether a container is certain to start a Dask scheduler, even if its command cannot be rewritten."""
    detection = _detect(container)
    return detection is not None and Program.SCHEDULER in detection.programs


def unrecognized(container: Unstructured, *, scheduler: bool = False) -> str:
    """Return the argument that prevents `find_worker`, or `find_scheduler`, from returning a command; "" for none."""
    detection = _detect(container)
    result = detection and (detection.scheduler if scheduler else detection.worker)
    return result if isinstance(result, str) else ""


def mentioned_worker(vector: Sequence[Argument]) -> str:
    """Return the argument that names a Dask worker which the command may start; "" for none."""
    # A bare `worker` goes to the image's entrypoint, which may be `dask` or another program.
    if vector and (vector[0].field, vector[0].text) == ("args", "worker"):
        return "worker"
    return _mention([argument.text for argument in vector], WORKERS)


def mentions_script(vector: Sequence[Argument], script: str) -> bool:
    """Return whether an argument, or a word inside a shell text, is the name or path of a script."""
    texts = [argument.text for argument in vector if script in argument.text]
    return any(base_name(word) == script for word in _loose_words(texts) if not word.startswith("-"))


def uses_shell(vector: Sequence[Argument]) -> bool:
    """Return whether the command runs a shell text, such as that of `sh -c`."""
    texts = ArgumentVector(tuple(vector)).texts
    program = program_index(texts)
    return program is not None and shell.script_index(texts, program) is not None


def _detect(container: Unstructured) -> _Detection | None:
    lists = argument_lists(container)
    if lists is None:
        return None
    texts = (*lists[0], *lists[1])
    cacheable = len(texts) <= _MAX_CACHED_ARGUMENTS and sum(map(len, texts)) <= _MAX_CACHED_CHARACTERS
    return _detect_in_lists(lists) if cacheable else _detect_in_lists.__wrapped__(lists)


@lru_cache(_CACHE_SIZE)
def _detect_in_lists(lists: ArgumentLists) -> _Detection:
    vector = ArgumentVector(to_arguments(lists))
    texts = vector.texts
    program = program_index(texts)
    if program is None:
        unknown = unknown_index(texts)
        obstacle = texts[unknown] if unknown is not None and texts else ""
        return _Detection(frozenset(), obstacle, obstacle)
    script_index = shell.script_index(texts, program)
    if script_index is not None:
        return _detect_in_script(vector, script_index)
    command, _ = lists
    form = match_form(texts, program, after_entrypoint=not command)
    obstacle = texts[program]
    if form is None:
        return _Detection(frozenset(), obstacle, obstacle)
    dask_command, programs = DaskCommand(vector, form), frozenset({form.program})
    if form.program in WORKERS:
        return _Detection(programs, dask_command, obstacle)
    return _Detection(programs, obstacle, dask_command)


def _detect_in_script(vector: ArgumentVector, script_index: int) -> _Detection:
    parsed = script(vector, script_index)
    matches = [(command, _form_in_script(command)) for command in parsed.commands]
    programs = frozenset(form.program for _, form in matches if form)
    worker, scheduler = (_only_command(matches, parsed.unsupported, some) for some in (WORKERS, _SCHEDULERS))
    return _Detection(programs, worker, scheduler)


def _only_command(
    matches: list[tuple[SimpleCommand, CommandForm | None]], unsupported: str, programs: frozenset[Program]
) -> DaskCommand | str:
    """Return the only command that starts one of these programs; else the word that makes the script uncertain."""
    starts = [(command, form) for command, form in matches if form and form.program in programs]
    others = [command for command, form in matches if not (form and form.program in programs)]
    if unsupported:
        return unsupported
    if not starts:
        return _mention([text for command in others for text in command.texts], programs)
    command, form = starts[0]
    if len(starts) > 1:
        command, form = starts[1]
        return command.texts[form.first]
    obstacles = (command.obstacle, *(_mention_in_command(other, programs) for other in others))
    return next(filter(None, obstacles), DaskCommand(command, form))


def _form_in_script(command: SimpleCommand) -> CommandForm | None:
    program = program_index(command.texts, shell.skip_assignments(command.texts))
    form = None if program is None else match_form(command.texts, program)
    return form if form and command.can_replace(range(form.first, form.first + form.length)) else None


def _mention_in_command(command: SimpleCommand, programs: frozenset[Program]) -> str:
    return "" if command.texts[0] in _NEVER_START else _mention(command.texts, programs)


def _mention(texts: Iterable[str], programs: frozenset[Program]) -> str:
    """Return the first word that names one of these programs where it may be started; "" for none.

    Options do not count: `--path=/var/log/dask-worker`.
    """
    previous = ""
    for word in _loose_words(texts):
        if not word.startswith("-") or _SHORT_MODULE.match(word):
            name = base_name(_ASSIGNMENT.sub("", _SHORT_MODULE.sub("", word)))
            named = _PROGRAMS_BY_NAME.get(name) or (_PROGRAMS_BY_SUBCOMMAND.get(name) if previous == "dask" else None)
            if named == programs:
                return word
            previous = name
    return ""


def _loose_words(texts: Iterable[str]) -> Iterator[str]:
    """Yield the words of texts without parsing shell syntax: quotes and line continuations are removed."""
    for text in texts:
        yield from filter(None, _SEPARATORS.split(_QUOTING.sub("", text)))

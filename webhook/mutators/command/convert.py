"""Conversion of the words of a `dask worker`: its command form and each of its options.

The interpreter of a `python -m` stays, with its options and its environment: only the module behind `-m` changes. A
script that happens to lie on PATH, or beside the interpreter, may belong to another environment.
`python -m dask cuda worker` works from dask-cuda 23.02 on, `python -m dask_cuda.cli.dask_cuda_worker` before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.mutators.command.arguments import Given, read, whole
from webhook.mutators.command.image import Image
from webhook.mutators.command.needed import NeededOptionError, unmet
from webhook.mutators.command.options import (
    Option,
    Version,
    in_version,
    spelled,
)
from webhook.policy import PREFIX, WorkerCommand
from webhook.workloads.argv import (
    CommandForm,
    DaskCommand,
    Edits,
    Form,
)

_VERSION_KEY = f"{PREFIX}dask-cuda-version"


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a line changes.

    Attributes:
        edits: To its words, never empty.
        spelling: The new spelling, for people.
        warnings: What the user loses, one line for each option.
    """

    edits: Edits
    spelling: str
    warnings: tuple[str, ...]


def convert(start: DaskCommand, wanted: WorkerCommand, image: Image) -> Conversion | None:
    """Return the conversion of a line to dask-cuda's worker; None if it only asks for the version or for help.

    Raises:
        UnreadableError: The words are no command line of `dask worker`.
        NeededOptionError: dask-cuda does not take an option that the worker needs.
    """
    given = read(start)
    if given is None:
        return None
    if needs := tuple(unmet(given, image)):
        raise NeededOptionError(needs)
    respelt = _respelt(start.command_form, wanted, image)
    dropped = dict(_dropped(given, image))
    emptied = {place: () for option in given if option.option.names in dropped for place in option.places}
    lost = tuple(line for line in dropped.values() if line)
    spelling = " ".join(word for words in respelt.values() for word in words)
    return Conversion({**respelt, **emptied}, spelling, (*_fallback(start.command_form, wanted, image), *lost))


def _fallback(spelling: CommandForm, wanted: WorkerCommand, image: Image) -> tuple[str, ...]:
    chosen = wanted is WorkerCommand.SUBCOMMAND and spelling.form in {Form.SCRIPT, Form.SUBCOMMAND}
    if not chosen or image.has_subcommand or image.version is None:
        return ()
    return (f"dask-cuda {spelled(image.version)} has no 'dask cuda worker', so dask-cuda-worker is used",)


def _respelt(spelling: CommandForm, wanted: WorkerCommand, image: Image) -> dict[int, tuple[str, ...]]:
    first, last = spelling.first, spelling.first + spelling.length - 1
    subcommand = wanted is WorkerCommand.SUBCOMMAND and image.has_subcommand
    old_module = ("dask_cuda.cli.dask_cuda_worker",)
    match spelling.form:
        case Form.SCRIPT:
            return {first: ("dask", "cuda", "worker") if subcommand else ("dask-cuda-worker",)}
        case Form.SUBCOMMAND:
            return {last: ("cuda", "worker")} if subcommand else {first: ("dask-cuda-worker",), last: ()}
        case Form.MODULE:
            return {first: ("dask", "cuda", "worker") if image.has_subcommand else old_module}
        case Form.MODULE_SUBCOMMAND:
            return {last: ("cuda", "worker")} if image.has_subcommand else {first: old_module, last: ()}


def _dropped(given: Sequence[Given], image: Image) -> Iterator[tuple[tuple[str, ...], str]]:
    """The rows that go, by their names, each with its warning; an empty one where nothing is lost."""
    # Of an option given twice the last one counts, to click and so to us.
    last = {option.option.names: option for option in given}
    for names, option in last.items():
        line = _without(option, image)
        if line is not None:
            yield names, line


def _without(given: Given, image: Image) -> str | None:
    """Why an option goes, as a warning; empty where nothing is lost, None where it stays."""
    option = given.option
    if option.since is None:
        return "" if given.effect in option.harmless else f"{given.name} dropped: {option.lost}"
    if not in_version(option, image.version):
        return f"{given.name} dropped: {_needs(option, image.version)}"
    number = whole(given.effect)
    if given.name == "--nthreads" and number is not None and number < 1:
        return f"--nthreads {number} dropped: dask-cuda takes 1 or more, and runs 1 thread for each GPU by default"
    return None


def _needs(option: Option, version: Version | None) -> str:
    since = "" if option.since is None else f"from {spelled(option.since)} on"
    versions = since if option.until is None else f"before {spelled(option.until)}"
    if version is None:
        return f"dask-cuda has it {versions}; set {_VERSION_KEY} to keep it"
    return f"dask-cuda {spelled(version)} does not take it, only {versions}"

"""Conversion of a `dask worker` command: the command form and each option.

`python -m` stays, with the interpreter, its options and its environment: only the module changes. A script on PATH may
belong to another environment. `python -m dask cuda worker` works since dask-cuda 23.02, before that
`python -m dask_cuda.cli.dask_cuda_worker` works.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.mutators.command.arguments import ParsedOption, parse, whole
from webhook.mutators.command.image import Image
from webhook.mutators.command.needed import NeededOptionError, unmet_needs
from webhook.mutators.command.options import (
    Option,
    Version,
    format_version,
    in_version,
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
    """Conversion of a command.

    Attributes:
        edits: Changes to the words of the command; not empty.
        command: The new command form, for people.
        warnings: One line for each option that is removed and had an effect.
    """

    edits: Edits
    command: str
    warnings: tuple[str, ...]


def convert(start: DaskCommand, wanted: WorkerCommand, image: Image) -> Conversion | None:
    """Return the conversion to dask-cuda's worker; None if the command only prints help or a version.

    Raises:
        UnreadableError: The words are not a valid command line of `dask worker`.
        NeededOptionError: dask-cuda does not accept an option that the worker needs.
    """
    options = parse(start)
    if options is None:
        return None
    if needs := tuple(unmet_needs(options, image)):
        raise NeededOptionError(needs)
    form_edits = _form_edits(start.command_form, wanted, image)
    removed = dict(_removed(options, image))
    option_edits = {index: () for option in options if option.option.names in removed for index in option.indices}
    command = " ".join(word for words in form_edits.values() for word in words)
    warnings = (*_form_warning(start.command_form, wanted, image), *(line for line in removed.values() if line))
    return Conversion({**form_edits, **option_edits}, command, warnings)


def _form_warning(form: CommandForm, wanted: WorkerCommand, image: Image) -> tuple[str, ...]:
    chosen = wanted is WorkerCommand.SUBCOMMAND and form.form in {Form.SCRIPT, Form.SUBCOMMAND}
    if not chosen or image.has_subcommand or image.version is None:
        return ()
    return (f"dask-cuda {format_version(image.version)} has no 'dask cuda worker', so dask-cuda-worker is used",)


def _form_edits(form: CommandForm, wanted: WorkerCommand, image: Image) -> dict[int, tuple[str, ...]]:
    first, last = form.first, form.first + form.length - 1
    subcommand = wanted is WorkerCommand.SUBCOMMAND and image.has_subcommand
    old_module = ("dask_cuda.cli.dask_cuda_worker",)
    match form.form:
        case Form.SCRIPT:
            return {first: ("dask", "cuda", "worker") if subcommand else ("dask-cuda-worker",)}
        case Form.SUBCOMMAND:
            return {last: ("cuda", "worker")} if subcommand else {first: ("dask-cuda-worker",), last: ()}
        case Form.MODULE:
            return {first: ("dask", "cuda", "worker") if image.has_subcommand else old_module}
        case Form.MODULE_SUBCOMMAND:
            return {last: ("cuda", "worker")} if image.has_subcommand else {first: old_module, last: ()}


def _removed(options: Sequence[ParsedOption], image: Image) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the names and the warning of each option to remove; an empty warning if the option has no effect."""
    last = {option.option.names: option for option in options}  # click uses the last of repeated options
    for names, option in last.items():
        warning = _removal_warning(option, image)
        if warning is not None:
            yield names, warning


def _removal_warning(option: ParsedOption, image: Image) -> str | None:
    """Return the warning of an option to remove, empty if the option has no effect; None if the option is kept."""
    row = option.option
    if row.since is None:
        return "" if option.setting in row.harmless else f"{option.name} removed: {row.lost}"
    if not in_version(row, image.version):
        return f"{option.name} removed: {_version_limit(row, image.version)}"
    number = whole(option.setting)
    if option.name == "--nthreads" and number is not None and number < 1:
        return f"--nthreads {number} removed: dask-cuda requires 1 or more; its default is 1 thread per GPU"
    return None


def _version_limit(row: Option, version: Version | None) -> str:
    since = "" if row.since is None else format_version(row.since)
    versions = since if row.until is None else f"before {format_version(row.until)}"
    if version is None:
        return f"needs dask-cuda {versions}; set {_VERSION_KEY}"
    return f"needs dask-cuda {versions}, but the image has {format_version(version)}"

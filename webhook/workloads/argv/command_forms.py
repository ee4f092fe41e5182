"""Forms in which the commands of Dask workers and schedulers are written.

A command form begins after the wrappers that `wrappers` lists.

Sources: the entry points of distributed 2022.3 - 2026.8 and dask-cuda 0.19 - 26.10; `python --help` of 3.11.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from webhook.workloads.argv.vector import base_name


class Program(StrEnum):
    """Program that a command starts."""

    DASK = "dask"  # distributed's worker
    DASK_CUDA = "dask-cuda"  # dask-cuda's worker
    SCHEDULER = "scheduler"  # distributed's scheduler


WORKERS = frozenset({Program.DASK, Program.DASK_CUDA})
"""Programs that are Dask workers."""


class Form(StrEnum):
    """Way in which a command names its program."""

    SCRIPT = "script"  # dask-worker
    SUBCOMMAND = "subcommand"  # dask worker
    MODULE = "module"  # python -m distributed.cli.dask_worker
    MODULE_SUBCOMMAND = "module-subcommand"  # python -m dask worker


@dataclass(frozen=True, slots=True)
class CommandForm:
    """Arguments that name a program, without a Python interpreter and its own options.

    Attributes:
        program: The program.
        form: The way in which the command names it.
        first: Index of the first argument that names it.
        length: Number of arguments that name it.
    """

    program: Program
    form: Form
    first: int
    length: int


_PYTHON = re.compile(r"python[\d.]*")
_PYTHON_FLAGS = re.compile(r"-[bBdEiIOPqRsSuvx]+")
_PYTHON_VALUED = re.compile(r"-[bBdEiIOPqRsSuvx]*[WX]")
_PYTHON_MODULE = re.compile(r"-[bBdEiIOPqRsSuvx]*m")

_PROGRAMS: tuple[tuple[Program, Form, tuple[str, ...]], ...] = (
    (Program.DASK, Form.SCRIPT, ("dask-worker",)),
    (Program.DASK, Form.SUBCOMMAND, ("dask", "worker")),
    (Program.DASK_CUDA, Form.SCRIPT, ("dask-cuda-worker",)),
    (Program.DASK_CUDA, Form.SUBCOMMAND, ("dask", "cuda", "worker")),
    (Program.SCHEDULER, Form.SCRIPT, ("dask-scheduler",)),
    (Program.SCHEDULER, Form.SUBCOMMAND, ("dask", "scheduler")),
)
# Only `dask` takes `cuda worker`. Other entrypoints may take a bare `worker` or `scheduler`.
_AFTER_ENTRYPOINT: tuple[tuple[Program, Form, tuple[str, ...]], ...] = (
    (Program.DASK_CUDA, Form.SUBCOMMAND, ("cuda", "worker")),
)
_MODULES: tuple[tuple[Program, Form, tuple[str, ...]], ...] = (
    (Program.DASK, Form.MODULE, ("distributed.cli.dask_worker",)),
    (Program.DASK, Form.MODULE_SUBCOMMAND, ("dask", "worker")),
    (Program.DASK_CUDA, Form.MODULE_SUBCOMMAND, ("dask", "cuda", "worker")),
    (Program.DASK_CUDA, Form.MODULE, ("dask_cuda.cli.dask_cuda_worker",)),  # 0.19 - 22.12
    (Program.DASK_CUDA, Form.MODULE, ("dask_cuda.cli",)),  # 23.06 and newer
    (Program.SCHEDULER, Form.MODULE, ("distributed.cli.dask_scheduler",)),
    (Program.SCHEDULER, Form.MODULE_SUBCOMMAND, ("dask", "scheduler")),
)
MODULES = frozenset({"distributed.cli.dask_worker", "distributed.cli.dask_scheduler"})
"""Modules that start the worker and scheduler of distributed."""
# Options of wrappers that run a module: `uv run -m dask worker`.
_MODULE_OPTIONS = frozenset({"-m", "--module"})
# `dask spec` starts the class that its specification names: {"cls": "dask_cuda.CUDAWorker", ...}
_SPECS = (("dask-spec",), ("dask", "spec"), ("distributed.cli.dask_spec",))


def match_form(texts: Sequence[str], index: int, *, after_entrypoint: bool = False) -> CommandForm | None:
    """Return the command form of the program at `index`; None if it is not a program of Dask.

    Args:
        texts: The command, wrappers included.
        index: Index of the program after all wrappers.
        after_entrypoint: True if the image's entrypoint, which may be `dask`, receives the arguments.
    """
    if after_entrypoint and index == 0 and (form := _match(_AFTER_ENTRYPOINT, texts, index)):
        return form
    if texts[index].startswith("-"):  # an option of the wrapper before it, or of the image's entrypoint
        return _match(_MODULES, texts, index + 1) if index > 0 and texts[index] in _MODULE_OPTIONS else None
    if _PYTHON.fullmatch(base_name(texts[index])):
        return _match_python(texts, index + 1)
    return _match_path(texts, index)


def _match_python(texts: Sequence[str], index: int) -> CommandForm | None:
    """Return the form of the module, or of the script given by its path, that a Python interpreter runs."""
    while index < len(texts):
        text = texts[index]
        if _PYTHON_MODULE.fullmatch(text):
            return _match(_MODULES, texts, index + 1)
        if not text.startswith("-"):
            return _match_path(texts, index) if "/" in text else None
        if _PYTHON_VALUED.fullmatch(text):
            index += 2
        elif _PYTHON_FLAGS.fullmatch(text) or _PYTHON_VALUED.match(text):
            index += 1
        else:
            return None
    return None


def _match_path(texts: Sequence[str], index: int) -> CommandForm | None:
    return _match(_PROGRAMS, (*texts[:index], base_name(texts[index]), *texts[index + 1 :]), index)


def _match(
    rows: Sequence[tuple[Program, Form, tuple[str, ...]]], texts: Sequence[str], index: int
) -> CommandForm | None:
    for program, form, expected in rows:
        if tuple(texts[index : index + len(expected)]) == expected:
            return CommandForm(program, form, index, len(expected))
    return _match_spec(texts, index)


def _match_spec(texts: Sequence[str], index: int) -> CommandForm | None:
    for expected in _SPECS:
        options = texts[index + len(expected) :]
        if tuple(texts[index : index + len(expected)]) == expected and any("dask_cuda" in text for text in options):
            return CommandForm(Program.DASK_CUDA, Form.SCRIPT, index, len(expected))
    return None

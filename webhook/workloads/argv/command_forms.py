"""Command forms of Dask's workers and scheduler, behind their wrappers.

Sources: the entry points of distributed 2022.3 - 2026.8 and dask-cuda 0.19 - 26.10; `python --help` of 3.11.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from webhook.workloads.argv.vector import base


class Program(StrEnum):
    """Program that a command starts."""

    DASK = "dask"  # distributed's worker
    DASK_CUDA = "dask-cuda"  # dask-cuda's worker
    SCHEDULER = "scheduler"  # distributed's scheduler


WORKERS = frozenset({Program.DASK, Program.DASK_CUDA})
"""The programs that are Dask workers."""


class Form(StrEnum):
    """Form of a command."""

    SCRIPT = "script"  # dask-worker
    SUBCOMMAND = "subcommand"  # dask worker
    MODULE = "module"  # python -m distributed.cli.dask_worker
    MODULE_SUBCOMMAND = "module-subcommand"  # python -m dask worker


@dataclass(frozen=True, slots=True)
class CommandForm:
    """The words that name a program; the interpreter and its own options are not among them.

    Attributes:
        program: The program.
        form: The form of the command.
        first: Place of the first word in its line.
        length: Number of words.
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
# `cuda worker` is an argument of `dask` alone. A bare `worker` or `scheduler` may go to any entrypoint.
_BEHIND_ENTRYPOINT: tuple[tuple[Program, Form, tuple[str, ...]], ...] = (
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
"""The modules that start distributed's own worker and scheduler."""
# How a launcher of its own is asked for a module: `uv run -m dask worker`.
_LAUNCHERS_MODULE = frozenset({"-m", "--module"})
# `dask spec` starts what a specification names: {"cls": "dask_cuda.CUDAWorker", ...}
_SPEC = (("dask-spec",), ("dask", "spec"), ("distributed.cli.dask_spec",))


def spelling(texts: Sequence[str], at: int, *, behind_entrypoint: bool = False) -> CommandForm | None:
    """Return the command form that begins at the program at `at`, or None for another program.

    Args:
        texts: The line.
        at: Place of its program, behind all wrappers.
        behind_entrypoint: True if the line goes to an image's own entrypoint, which may be `dask`.
    """
    if behind_entrypoint and at == 0 and (found := _match(_BEHIND_ENTRYPOINT, texts, at)):
        return found
    if texts[at].startswith("-"):  # an option: of a launcher before it, or of an image's entrypoint
        return _match(_MODULES, texts, at + 1) if at > 0 and texts[at] in _LAUNCHERS_MODULE else None
    if _PYTHON.fullmatch(base(texts[at])):
        return _python(texts, at + 1)
    return _match(_PROGRAMS, (*texts[:at], base(texts[at]), *texts[at + 1 :]), at)


def _python(texts: Sequence[str], at: int) -> CommandForm | None:
    """Return the form of what an interpreter runs, from its options on: a module, or a script by its path."""
    while at < len(texts):
        text = texts[at]
        if _PYTHON_MODULE.fullmatch(text):
            return _match(_MODULES, texts, at + 1)
        if not text.startswith("-"):
            return _match(_PROGRAMS, (*texts[:at], base(text), *texts[at + 1 :]), at) if "/" in text else None
        if _PYTHON_VALUED.fullmatch(text):
            at += 2
        elif _PYTHON_FLAGS.fullmatch(text) or _PYTHON_VALUED.match(text):
            at += 1
        else:
            return None
    return None


def _match(rows: Sequence[tuple[Program, Form, tuple[str, ...]]], texts: Sequence[str], at: int) -> CommandForm | None:
    for program, form, expected in rows:
        if tuple(texts[at : at + len(expected)]) == expected:
            return CommandForm(program, form, at, len(expected))
    return _spec(texts, at)


def _spec(texts: Sequence[str], at: int) -> CommandForm | None:
    for expected in _SPEC:
        options = texts[at + len(expected) :]
        if tuple(texts[at : at + len(expected)]) == expected and any("dask_cuda" in text for text in options):
            return CommandForm(Program.DASK_CUDA, Form.SCRIPT, at, len(expected))
    return None

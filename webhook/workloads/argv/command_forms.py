"""How a Dask worker is spelled, once its wrappers are off.

Sources: the entry points of distributed 2022.3 - 2026.8 and dask-cuda 0.19 - 26.10; `python --help` of 3.11.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from webhook.workloads.argv.vector import base


class Program(StrEnum):
    """Which worker is started."""

    DASK = "dask"
    DASK_CUDA = "dask-cuda"


class Form(StrEnum):
    """How it is called."""

    SCRIPT = "script"  # dask-worker
    SUBCOMMAND = "subcommand"  # dask worker
    BEHIND_ENTRYPOINT = "behind-entrypoint"  # worker, where the image's entrypoint is dask
    MODULE = "module"  # python -m distributed.cli.dask_worker
    MODULE_SUBCOMMAND = "module-subcommand"  # python -m dask worker


@dataclass(frozen=True, slots=True)
class CommandForm:
    """The words that name a worker; the interpreter and its own options are not among them.

    Attributes:
        program: Which worker.
        form: How it is called.
        first: Place of the first word in its line.
        length: How many words.
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
)
_BEHIND_ENTRYPOINT: tuple[tuple[Program, Form, tuple[str, ...]], ...] = (
    (Program.DASK, Form.BEHIND_ENTRYPOINT, ("worker",)),
    (Program.DASK_CUDA, Form.BEHIND_ENTRYPOINT, ("cuda", "worker")),
)
_MODULES: tuple[tuple[Program, Form, tuple[str, ...]], ...] = (
    (Program.DASK, Form.MODULE, ("distributed.cli.dask_worker",)),
    (Program.DASK, Form.MODULE_SUBCOMMAND, ("dask", "worker")),
    (Program.DASK_CUDA, Form.MODULE_SUBCOMMAND, ("dask", "cuda", "worker")),
    (Program.DASK_CUDA, Form.MODULE, ("dask_cuda.cli.dask_cuda_worker",)),  # 0.19 - 22.12
    (Program.DASK_CUDA, Form.MODULE, ("dask_cuda.cli",)),  # 23.06 and newer
)
# `dask spec` starts what a specification names: {"cls": "dask_cuda.CUDAWorker", ...}
_SPEC = (("dask-spec",), ("dask", "spec"), ("distributed.cli.dask_spec",))


def spelling(texts: Sequence[str], at: int, *, behind_entrypoint: bool = False) -> CommandForm | None:
    """The spelling that begins at the program at `at`, or None when it is another program.

    Args:
        texts: The line.
        at: Where its program stands, wrappers taken off.
        behind_entrypoint: Whether the line goes to an image's own entrypoint, which may be `dask`.
    """
    if behind_entrypoint and at == 0 and (found := _match(_BEHIND_ENTRYPOINT, texts, at)):
        return found
    if _PYTHON.fullmatch(base(texts[at])):
        return _python(texts, at + 1)
    return _match(_PROGRAMS, (*texts[:at], base(texts[at]), *texts[at + 1 :]), at)


def _python(texts: Sequence[str], at: int) -> CommandForm | None:
    """What an interpreter runs, from its options on: a module, or a script by its path."""
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

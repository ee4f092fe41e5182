"""What a container runs: where in `command` and `args` a Dask worker is started.

Both lists together are the argument vector behind the image's entrypoint (Kubernetes: `command` replaces the
entrypoint, `args` its arguments), so a spelling may begin in one and end in the other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from webhook.raw import Raw, sequence


class Program(StrEnum):
    """What a container starts."""

    DASK = "dask"
    DASK_CUDA = "dask-cuda"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the argument vector.

    Attributes:
        field: The list it stands in, `command` or `args`.
        index: Its place there.
        text: The word.
    """

    field: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Start:
    """The words that start a Dask worker.

    Attributes:
        program: Which worker.
        words: The spelling itself, without options: one to three words.
    """

    program: Program
    words: tuple[Word, ...]


_PYTHON = re.compile(r"python[\d.]*")
_SPELLINGS: tuple[tuple[Program, tuple[str, ...]], ...] = (
    (Program.DASK, ("dask-worker",)),
    (Program.DASK, ("dask", "worker")),
    (Program.DASK, ("python", "-m", "distributed.cli.dask_worker")),
    (Program.DASK_CUDA, ("dask-cuda-worker",)),
    (Program.DASK_CUDA, ("dask", "cuda", "worker")),
    (Program.DASK_CUDA, ("python", "-m", "dask_cuda.cli.dask_cuda_worker")),  # 0.19 - 22.12
    (Program.DASK_CUDA, ("python", "-m", "dask_cuda.cli")),  # 23.06 and newer
)
# A worker is mentioned, but not as a plain word of its own: inside a shell text, or behind something unknown.
_MENTION = re.compile(
    r"(?<![\w./-])(?:[\w./-]*/)?(?:dask-worker|dask\s+worker|-m\s+distributed\.cli\.dask_worker)(?![\w./-])"
)


def words(container: Raw) -> tuple[Word, ...] | None:
    """The argument vector of a container; None when it holds something that is not a string."""
    vector = tuple(
        Word(field, index, text)
        for field in ("command", "args")
        for index, text in enumerate(sequence(container, field))
    )
    return vector if all(isinstance(word.text, str) for word in vector) else None


def start(vector: Sequence[Word]) -> Start | None:
    """Where the vector starts a Dask worker, or None when it starts something else."""
    for program, spelling in _SPELLINGS:
        head = vector[: len(spelling)]
        if len(head) == len(spelling) and all(map(_spells, head, spelling)):
            return Start(program, tuple(head))
    return None


def mentioned(vector: Sequence[Word]) -> bool:
    """Whether a Dask worker seems to be started somewhere that `start` cannot vouch for."""
    return bool(_MENTION.search(" ".join(word.text for word in vector)))


def starts_worker(container: Raw) -> bool:
    """Whether a container's own words say that it is the Dask worker."""
    return start(words(container) or ()) is not None


def mentions_worker(container: Raw) -> bool:
    """Whether a container's words speak of a Dask worker that it may start."""
    return mentioned(words(container) or ())


def starts_scheduler(container: Raw) -> bool:
    """Whether a container's own words say that it is the Dask scheduler."""
    texts = chain(sequence(container, "command"), sequence(container, "args"))
    line = " ".join(text for text in texts if isinstance(text, str))
    return bool(re.search(r"\bdask[- ]scheduler\b", line))


def _spells(word: Word, expected: str) -> bool:
    name = word.text.rpartition("/")[2] if word.text.startswith("/") else word.text
    return bool(_PYTHON.fullmatch(name)) if expected == "python" else name == expected

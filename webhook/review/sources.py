"""Reader of manifests from files, directories and standard input."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import NamedTuple, TextIO

from webhook.kube import manifests
from webhook.kube.manifests import Manifest, ManifestError
from webhook.policy.errors import InputError

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"
TEMPLATE_PROBLEM = "a Helm or Jinja template, not YAML"
# `{{ ... }}` of Helm, Go templates and Jinja, `{% ... %}` of Jinja.
_TEMPLATE = re.compile(r"\{\{|\{%")


@dataclass(frozen=True, slots=True)
class Sources:
    """Objects of files, and the files that were skipped.

    Attributes:
        objects: Objects in the order of the files.
        skipped: One line for each skipped file, with its name and the reason.
    """

    objects: tuple[Manifest, ...] = ()
    skipped: tuple[str, ...] = ()


class _File(NamedTuple):
    name: str
    folder: str | None  # the directory in which the file was found; None if the user named the file


def read(names: Sequence[str], stdin: TextIO, update: Callable[[str], None], exclude: Sequence[str] = ()) -> Sources:
    """Read all objects.

    `-` is standard input. A directory is searched recursively for `SUFFIXES`, in sorted order and without hidden
    directories; its files without Kubernetes objects are ignored. Templates are skipped, and so are files of a
    directory that are not valid YAML.

    Args:
        names: File and directory names.
        stdin: Standard input.
        update: Callback for progress messages.
        exclude: Patterns of files and directories to leave out; see `is_excluded`.

    Raises:
        InputError: Files are invalid, or standard input is empty; the message has one line for each problem.
    """
    objects: list[Manifest] = []
    skipped: list[str] = []
    problems: list[str] = []
    files = [file for name in names for file in _files(name) if not is_excluded(file.name, file.folder, exclude)]
    for count, file in enumerate(files):
        update(f"reading {count} of {len(files)} files")
        try:
            objects += _read_file(file, stdin)
        except _SkippedError as error:
            skipped.append(str(error))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return Sources(tuple(objects), tuple(skipped))


class _SkippedError(InputError):
    """File that is skipped."""


def _read_file(file: _File, stdin: TextIO) -> tuple[Manifest, ...]:
    source = "<stdin>" if file.name == STDIN else file.name
    text = ""
    try:
        text = _read_text(file.name, stdin)
        objects = manifests.read(text, source, skip_others=file.folder is not None)
    except (ManifestError, UnicodeDecodeError) as error:
        if template := _TEMPLATE.search(text):
            line = text.count("\n", 0, template.start()) + 1
            raise _SkippedError(f"{source}:{line}: {TEMPLATE_PROBLEM}") from None
        problem = error if isinstance(error, ManifestError) else InputError(f"{source}: not UTF-8: {error.reason}")
        raise (_SkippedError(str(problem)) if file.folder is not None else problem) from None
    if file.name == STDIN and not objects:
        raise InputError("standard input contains no Kubernetes object: check the command before the pipe")
    return objects


def is_excluded(name: str, folder: str | None, patterns: Sequence[str]) -> bool:
    """Return whether a pattern matches a file or one of its parent directories, by path or by base name.

    Args:
        name: File name as it is printed.
        folder: Directory of the command line in which the file was found; patterns also match below it.
        patterns: Shell patterns, in which `*` also matches `/`.
    """
    path = PurePath(name)
    paths = [path, *path.parents]
    if folder is not None:
        below = path.relative_to(folder)
        paths += [below, *below.parents]
    candidates = {text for each in paths for text in (each.name, each.as_posix(), f"/{each.as_posix()}")}
    return any(fnmatchcase(text, pattern.rstrip("/")) for pattern in patterns for text in candidates)


def _files(name: str) -> Iterator[_File]:
    if name == STDIN or not Path(name).is_dir():
        yield _File(name, None)
        return
    found = [
        str(Path(folder, file))
        for folder, folders, files in _walk(name)
        for file in sorted(files)
        if file.endswith(SUFFIXES)
    ]
    if not found:
        raise InputError(f"{name}: no {', '.join(f'*{suffix}' for suffix in SUFFIXES)} files in this directory")
    yield from (_File(file, name) for file in found)


def _walk(name: str) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, files in os.walk(name):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, folders, files


def _read_text(name: str, stdin: TextIO) -> str:
    try:
        return stdin.read() if name == STDIN else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None

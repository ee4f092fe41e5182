"""Reader of manifests from files, directories and standard input."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from webhook.kube import manifests
from webhook.kube.manifests import Manifest
from webhook.policy.errors import InputError

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


def read(names: Iterable[str], stdin: TextIO, update: Callable[[str], None]) -> tuple[Manifest, ...]:
    """Read all objects.

    `-` is standard input. A directory is searched recursively for `SUFFIXES`, in sorted order and without hidden
    directories; its files that are not Kubernetes manifests are skipped, also if they are invalid.

    Args:
        names: File and directory names.
        stdin: Standard input.
        update: Callback for progress messages.

    Raises:
        InputError: Files are invalid; the message has one line for each.
    """
    objects: list[Manifest] = []
    problems: list[str] = []
    files = tuple(file for name in names for file in _files(name))
    for count, (file, in_directory) in enumerate(files):
        update(f"reading {count} of {len(files)} files")
        try:
            objects += manifests.read(
                _read_text(file, stdin), "<stdin>" if file == STDIN else file, skip_others=in_directory
            )
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return tuple(objects)


def _files(name: str) -> Iterator[tuple[str, bool]]:
    """Yield the files of a name, and whether they were found in a directory."""
    if name == STDIN or not Path(name).is_dir():
        yield name, False
        return
    found = [
        str(Path(folder, file))
        for folder, folders, files in _walk(name)
        for file in sorted(files)
        if file.endswith(SUFFIXES)
    ]
    if not found:
        raise InputError(f"{name}: no {', '.join(f'*{suffix}' for suffix in SUFFIXES)} files in this directory")
    yield from ((file, True) for file in found)


def _walk(name: str) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, files in os.walk(name):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, folders, files


def _read_text(name: str, stdin: TextIO) -> str:
    try:
        return stdin.read() if name == STDIN else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8: {error.reason} at byte {error.start}") from None

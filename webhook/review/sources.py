"""The manifests a user names: files, directories, standard input."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from webhook.kube import manifests
from webhook.kube.manifests import Manifest
from webhook.policy.errors import InputError

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


def read(names: Iterable[str], stdin: TextIO, tell: Callable[[str], None]) -> tuple[Manifest, ...]:
    """Every object of the files; `-` is standard input, a directory all `SUFFIXES` below it, sorted.

    A directory may hold other YAML and JSON too: what is not Kubernetes' is left out there, broken or not. Hidden
    directories, such as `.git`, are not looked into.

    Args:
        names: As the user gave them.
        stdin: What `-` reads.
        tell: Hears how far it got.

    Raises:
        InputError: A line with file and, where there is one, line for each file that cannot be used.
    """
    found: list[Manifest] = []
    problems: list[str] = []
    files = tuple(file for name in names for file in _files(name))
    for count, (file, walked) in enumerate(files):
        tell(f"reading {count} of {len(files)} files")
        try:
            found += manifests.read(_text(file, stdin), "<stdin>" if file == STDIN else file, others=walked)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return tuple(found)


def _files(name: str) -> Iterator[tuple[str, bool]]:
    """The files behind a name, and whether they were found in a directory."""
    if name == STDIN or not Path(name).is_dir():
        yield name, False
        return
    below = [
        str(Path(folder, file))
        for folder, folders, files in _walked(name)
        for file in sorted(files)
        if file.endswith(SUFFIXES)
    ]
    if not below:
        raise InputError(f"{name}: no {', '.join(f'*{suffix}' for suffix in SUFFIXES)} in it: name another directory")
    yield from ((file, True) for file in below)


def _walked(name: str) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, files in os.walk(name):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        yield folder, folders, files


def _text(name: str, stdin: TextIO) -> str:
    try:
        return stdin.read() if name == STDIN else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8: {error.reason} at byte {error.start}") from None

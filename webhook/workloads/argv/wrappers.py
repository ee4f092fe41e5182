"""Wrappers: programs that start the program named in their arguments.

The table holds the options in common use. After any other option the started program is unknown, and the command is
not converted.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from webhook.workloads.argv.vector import base_name


class LongOptions(Enum):
    """Rule of a wrapper for its long options."""

    LISTED = auto()  # only those in the table
    ATTACHED = auto()  # any, with a value after `=`
    VALUED = auto()  # any, with a value after `=` or in the next argument


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """Program that starts another program.

    Attributes:
        names: Its names, or its absolute path.
        subcommand: The required first argument, such as `run`.
        flags: Options without a value.
        valued: Options with a value in the next argument; for a long option also after `=`, for a short one attached.
        long_options: Rule for long options that are not in the table.
        modules: Options after which a Python module takes the place of the program.
        positionals: Number of its own positional arguments before the program.
        assignments: True if `NAME=value` arguments may precede the program.
    """

    names: frozenset[str]
    subcommand: str = ""
    flags: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()
    long_options: LongOptions = LongOptions.LISTED
    modules: frozenset[str] = frozenset()
    positionals: int = 0
    assignments: bool = False


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_ENVIRONMENT = "-n --name -p --prefix --cwd"
WRAPPERS = (
    # init processes of containers
    Wrapper(names=_set("tini tini-static docker-init"), flags=_set("-g -s -v -vv -vvv -w"), valued=_set("-p -e")),
    Wrapper(names=_set("dumb-init"), flags=_set("-c --single-child -v --verbose"), valued=_set("-r --rewrite")),
    Wrapper(names=_set("catatonit"), flags=_set("-g -P")),
    # conda, mamba and micromamba, whose `run` commands differ in their options
    Wrapper(
        names=_set("conda mamba"),
        subcommand="run",
        flags=_set("-v -vv --verbose --no-capture-output --live-stream --debug-wrapper-scripts --dev -q --quiet"),
        valued=_set(_ENVIRONMENT),
    ),
    Wrapper(
        names=_set("micromamba mamba"),
        subcommand="run",
        flags=_set("-d --detach --clean-env -v -vv -q --quiet -y --yes --no-rc --no-env"),
        valued=_set(f"{_ENVIRONMENT} -r --root-prefix -e --env -a --attach --label --rc-file"),
    ),
    # project managers; options of uv from `uv run --help`, 0.13
    Wrapper(
        names=_set("poetry"),
        subcommand="run",
        flags=_set("-q --quiet -n --no-interaction --no-plugins --no-cache -v -vv -vvv"),
        valued=_set("-C --directory -P --project"),
    ),
    Wrapper(names=_set("pdm"), subcommand="run", flags=_set("-q --quiet -v"), valued=_set("-p --project")),
    Wrapper(names=_set("pipenv"), subcommand="run", flags=_set("-q --quiet -v --verbose")),
    Wrapper(
        names=_set("pixi"),
        subcommand="run",
        flags=_set("--frozen --locked --clean-env --no-progress -q --quiet -v -x --executable"),
        valued=_set("-e --environment --manifest-path"),
    ),
    Wrapper(
        names=_set("uv"),
        subcommand="run",
        flags=_set(
            "--active --all-extras --all-groups --exact --frozen --isolated --locked --managed-python --no-cache "
            "--no-config --no-default-groups --no-dev --no-editable --no-env-file --no-progress --no-project "
            "--no-python-downloads --no-sync --offline -n -q --quiet -U --upgrade -v --verbose --native-tls"
        ),
        valued=_set(
            "--cache-dir --config-file --directory --env-file --extra --group --index --no-extra --no-group "
            "--only-group --package --project -p --python -w --with --with-editable --with-requirements"
        ),
        modules=_set("-m --module"),
    ),
    # GNU coreutils and util-linux from their --help; POSIX sh, bash
    Wrapper(
        names=_set("env"),
        flags=_set("-i - --ignore-environment -v --debug"),
        valued=_set("-u --unset -C --chdir"),
        assignments=True,
    ),
    Wrapper(names=_set("exec"), flags=_set("-c -l -cl -lc"), valued=_set("-a")),
    Wrapper(names=_set("command"), flags=_set("-p")),
    Wrapper(names=_set("nice"), valued=_set("-n --adjustment")),
    Wrapper(names=_set("ionice"), flags=_set("-t --ignore"), valued=_set("-c --class -n --classdata")),
    Wrapper(names=_set("nohup")),
    Wrapper(names=_set("setsid"), flags=_set("-c --ctty -f --fork -w --wait")),
    Wrapper(names=_set("stdbuf"), valued=_set("-i --input -o --output -e --error")),
    Wrapper(
        names=_set("timeout"),
        flags=_set("--foreground --preserve-status -v --verbose"),
        valued=_set("-k --kill-after -s --signal"),
        positionals=1,
    ),
    Wrapper(
        names=_set("numactl"),
        flags=_set("-l --localalloc"),
        valued=_set("-m --membind -N --cpunodebind -C --physcpubind -i --interleave -p --preferred"),
    ),
    # instrumentation and profilers: ddtrace 4.16 and py-spy 0.4 from their --help, opentelemetry-instrumentation 0.66
    # (an option for each OTEL_ variable), Nsight Systems' user guide ("when long options are used, the switch should be
    # followed by an equal sign")
    Wrapper(names=_set("ddtrace-run"), flags=_set("-d --debug -p --profiling -nc --colorless")),
    Wrapper(names=_set("opentelemetry-instrument"), long_options=LongOptions.VALUED),
    Wrapper(names=_set("newrelic-admin"), subcommand="run-program"),
    Wrapper(
        names=_set("nsys"),
        subcommand="profile",
        valued=_set("-b -c -d -e -f -n -o -p -s -t -w -x -y"),
        long_options=LongOptions.ATTACHED,
    ),
    Wrapper(
        names=_set("py-spy"),
        subcommand="record",
        flags=_set("-F --function --full-filenames -i --idle -g --gil -n --native -s --subprocesses -t --threads"),
        valued=_set("-d --duration -f --format -o --output -r --rate"),
    ),
    # The user precedes the program.
    Wrapper(names=_set("gosu su-exec"), positionals=1),
    # Entrypoints that end in `exec "$@"`: ghcr.io/dask/dask; RAPIDS base >= 23.08; rapidsai-core < 23.08.
    Wrapper(names=_set("/usr/bin/prepare.sh /home/rapids/entrypoint.sh /opt/docker/bin/entrypoint")),
)

_WRAPPERS_BY_NAME: Mapping[str, tuple[Wrapper, ...]] = {
    name: tuple(wrapper for wrapper in WRAPPERS if name in wrapper.names)
    for name in frozenset().union(*(wrapper.names for wrapper in WRAPPERS))
}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_INFORMATION = frozenset({"--help", "--version"})
_NICENESS = re.compile(r"--?\d+")


def program_index(texts: Sequence[str], start: int = 0) -> int | None:
    """Return the index of the program that the command from `start` on runs after its wrappers; None if unknown."""
    index, known = _skip_wrappers(texts, start)
    return index if known else None


def unknown_index(texts: Sequence[str], start: int = 0) -> int | None:
    """Return the index of the wrapper's argument that makes the program unknown; None if it is known."""
    index, known = _skip_wrappers(texts, start)
    return None if known else min(index, len(texts) - 1)


def _skip_wrappers(texts: Sequence[str], index: int) -> tuple[int, bool]:
    """Return the index of the program and True, or the index of the first unsupported argument and False."""
    while index < len(texts):
        wrappers = _wrappers_at(texts, index)
        if not wrappers:
            return index, True
        # Programs of one name may differ in their options (mamba 1 and 2): use the first that accepts the arguments.
        results = [_skip_wrapper(wrapper, texts, index + (2 if wrapper.subcommand else 1)) for wrapper in wrappers]
        index, known = next((result for result in results if result[1]), results[0])
        if not known:
            return index, False
    return index, False


def _wrappers_at(texts: Sequence[str], index: int) -> list[Wrapper]:
    wrappers = _WRAPPERS_BY_NAME.get(texts[index]) or _WRAPPERS_BY_NAME.get(base_name(texts[index]), ())
    following = tuple(texts[index + 1 : index + 2])
    return [wrapper for wrapper in wrappers if not wrapper.subcommand or following == (wrapper.subcommand,)]


def _skip_wrapper(wrapper: Wrapper, texts: Sequence[str], index: int) -> tuple[int, bool]:
    """Return the index after the wrapper's own arguments and True, or that of an unsupported option and False."""
    while index < len(texts) and texts[index].startswith("-") and texts[index] not in wrapper.modules:
        if texts[index] == "--":
            index += 1
            break
        length = _option_length(wrapper, texts[index])
        if length is None:
            return index, False
        index += length
    while wrapper.assignments and index < len(texts) and _ASSIGNMENT.match(texts[index]):
        index += 1
    index += wrapper.positionals
    return index, index < len(texts)


def _option_length(wrapper: Wrapper, text: str) -> int | None:
    """Return the number of arguments that an option spans, value included; None for an unsupported option."""
    if text in wrapper.flags:
        return 1
    if text in wrapper.valued:
        return 2
    name, equals, _ = text.partition("=")
    if name.startswith("--") and name not in _INFORMATION:
        if equals and wrapper.long_options is not LongOptions.LISTED:
            return 1
        if wrapper.long_options is LongOptions.VALUED:
            return 2
    attached = (equals and name in wrapper.valued) or _has_attached_value(text, wrapper.valued)
    niceness = "nice" in wrapper.names and _NICENESS.fullmatch(text)
    return 1 if attached or niceness else None


def _has_attached_value(text: str, valued: Iterable[str]) -> bool:
    return not text.startswith("--") and len(text) > 2 and text[:2] in valued  # noqa: PLR2004 - "-n" and its value

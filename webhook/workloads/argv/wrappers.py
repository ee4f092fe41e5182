"""Programs that start another program, and the place of that program's name behind them.

The table holds the options in common use. Behind an option that is not in the table the program is unknown, and the
command is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from webhook.workloads.argv.vector import base


class LongOptions(Enum):
    """Rule of a wrapper for its long options."""

    LISTED = auto()  # the table names them all
    ATTACHED = auto()  # each carries its value behind `=`
    VALUED = auto()  # each takes a value, behind `=` or in the next word


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """One wrapper.

    Attributes:
        names: Its programs, or the one path that it has.
        subcommand: The word that must follow, such as `run`.
        flags: Its options without a value.
        valued: Its options with a value, in the next word; a long one also behind `=`, a short one attached.
        long_options: Rule for long options that the table does not name.
        modules: Its options behind which a Python module stands in place of a program.
        positionals: Words of its own before the program.
        assignments: True if `NAME=value` words may precede the program.
    """

    names: frozenset[str]
    subcommand: str = ""
    flags: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()
    long_options: LongOptions = LongOptions.LISTED
    modules: frozenset[str] = frozenset()
    positionals: int = 0
    assignments: bool = False


def _set(texts: str) -> frozenset[str]:
    return frozenset(texts.split())


_ENVIRONMENT = "-n --name -p --prefix --cwd"
WRAPPERS = (
    # init processes of containers
    Wrapper(names=_set("tini tini-static docker-init"), flags=_set("-g -s -v -vv -vvv -w"), valued=_set("-p -e")),
    Wrapper(names=_set("dumb-init"), flags=_set("-c --single-child -v --verbose"), valued=_set("-r --rewrite")),
    Wrapper(names=_set("catatonit"), flags=_set("-g -P")),
    # conda and its kin, whose `run` have options of their own
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
    # project tools; the options of uv are those of `uv run --help`, 0.13
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
    # GNU coreutils and util-linux as their --help says; POSIX sh, bash
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
    # instrumentation and profilers: ddtrace 4.16 and py-spy 0.4 as their --help says, the launcher of
    # opentelemetry-instrumentation 0.66 (an option for each OTEL_ variable), Nsight Systems' user guide ("when long
    # options are used, the switch should be followed by an equal sign")
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
    # USER before the program
    Wrapper(names=_set("gosu su-exec"), positionals=1),
    # Entrypoints that end in `exec "$@"`: ghcr.io/dask/dask; RAPIDS base >= 23.08; rapidsai-core < 23.08.
    Wrapper(names=_set("/usr/bin/prepare.sh /home/rapids/entrypoint.sh /opt/docker/bin/entrypoint")),
)

_ROWS: Mapping[str, tuple[Wrapper, ...]] = {
    name: tuple(wrapper for wrapper in WRAPPERS if name in wrapper.names)
    for name in frozenset().union(*(wrapper.names for wrapper in WRAPPERS))
}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_INFORMATION = frozenset({"--help", "--version"})
_NICENESS = re.compile(r"--?\d+")


def program_at(texts: Sequence[str], first: int = 0) -> int | None:
    """Return the place of the program that the line from `first` on starts; None if it is unknown."""
    at, known = _walk(texts, first)
    return at if known else None


def unknown_at(texts: Sequence[str], first: int = 0) -> int | None:
    """Return the place of the wrapper's word behind which the program is unknown; None if it is known."""
    at, known = _walk(texts, first)
    return None if known else min(at, len(texts) - 1)


def _walk(texts: Sequence[str], at: int) -> tuple[int, bool]:
    """Return the place of the program, or the place of the word that is not in the table and False."""
    while at < len(texts):
        # Two programs of one name may differ in their options (mamba 1 and 2): the row that can read them counts.
        rows = _rows(texts, at)
        if not rows:
            return at, True
        places = [_behind(wrapper, texts, at + (2 if wrapper.subcommand else 1)) for wrapper in rows]
        at, known = next((place for place in places if place[1]), places[0])
        if not known:
            return at, False
    return at, False


def _rows(texts: Sequence[str], at: int) -> list[Wrapper]:
    rows = _ROWS.get(texts[at]) or _ROWS.get(base(texts[at]), ())
    follows = tuple(texts[at + 1 : at + 2])
    return [wrapper for wrapper in rows if not wrapper.subcommand or follows == (wrapper.subcommand,)]


def _behind(wrapper: Wrapper, texts: Sequence[str], at: int) -> tuple[int, bool]:
    """Return the place of the first word that is not the wrapper's own; False if one of its options is unknown."""
    while at < len(texts) and texts[at].startswith("-") and texts[at] not in wrapper.modules:
        if texts[at] == "--":
            at += 1
            break
        taken = _option_words(wrapper, texts[at])
        if taken is None:
            return at, False
        at += taken
    while wrapper.assignments and at < len(texts) and _ASSIGNMENT.match(texts[at]):
        at += 1
    at += wrapper.positionals
    return at, at < len(texts)


def _option_words(wrapper: Wrapper, text: str) -> int | None:
    """Return how many words an option takes; None for an option that is not in the table."""
    if text in wrapper.flags:
        return 1
    if text in wrapper.valued:
        return 2
    long, equals, _ = text.partition("=")
    if long.startswith("--") and long not in _INFORMATION:
        if equals and wrapper.long_options is not LongOptions.LISTED:
            return 1
        if wrapper.long_options is LongOptions.VALUED:
            return 2
    attached = (equals and long in wrapper.valued) or _attached(text, wrapper.valued)
    niceness = "nice" in wrapper.names and _NICENESS.fullmatch(text)
    return 1 if attached or niceness else None


def _attached(text: str, valued: Iterable[str]) -> bool:
    return not text.startswith("--") and len(text) > 2 and text[:2] in valued  # noqa: PLR2004 - "-n" and its value

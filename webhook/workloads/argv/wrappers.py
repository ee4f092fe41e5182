"""Programs that start another one: which of the words behind them is its name.

The table holds the options in common use. A wrapper with one that is not here is not looked through: what it
starts is then unknown, and the command is refused rather than guessed at.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from webhook.workloads.argv.vector import base


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """One wrapper.

    Attributes:
        names: Its programs, or the one path that it has.
        subcommand: The word that must follow, such as `run`.
        flags: Its options without a value.
        valued: Its options with one, in the next word; a long one also behind `=`, a short one attached.
        positionals: Words of its own before the program.
        assignments: Whether `NAME=value` words may stand before the program.
    """

    names: frozenset[str]
    subcommand: str = ""
    flags: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()
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
_NICENESS = re.compile(r"--?\d+")


def program_at(texts: Sequence[str], first: int = 0) -> int | None:
    """Where the program stands that the line from `first` on really starts; None when that cannot be told."""
    at: int | None = first
    while at is not None and at < len(texts):
        # Two programs of one name may differ in their options (mamba 1 and 2): the row that can read them counts.
        rows = _rows(texts, at)
        if not rows:
            return at
        places = (_behind(wrapper, texts, at + (2 if wrapper.subcommand else 1)) for wrapper in rows)
        at = next((place for place in places if place is not None), None)
    return None


def _rows(texts: Sequence[str], at: int) -> list[Wrapper]:
    rows = _ROWS.get(texts[at]) or _ROWS.get(base(texts[at]), ())
    follows = tuple(texts[at + 1 : at + 2])
    return [wrapper for wrapper in rows if not wrapper.subcommand or follows == (wrapper.subcommand,)]


def _behind(wrapper: Wrapper, texts: Sequence[str], at: int) -> int | None:
    """The first word that is not the wrapper's own, or None when one of its options is unknown."""
    while at < len(texts) and texts[at].startswith("-"):
        if texts[at] == "--":
            at += 1
            break
        taken = _option_words(wrapper, texts[at])
        if taken is None:
            return None
        at += taken
    while wrapper.assignments and at < len(texts) and _ASSIGNMENT.match(texts[at]):
        at += 1
    at += wrapper.positionals
    return at if at < len(texts) else None


def _option_words(wrapper: Wrapper, text: str) -> int | None:
    if text in wrapper.flags:
        return 1
    if text in wrapper.valued:
        return 2
    long, equals, _ = text.partition("=")
    attached = (equals and long in wrapper.valued) or _attached(text, wrapper.valued)
    niceness = "nice" in wrapper.names and _NICENESS.fullmatch(text)
    return 1 if attached or niceness else None


def _attached(text: str, valued: Iterable[str]) -> bool:
    return not text.startswith("--") and len(text) > 2 and text[:2] in valued  # noqa: PLR2004 - "-n" and its value

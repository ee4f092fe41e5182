"""Table of the options of `dask worker` and of dask-cuda's worker.

Sources: the click commands in the wheels of distributed 2022.3.0 and 2024.11.2 - 2026.8.0, and of dask-cuda 0.19,
21.12, 22.04, 22.08, 22.12, 23.02 - 23.12, 24.06, 24.12, 25.04, 25.12, 26.02 - 26.10. A `since` between two of these
is the later one. The tests compare both tables with the packages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from webhook.policy import OLDEST_DASK_CUDA as OLDEST

Version: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of `dask worker` or of dask-cuda's worker.

    Attributes:
        names: The name; both names of a pair of flags.
        flag: True if the option takes no value.
        dask: Versions of distributed with the option, as documentation; empty for none.
        since: The first dask-cuda with the option; None for none.
        until: The first later dask-cuda without the option; None for none.
        harmless: Values, or names of a flag, that are removed without a warning.
        lost: Text of the warning for all other values.
        needed: True if the worker needs the option to be reachable or to connect; it is never removed.
        single: True if dask-cuda accepts the option with one GPU only.
    """

    names: tuple[str, ...]
    flag: bool = False
    dask: str = "2022.3 -"
    since: Version | None = OLDEST
    until: Version | None = None
    harmless: frozenset[str] = frozenset()
    lost: str = ""
    needed: bool = False
    single: bool = False


def _same(*names: str, flag: bool = False) -> Option:
    return Option(names=names, flag=flag)


def _lost(*names: str, lost: str, flag: bool = False, dask: str = "2022.3 -", harmless: str = "") -> Option:
    return Option(names=names, flag=flag, dask=dask, since=None, harmless=frozenset(harmless.split()), lost=lost)


def _needed(*names: str, since: Version | None = None, single: bool = False) -> Option:
    return Option(names=names, since=since, needed=True, single=single)


def _cuda(*names: str, flag: bool = False, since: Version = OLDEST, until: Version | None = None) -> Option:
    return Option(names=names, flag=flag, dask="", since=since, until=until)


_ONE_PROCESS = "dask-cuda starts one worker per GPU"
# dask-cuda has no such options, but its workers and nannies read the configuration of distributed: `worker.lifetime.*`
# in distributed/worker.py and `nanny.preload` in nanny.py, 2024.11.2 - 2026.8.0.
_VARIABLE = "set the environment variable DASK_DISTRIBUTED__{}"
_LEGACY = "neither dask-cuda nor the current dask worker has this option"

DASK_OPTIONS = (
    # kept
    _same("--host"),
    _same("--interface"),
    _same("--protocol"),
    _same("--pid-file"),
    _same("--scheduler-file"),
    _same("--local-directory"),
    _same("--dashboard", "--no-dashboard", flag=True),
    _same("--dashboard-address"),
    _same("--dashboard-prefix"),
    _same("--name"),
    _same("--memory-limit"),
    _same("--resources"),
    _same("--worker-class"),
    _same("--preload"),
    _same("--tls-ca-file"),
    _same("--tls-cert"),
    _same("--tls-key"),
    # `0` means all CPUs for dask worker; dask-cuda 0.19 - 26.10: "nthreads must be higher than 0."
    _same("--nthreads"),
    # depend on the version; dask-cuda 0.19 had --death-timeout too, 21.12 - 23.02 did not
    Option(names=("--death-timeout",), since=(23, 4)),
    _needed("--listen-address", since=(26, 4), single=True),
    _needed("--contact-address", since=(26, 4), single=True),
    _needed("--worker-port", since=(26, 6)),
    # never in dask-cuda
    _lost("--nworkers", dask="2021.10 -", harmless="1", lost=_ONE_PROCESS),
    _lost("--nanny", "--no-nanny", flag=True, harmless="--nanny", lost="dask-cuda always starts nannies"),
    _needed("--nanny-port"),
    _lost("--preload-nanny", lost=_VARIABLE.format("NANNY__PRELOAD")),
    _needed("--scheduler-sni"),
    _lost("--lifetime", lost=_VARIABLE.format("WORKER__LIFETIME__DURATION")),
    _lost("--lifetime-stagger", lost=_VARIABLE.format("WORKER__LIFETIME__STAGGER")),
    _lost(
        "--lifetime-restart",
        "--no-lifetime-restart",
        flag=True,
        harmless="--no-lifetime-restart",
        lost=_VARIABLE.format("WORKER__LIFETIME__RESTART"),
    ),
    # removed from dask worker too
    _lost("--nprocs", dask="- 2022.9", harmless="1", lost=_ONE_PROCESS),
    _lost("--bokeh-port", dask="- 2022.3", lost=_LEGACY),
    _lost("--bokeh", "--no-bokeh", flag=True, dask="- 2022.3", lost=_LEGACY),
    _lost("--reconnect", "--no-reconnect", flag=True, dask="- 2022.3", lost=_LEGACY),
)

# Options that print something and exit: a command with one of them starts no worker.
INFORMATION = ("--version", "--help")

CUDA_OPTIONS = (
    _cuda("--device-memory-limit"),
    _cuda("--rmm-pool-size"),
    _cuda("--rmm-maximum-pool-size", since=(22, 4)),
    _cuda("--rmm-managed-memory", "--no-rmm-managed-memory", flag=True),
    _cuda("--rmm-async", "--no-rmm-async", flag=True),
    _cuda("--rmm-release-threshold", since=(23, 4)),
    _cuda("--rmm-log-directory"),
    _cuda("--rmm-track-allocations", "--no-rmm-track-allocations", flag=True, since=(22, 4)),
    _cuda("--set-rmm-allocator-for-libs", since=(24, 12)),
    _cuda("--enable-cudf-spill", "--disable-cudf-spill", flag=True, since=(24, 12)),
    _cuda("--cudf-spill-stats", since=(24, 12)),
    _cuda("--enable-tcp-over-ucx", "--disable-tcp-over-ucx", flag=True),
    _cuda("--enable-infiniband", "--disable-infiniband", flag=True),
    _cuda("--enable-nvlink", "--disable-nvlink", flag=True),
    _cuda("--enable-rdmacm", "--disable-rdmacm", flag=True),
    _cuda("--enable-jit-unspill", "--disable-jit-unspill", flag=True, until=(26, 6)),
    _cuda("--shared-filesystem", "--no-shared-filesystem", flag=True, until=(26, 6)),
    _cuda("--pre-import", since=(22, 4)),
    _cuda("--multiprocessing-method", since=(22, 8)),
)

BY_NAME: Mapping[str, Option] = {name: option for option in (*DASK_OPTIONS, *CUDA_OPTIONS) for name in option.names}
CUDA_ONLY = frozenset(name for option in CUDA_OPTIONS for name in option.names)


def in_version(option: Option, version: Version | None) -> bool:
    """Return whether a version of dask-cuda has the option; for None, whether all versions since `OLDEST` have it."""
    if option.since is None:
        return False
    if version is None:
        return option.since <= OLDEST and option.until is None
    return option.since <= version and (option.until is None or version < option.until)


def format_version(version: Version) -> str:
    """Return a version in the notation of RAPIDS, such as 24.02."""
    return f"{version[0]:02}.{version[1]:02}"

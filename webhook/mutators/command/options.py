"""Options of `dask worker` and of the dask-cuda worker, as data.

Sources: the click commands in the wheels of distributed 2022.3.0 and 2024.11.2 - 2026.8.0, and of dask-cuda 0.19,
21.12, 22.04, 22.08, 22.12, 23.02 - 23.12, 24.06, 24.12, 25.04, 25.12, 26.02 - 26.10. A `since` that lies between
two of these is the later one. The tests compare both tables with the packages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from webhook.policy import OLDEST_DASK_CUDA as OLDEST

Version: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option.

    Attributes:
        names: Its name; a flag's pair stands in one row.
        flag: Whether it takes no value.
        dask: The versions of distributed that have it, for the reader; empty for none.
        since: The first dask-cuda that has it, None when none does.
        until: The first dask-cuda that has it no more, None when all later ones do.
        harmless: Where dask-cuda does not take it: the values (a flag's names) that mean nothing there.
        lost: And what its user loses with any other.
        needed: True if the worker cannot be reached, or cannot connect, without it: it is never dropped.
        single: True if dask-cuda takes it for one GPU only.
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


_ONE_PROCESS = "dask-cuda starts one worker for each GPU"
# What dask-cuda does not take as an option, its workers and nannies still read from distributed's configuration:
# `worker.lifetime.*` in distributed/worker.py and `nanny.preload` in nanny.py, 2024.11.2 - 2026.8.0.
_VARIABLE = "set the environment variable DASK_DISTRIBUTED__{} instead"
_LEGACY = "dask-cuda has no such option, nor has today's dask worker"

DASK_OPTIONS = (
    # as it is
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
    # `0` means all CPUs to dask worker; dask-cuda 0.19 - 26.10: "nthreads must be higher than 0."
    _same("--nthreads"),
    # by version; dask-cuda 0.19 had --death-timeout too, 21.12 - 23.02 did not
    Option(names=("--death-timeout",), since=(23, 4)),
    _needed("--listen-address", since=(26, 4), single=True),
    _needed("--contact-address", since=(26, 4), single=True),
    _needed("--worker-port", since=(26, 6)),
    # never in dask-cuda
    _lost("--nworkers", dask="2021.10 -", harmless="1", lost=_ONE_PROCESS),
    _lost("--nanny", "--no-nanny", flag=True, harmless="--nanny", lost="dask-cuda always runs its workers in nannies"),
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
    # gone from dask worker as well
    _lost("--nprocs", dask="- 2022.9", harmless="1", lost=_ONE_PROCESS),
    _lost("--bokeh-port", dask="- 2022.3", lost=_LEGACY),
    _lost("--bokeh", "--no-bokeh", flag=True, dask="- 2022.3", lost=_LEGACY),
    _lost("--reconnect", "--no-reconnect", flag=True, dask="- 2022.3", lost=_LEGACY),
)

# What prints something and exits: a line with one of these starts no worker.
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
    """Whether that dask-cuda takes the option; None: whether each does, from `OLDEST` on."""
    if option.since is None:
        return False
    if version is None:
        return option.since <= OLDEST and option.until is None
    return option.since <= version and (option.until is None or version < option.until)


def spelled(version: Version) -> str:
    """A version as RAPIDS writes it."""
    return f"{version[0]:02}.{version[1]:02}"

"""Start of dask-cuda's real worker command up to its first nanny: JSON lines in and out.

Runs as a program of its own, `python -I -S starter.py FOLDER DRIVER`, on nothing but the standard library and FOLDER.
Everything of dask-cuda and distributed is real: click, `CUDAWorker.__init__`, the GPU count, UCX configuration, memory
limits. Only what needs a driver or CUDA libraries is replaced: NVML answers as it does for GPUs of 16 GiB. `Nanny`,
which would start a process for each GPU, ends the start.
"""

import asyncio
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
import types
from collections.abc import Callable
from typing import Any

_ABSENT = frozenset({"pynvml", "numpy", "numba", "cuda", "cupy", "pandas", "rmm", "cudf", "ucp", "ucxx"})


class _Lenient(type):
    """Metaclass of classes that have any attribute."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Lenient(name, (_Anything,), {})


class _Anything(metaclass=_Lenient):
    """Stand-in for any object of a library that is not installed."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __call__(self, *_: object, **__: object) -> "_Anything":
        return self

    def __getattr__(self, name: str) -> "_Anything":
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class _Module(types.ModuleType):
    """Stand-in for a library that is not installed."""

    __path__: list[str] = []  # noqa: RUF012 - makes a module a package

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Lenient(name, (_Anything,), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Importer of stand-ins for the modules in `_ABSENT`."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:  # noqa: ANN401 - importlib's
        del path, target
        return importlib.machinery.ModuleSpec(name, self) if name.split(".", maxsplit=1)[0] in _ABSENT else None

    def create_module(self, spec: Any) -> types.ModuleType:  # noqa: ANN401 - importlib's
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        del module


class _ReachedError(BaseException):
    """Signal that the worker would now start its nannies."""


_NANNIES: list[object] = []


class _Nanny:
    """Counts itself; its arguments have been evaluated by then."""

    def __init__(self, *_: object, **__: object) -> None:
        _NANNIES.append(self)


def _awaited(_: object) -> None:
    """End the start where it would wait for its nannies."""
    raise _ReachedError


def _unsupported(error: type[Exception]) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def _nvml(driver: str) -> None:
    """Replace NVML by the answers that it gives for a driver.

    Args:
        driver: The number of GPUs of 16 GiB; `slice`: a MIG slice, whose GPU NVML counts, and whose memory it gives to
            privileged processes only (nvml.h, `nvmlDeviceGetMemoryInfo`); `none`: no driver.
    """
    error = type("NVMLError", (Exception,), {})
    no_driver = type("NVMLError_LibraryNotFound", (error,), {})
    no_permission = type("NVMLError_NoPermission", (error,), {})
    memory = _unsupported(no_permission) if driver == "slice" else lambda _: types.SimpleNamespace(total=16 * 2**30)
    functions: dict[str, object] = {
        "NVMLError_LibraryNotFound": no_driver,
        "NVMLError_NoPermission": no_permission,
        "nvmlInit": _unsupported(no_driver) if driver == "none" else lambda *_: None,
        "NVMLError": error,
        "NVMLError_NotSupported": type("NVMLError_NotSupported", (error,), {}),
        "nvmlDeviceGetCount": lambda: int(driver) if driver.isdecimal() else 1,
        "nvmlDeviceIsMigDeviceHandle": lambda _: False,
        "nvmlDeviceGetMigMode": lambda _: (0, 0),
        "nvmlDeviceGetCpuAffinity": _unsupported(error),
        "nvmlDeviceGetMemoryInfo": memory,
    }
    vars(importlib.import_module("pynvml")).update(functions)


def _preloads() -> None:
    """Define the modules that command lines under test preload: one with arguments and one without."""
    click = importlib.import_module("click")

    class Anything(click.Command):  # type: ignore[name-defined, misc]  # click is known at run time only
        """Command line of a preload module that accepts any arguments."""

        def parse_args(self, ctx: object, args: list[str]) -> list[str]:
            del ctx
            return args

    for name in ("clicked_preload", "plain_preload"):
        sys.modules[name] = types.ModuleType(name)
    vars(sys.modules["clicked_preload"])["dask_setup"] = Anything("dask_setup")


def _command(folder: str, driver: str) -> Any:  # noqa: ANN401 - a click command of an environment not ours
    sys.path.insert(0, folder)
    importlib.import_module(
        "distributed.cli.dask_worker"
    )  # before the stand-ins: it detects whether numpy is installed
    sys.meta_path.insert(0, _Finder())
    _nvml(driver)
    package = types.ModuleType("dask_cuda")
    package.__path__ = [f"{folder}/dask_cuda"]
    sys.modules["dask_cuda"] = package
    # Only used with jit-unspill, and needs array libraries; removed in 26.06.
    sys.modules["dask_cuda.proxify_host_file"] = _Module("dask_cuda.proxify_host_file")
    cli = importlib.import_module("dask_cuda.cli")
    worker: Any = importlib.import_module("dask_cuda.cuda_worker")
    worker.Nanny = _Nanny
    worker.CUDAWorker.__await__ = _awaited
    _preloads()
    return cli.worker if hasattr(cli, "worker") else cli.cuda.commands["worker"]


def _started(command: Any, argv: list[str], gpus: int | None) -> str:  # noqa: ANN401 - as above
    """Return the result of a start: `started`, `started N` where NVML counts the devices, or the exception."""
    # dask-cuda counts the devices once for each process, and this variable anew for each worker.
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(gpus)))
    _NANNIES.clear()
    try:
        command.main(argv, standalone_mode=False)
    except _ReachedError:
        return "started" if gpus is not None else f"started {len(_NANNIES)}"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a start raises is its result
        return f"{type(error).__name__}: {error}"
    return "ended"


def main(folder: str, driver: str) -> None:
    """Answer until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr
    os.environ["DASK_SCHEDULER_ADDRESS"] = "tcp://127.0.0.1:8786"
    command = _command(folder, driver)
    for line in sys.stdin:
        request = json.loads(line)
        asyncio.set_event_loop(asyncio.new_event_loop())
        out.write(json.dumps(_started(command, request["argv"], request["gpus"])) + "\n")
        out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Start of dask-cuda's real worker command up to its first nanny: JSON lines in and out.

Runs as a separate program, `python -I -S starter.py FOLDER`, with only the standard library and FOLDER.
The code of dask-cuda and distributed is real: click, `CUDAWorker.__init__`, GPU count, UCX configuration, memory
limits. Only code that needs a driver or CUDA libraries is replaced: NVML reports GPUs of 16 GiB. `Nanny`, which would
start a process for each GPU, ends the start.
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


class _Nanny:
    """Nanny that ends the start after its arguments were evaluated."""

    def __init__(self, *_: object, **__: object) -> None:
        raise _ReachedError


def _unsupported(error: type[Exception]) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def _nvml() -> None:
    """Replace NVML by one that reports one GPU of 16 GiB."""
    error = type("NVMLError", (Exception,), {})
    functions: dict[str, object] = {
        "NVMLError": error,
        "NVMLError_NotSupported": type("NVMLError_NotSupported", (error,), {}),
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceIsMigDeviceHandle": lambda _: False,
        "nvmlDeviceGetMigMode": lambda _: (0, 0),
        "nvmlDeviceGetCpuAffinity": _unsupported(error),
        "nvmlDeviceGetMemoryInfo": lambda _: types.SimpleNamespace(total=16 * 2**30),
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


def _command(folder: str) -> Any:  # noqa: ANN401 - a click command of another environment
    sys.path.insert(0, folder)
    importlib.import_module(
        "distributed.cli.dask_worker"
    )  # before the stand-ins: it detects whether numpy is installed
    sys.meta_path.insert(0, _Finder())
    _nvml()
    package = types.ModuleType("dask_cuda")
    package.__path__ = [f"{folder}/dask_cuda"]
    sys.modules["dask_cuda"] = package
    # Only used with jit-unspill, and needs array libraries; removed in 26.06.
    sys.modules["dask_cuda.proxify_host_file"] = _Module("dask_cuda.proxify_host_file")
    cli = importlib.import_module("dask_cuda.cli")
    worker: Any = importlib.import_module("dask_cuda.cuda_worker")
    worker.Nanny = _Nanny
    _preloads()
    return cli.worker if hasattr(cli, "worker") else cli.cuda.commands["worker"]


def _started(command: Any, argv: list[str], gpus: int) -> str:  # noqa: ANN401 - as above
    """Return `started`, or the reason why the start failed."""
    # dask-cuda counts the devices once per process, but reads this variable for each worker.
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(gpus)))
    try:
        command.main(argv, standalone_mode=False)
    except _ReachedError:
        return "started"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any exception is a result
        return f"{type(error).__name__}: {error}"
    return "ended"


def main(folder: str) -> None:
    """Respond to requests until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr
    os.environ["DASK_SCHEDULER_ADDRESS"] = "tcp://127.0.0.1:8786"
    command = _command(folder)
    for line in sys.stdin:
        request = json.loads(line)
        asyncio.set_event_loop(asyncio.new_event_loop())
        out.write(json.dumps(_started(command, request["argv"], request["gpus"])) + "\n")
        out.flush()


if __name__ == "__main__":
    main(sys.argv[1])

"""Parser of worker command lines that uses the click commands of one installed release: JSON lines in and out.

Runs as a separate program, `python -I -S parser.py FOLDER`, with only the standard library and FOLDER.
Code that needs CUDA is replaced: the package's `__init__` is skipped, and `CUDAWorker`, which is never started, is
empty. All parsing code is the package's own.
"""

import importlib
import importlib.metadata
import json
import sys
import types
from typing import Any

_CUDA = ("pynvml", "numpy", "cuda", "cuda.core")


def _module(name: str, **contents: object) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(contents)
    sys.modules[name] = module
    return module


def _commands(folder: str) -> dict[str, Any]:
    """Return the commands of both workers, by program."""
    sys.path.insert(0, folder)
    dask = importlib.import_module("distributed.cli.dask_worker").main
    # After the import of distributed, which detects whether numpy is installed.
    for name in _CUDA:
        _module(name)
    _module("dask_cuda", __path__=[f"{folder}/dask_cuda"])
    _module("dask_cuda.cuda_worker", CUDAWorker=None)
    cli = importlib.import_module("dask_cuda.cli")
    for name in _CUDA:
        del sys.modules[name]
    _preloads()
    return {"dask": dask, "dask-cuda": cli.worker if hasattr(cli, "worker") else cli.cuda.commands["worker"]}


def _preloads() -> None:
    """Define the modules that command lines under test preload: one with arguments and one without."""
    click = importlib.import_module("click")

    class Anything(click.Command):  # type: ignore[name-defined, misc]  # click is known at run time only
        """Command line of a preload module that accepts any arguments."""

        def parse_args(self, ctx: object, args: list[str]) -> list[str]:
            del ctx
            return args

    _module("clicked_preload", dask_setup=Anything("dask_setup"))
    _module("plain_preload")


def _options(command: Any) -> list[dict[str, object]]:  # noqa: ANN401 - a click command of another environment
    return [
        {"names": [*option.opts, *option.secondary_opts], "flag": option.is_flag}
        for option in command.params
        if option.param_type_name == "option"
    ]


def _parsed(command: Any, argv: list[str]) -> dict[str, object]:  # noqa: ANN401 - as above
    """Return the explicit parameters of a command line with their values."""
    click = importlib.import_module("click")
    try:
        context = command.make_context("worker", list(argv))
    except click.ClickException as error:
        return {"error": error.format_message()}
    except click.exceptions.Exit:
        return {"exit": True}
    explicit = click.core.ParameterSource.COMMANDLINE
    values = {name: value for name, value in context.params.items() if context.get_parameter_source(name) is explicit}
    names = {option.name: option.opts[0] for option in command.params if option.param_type_name == "option"}
    return {"values": {names.get(name, name): value for name, value in values.items()}}


def _scripts(folder: str) -> dict[str, list[str]]:
    """Return the entry points of dask-cuda by group."""
    points = next(iter(importlib.metadata.distributions(name="dask-cuda", path=[folder]))).entry_points
    return {group: [point.name for point in points if point.group == group] for group in points.groups}


def main(folder: str) -> None:
    """Respond to requests until the input ends."""
    out = sys.stdout
    sys.stdout = sys.stderr
    commands = _commands(folder)
    for line in sys.stdin:
        request = json.loads(line)
        if "argv" in request:
            response: object = _parsed(commands[request["program"]], request["argv"])
        else:
            response = {"options": _options(commands[request["program"]]), "scripts": _scripts(folder)}
        out.write(json.dumps(response, default=str) + "\n")
        out.flush()


if __name__ == "__main__":
    main(sys.argv[1])

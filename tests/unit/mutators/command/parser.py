"""Parses worker command lines with the real click commands of one installed environment: JSON lines in and out.

Runs as a program of its own, `python -I -S parser.py FOLDER`, on nothing but the standard library and FOLDER.
What would need CUDA is replaced: the package's `__init__` is passed by, and `CUDAWorker`, which nobody starts here,
is empty. Everything that parses is the package's own.
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
    """Both workers' commands, by the names this program knows them by."""
    sys.path.insert(0, folder)
    dask = importlib.import_module("distributed.cli.dask_worker").main
    # Only now: distributed looks whether numpy is there.
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
    """The modules that command lines under test may preload: one that takes arguments and one that does not."""
    click = importlib.import_module("click")

    class Anything(click.Command):  # type: ignore[name-defined, misc]  # click is known at run time only
        """A module's own command line: what it takes is its own business."""

        def parse_args(self, ctx: object, args: list[str]) -> list[str]:
            del ctx
            return args

    _module("clicked_preload", dask_setup=Anything("dask_setup"))
    _module("plain_preload")


def _options(command: Any) -> list[dict[str, object]]:  # noqa: ANN401 - a click command of an environment not ours
    return [
        {"names": [*option.opts, *option.secondary_opts], "flag": option.is_flag}
        for option in command.params
        if option.param_type_name == "option"
    ]


def _parsed(command: Any, argv: list[str]) -> dict[str, object]:  # noqa: ANN401 - as above
    """What the command line says: parameter to value, for those that are given."""
    click = importlib.import_module("click")
    try:
        context = command.make_context("worker", list(argv))
    except click.ClickException as error:
        return {"error": error.format_message()}
    except click.exceptions.Exit:
        return {"exit": True}
    given = click.core.ParameterSource.COMMANDLINE
    values = {name: value for name, value in context.params.items() if context.get_parameter_source(name) is given}
    names = {option.name: option.opts[0] for option in command.params if option.param_type_name == "option"}
    return {"values": {names.get(name, name): value for name, value in values.items()}}


def _scripts(folder: str) -> dict[str, list[str]]:
    """Entry points of dask-cuda, by group."""
    found = next(iter(importlib.metadata.distributions(name="dask-cuda", path=[folder]))).entry_points
    return {group: [point.name for point in found if point.group == group] for group in found.groups}


def main(folder: str) -> None:
    """Answer until the input ends."""
    out = sys.stdout
    sys.stdout = sys.stderr
    commands = _commands(folder)
    for line in sys.stdin:
        request = json.loads(line)
        if "argv" in request:
            answer: object = _parsed(commands[request["program"]], request["argv"])
        else:
            answer = {"options": _options(commands[request["program"]]), "scripts": _scripts(folder)}
        out.write(json.dumps(answer, default=str) + "\n")
        out.flush()


if __name__ == "__main__":
    main(sys.argv[1])

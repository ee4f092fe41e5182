"""Command line `dask-colocate`: each command builds its options and calls `run` of its module."""

import logging
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import App, Parameter

from webhook.cli.options import NamespaceOptions, ReviewOptions, ServeOptions, StatusOptions
from webhook.policy import ENABLED
from webhook.policy.defaults import SettingsError, parse_set_options
from webhook.policy.errors import InputError

INVALID_INPUT = 2

app = App(
    name="dask-colocate",
    version=lambda: version("dask-colocate"),
    help="Co-locate the GPU workers of Dask clusters on as few nodes as possible.",
)
# `enable` and `disable` change a cluster and therefore read no environment variables.
_ENVIRONMENT = cyclopts.config.Env("DASK_COLOCATE_", command=False)
app.command(
    "webhook.cli.certs:app",
    name="certs",
    help="""Show, check and issue the TLS certificates of the webhook.

    A running webhook renews its certificates itself. Use these commands to find out why the API server rejects a
    certificate, or to renew at once, for example after a private key was exposed.
    """,
)


def main() -> None:
    """Run the command line; invalid input exits with status 2 and one line for each error."""
    try:
        app(exit_on_error=False, print_error=True)
    except cyclopts.CycloptsError:
        sys.exit(INVALID_INPUT)
    except InputError as error:
        for line in str(error).splitlines():
            print(f"dask-colocate: {line}", file=sys.stderr)
        sys.exit(INVALID_INPUT)


@app.command(config=_ENVIRONMENT)
def serve(options: Annotated[ServeOptions | None, Parameter(name="*")] = None) -> int:
    """Run the webhook until SIGTERM or SIGINT."""
    from webhook.cli.serve import run

    return run(options or ServeOptions())


@app.command(config=_ENVIRONMENT)
def review(
    *files: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    options: Annotated[ReviewOptions | None, Parameter(name="*")] = None,
) -> int:
    """Show what the webhook would change in manifests, and why.

    With --namespace, the annotations of a namespace in a live cluster apply.

    Exit status: 0 on success, 1 if --check is set and an object would change, 2 on invalid input.

    Args:
        files: YAML or JSON files with objects, Lists or AdmissionReviews. A directory is searched recursively; `-` is
            standard input.
        options: Options.
    """
    from webhook.cli.review import run

    _disable_logging()
    names = tuple(map(str, files))
    if unknown := next((name for name in names if name.startswith("-") and name != "-"), None):
        raise SettingsError(f"unknown option {unknown}: see --help; for a file of that name use ./{unknown}")
    return run(replace(options or ReviewOptions(), files=names))


@app.command
def enable(
    namespace: str,
    /,
    *,
    annotations: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = (),
    options: Annotated[NamespaceOptions | None, Parameter(name="*")] = None,
) -> int:
    """Enable the webhook for a namespace of a live cluster.

    Sets the annotation enabled=true, after showing the effect on existing Dask objects and a confirmation prompt.

    Exit status: 0 on success, 1 if the prompt was declined, 2 on invalid input.

    Args:
        namespace: Namespace to annotate.
        annotations: Further annotation to set, such as `gpu-limit=2`; repeatable.
        options: Options.
    """
    wanted = {ENABLED: "true", **parse_set_options(annotations)}
    if wanted[ENABLED] != "true":
        raise SettingsError(f"--set enabled={wanted[ENABLED]}: use `dask-colocate disable {namespace}`")
    return _annotate(replace(options or NamespaceOptions(), namespace=namespace, annotations=wanted))


@app.command
def disable(
    namespace: str,
    /,
    *,
    options: Annotated[NamespaceOptions | None, Parameter(name="*")] = None,
) -> int:
    """Disable the webhook for a namespace of a live cluster.

    Sets the annotation enabled=false and keeps all other annotations. Objects that were mutated before stay mutated.

    Exit status: 0 on success, 1 if the prompt was declined, 2 on invalid input.

    Args:
        namespace: Namespace to annotate.
        options: Options.
    """
    return _annotate(replace(options or NamespaceOptions(), namespace=namespace, annotations={ENABLED: "false"}))


def _annotate(options: NamespaceOptions) -> int:
    from webhook.cli.namespace import run

    _disable_logging()
    return run(options)


def _disable_logging() -> None:
    logging.basicConfig(handlers=[logging.NullHandler()])  # the error message suffices, without urllib3's retries


@app.command
def completion(shell: Literal["bash", "zsh", "fish", "powershell"], /) -> None:
    """Print a shell completion script; load it with `source <(dask-colocate completion bash)`.

    Args:
        shell: Shell name.
    """
    print(app.generate_completion(shell=shell))


@app.command(config=_ENVIRONMENT)
def status(options: Annotated[StatusOptions | None, Parameter(name="*")] = None) -> int:
    """Show the state of the webhook and of Dask workers in a live cluster, with commands that fix problems.

    Exit status: 0 if no action is required, 1 if action is required, 2 if something could not be read.
    """
    from webhook.cli.status import run

    return run(options or StatusOptions())


@app.command
def demo() -> int:
    """Run the webhook on this machine and send it the Dask cluster of the RAPIDS guide."""
    from webhook.cli.demo import run

    return run()

"""The command `dask-colocate`."""

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import App, Parameter

from webhook.cli.options import NamespaceOptions, ReviewOptions, ServeOptions, StatusOptions
from webhook.policy import ENABLED
from webhook.policy.defaults import SettingsError, tried
from webhook.policy.errors import InputError

BAD_INPUT = 2

app = App(
    name="dask-colocate",
    version=lambda: version("dask-colocate"),
    help="Keeps the GPU workers of a Dask cluster together, with no change to anyone's manifests.",
)
# Of what a command takes from the environment. `enable` and `disable` do what is typed, and nothing else.
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
    """Run the command line; bad input ends with status 2 and a sentence on what to do."""
    try:
        app(exit_on_error=False, print_error=True)
    except cyclopts.CycloptsError:
        sys.exit(BAD_INPUT)
    except InputError as error:
        for line in str(error).splitlines():
            print(f"dask-colocate: {line}", file=sys.stderr)
        sys.exit(BAD_INPUT)


@app.command(config=_ENVIRONMENT)
def serve(settings: Annotated[ServeOptions | None, Parameter(name="*")] = None) -> None:
    """Answer the API server's admission reviews until told to stop."""
    from webhook.cli.wiring import assemble
    from webhook.telemetry.recorder import log_to

    settings = settings or ServeOptions()
    assembly = assemble(settings)
    log = log_to(sys.stderr, settings.log_level, assembly.recorder.line_dropped)
    assembly.start()
    try:
        with suppress(KeyboardInterrupt):
            assembly.server.run()
    finally:
        assembly.stop()
        log.stop()


@app.command(config=_ENVIRONMENT)
def review(
    *files: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    options: Annotated[ReviewOptions | None, Parameter(name="*")] = None,
) -> int:
    """Show what would be done to manifests, and why; with --namespace as a live cluster's namespace has it.

    Status 0: done; 1: with --check, something would change; 2: something given cannot be used.

    Args:
        files: YAML or JSON with any number of objects, Lists or AdmissionReviews; a directory stands for all that is
            below it, `-` for standard input.
        options: What is asked.
    """
    from webhook.cli.review import run

    _unlogged()
    names = tuple(map(str, files))
    if mistyped := next((each for each in names if each.startswith("-") and each != "-"), None):
        raise SettingsError(f"there is no option {mistyped}: see --help; a file of that name is ./{mistyped}")
    return run(names, options or ReviewOptions())


@app.command
def enable(
    namespace: str,
    /,
    *,
    annotations: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = (),
    options: Annotated[NamespaceOptions | None, Parameter(name="*")] = None,
) -> int:
    """Annotate a namespace of a live cluster, so that Dask clusters there are served.

    Shows what that changes for the clusters that live there, and asks. Status 1: the answer was no.

    Args:
        namespace: Its name.
        annotations: Another annotation to make, such as `gpu-limit=2`; can be given several times.
        options: How.
    """
    wanted = {ENABLED: "true", **tried(annotations)}
    if wanted[ENABLED] != "true":
        raise SettingsError(f"--set enabled={wanted[ENABLED]}: `dask-colocate disable {namespace}` does that")
    return _change(namespace, wanted, options)


@app.command
def disable(
    namespace: str,
    /,
    *,
    options: Annotated[NamespaceOptions | None, Parameter(name="*")] = None,
) -> int:
    """Annotate a namespace of a live cluster with enabled=false; its other annotations stay.

    What was changed in its clusters stays too. Shows what that means, and asks. Status 1: the answer was no.

    Args:
        namespace: Its name.
        options: How.
    """
    return _change(namespace, {ENABLED: "false"}, options)


def _change(namespace: str, wanted: Mapping[str, str], options: NamespaceOptions | None) -> int:
    from webhook.cli.namespace import change

    _unlogged()
    return change(namespace, wanted, options or NamespaceOptions())


def _unlogged() -> None:
    logging.basicConfig(handlers=[logging.NullHandler()])  # an error is one sentence, without its attempts


@app.command
def completion(shell: Literal["bash", "zsh", "fish", "powershell"], /) -> None:
    """Print the completion script of a shell; `source <(dask-colocate completion bash)` puts it to use.

    Args:
        shell: Which.
    """
    print(app.generate_completion(shell=shell))


@app.command(config=_ENVIRONMENT)
def status(wish: Annotated[StatusOptions | None, Parameter(name="*")] = None) -> int:
    """Show what the webhook does in a live cluster, what it missed, and the command that mends it.

    Exit status: 0 when all is in order, 1 when something needs care, 2 when something could not be read.
    """
    from webhook.cli.status import run

    return run(wish or StatusOptions())


@app.command
def demo() -> None:
    """Show the main job: the RAPIDS guide's cluster, stripped, through the webhook over HTTPS on loopback."""
    from rich.console import Console

    from webhook.cli.demo import run

    run(Console())

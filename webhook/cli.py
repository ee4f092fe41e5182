"""The command `dask-colocate`."""

import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import App, Parameter
from rich.console import Console

from webhook.settings import Settings, SettingsError, default_policy

BAD_INPUT = 2
WOULD_CHANGE = 1

app = App(
    name="dask-colocate",
    version=lambda: version("dask-colocate"),
    help="Keeps the GPU workers of a Dask cluster together, with no change to anyone's manifests.",
    config=cyclopts.config.Env("DASK_COLOCATE_", command=False),
)


def main() -> None:
    """Run the command line; bad input ends with status 2 and a sentence on what to do."""
    from webhook.manifests import ManifestError

    try:
        app(exit_on_error=False, print_error=True)
    except cyclopts.CycloptsError:
        sys.exit(BAD_INPUT)
    except (SettingsError, ManifestError) as error:
        print(f"dask-colocate: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)


@app.command
def serve(settings: Annotated[Settings | None, Parameter(name="*")] = None) -> None:
    """Answer the API server's admission reviews until told to stop."""
    from webhook.assembly import assemble
    from webhook.observe import log_to

    settings = settings or Settings()
    assembly = assemble(settings)
    log = log_to(sys.stderr, settings.log_level, assembly.recorder.line_dropped)
    assembly.start()
    try:
        with suppress(KeyboardInterrupt):
            assembly.server.run()
    finally:
        assembly.stop()
        log.stop()


@app.command
def review(
    *files: Annotated[str, Parameter(allow_leading_hyphen=True)],
    namespace_file: Path | None = None,
    output: Literal["diff", "yaml", "patch", "json"] = "diff",
    check: bool = False,
    explain: bool = False,
    defaults: str = "",
) -> int:
    """Show what would be done to manifests, and why. No cluster.

    Args:
        files: YAML or JSON with any number of objects, Lists or AdmissionReviews; `-` reads standard input.
        namespace_file: Namespaces with their annotations. Without any, every namespace is taken as enabled.
        output: `diff` with reasons, the resulting `yaml`, the JSON `patch`, or `json` with everything.
        check: Exit with status 1 when something would change.
        explain: Show every rule's decision, also of those that have nothing to do, and what there is to gain.
        defaults: The installation's policy, as for `serve`.
    """
    from webhook import manifests, report
    from webhook import review as reviewing

    given = [found for name in files or ("-",) for found in manifests.read(*_text(name))]
    namespaces = manifests.read(*_text(str(namespace_file))) if namespace_file else ()
    reviewed = reviewing.review(given, namespaces, default_policy(defaults))
    renderings = {"yaml": report.as_yaml, "patch": report.as_patch, "json": report.as_json}
    if output in renderings:
        print(renderings[output](reviewed))
    else:
        report.show_diffs(Console(), reviewed, explain=explain)
    return WOULD_CHANGE if check and reviewing.any_changed(reviewed) else 0


def _text(name: str) -> tuple[str, str]:
    """A file's text and its name for messages."""
    try:
        return (sys.stdin.read(), "<stdin>") if name == "-" else (Path(name).read_text(encoding="utf-8"), name)
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name}: not UTF-8: {error.reason} at byte {error.start}") from None


@app.command
def demo() -> None:
    """Show the main job: the RAPIDS guide's cluster, stripped, through the webhook over HTTPS on loopback."""
    from webhook.demo import run

    run(Console())

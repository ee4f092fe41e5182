"""Rule `dask-cli`: replace the scripts `dask-scheduler` and `dask-worker` by the subcommands of `dask`.

Owns: `/containers/N/command` and `/containers/N/args` of the Dask container, unless rule `command` changes them.

distributed 2026.6 removed both scripts; `dask scheduler` and `dask worker` exist since 2022.10 and take the same
options, since script and subcommand are one click command. `python -m distributed.cli.dask_scheduler` works in all
versions and stays.
"""

from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.patch import put
from webhook.policy import DaskCli, Policy
from webhook.workloads import argv
from webhook.workloads.argv import DaskCommand, Form, Program
from webhook.workloads.container import Container
from webhook.workloads.pod_templates import PodTemplate, Role

NAME = "dask-cli"
_SUBCOMMANDS = {Program.DASK: ("dask", "worker"), Program.SCHEDULER: ("dask", "scheduler")}


def dask_cli(target: PodTemplate, policy: Policy) -> Decision:
    """Replace the script of a Dask scheduler or a plain worker, as `policy.dask_cli` says."""
    rule = DecisionBuilder(NAME, target)
    if policy.dask_cli is DaskCli.KEEP:
        return rule.skipped(Reason.DASK_CLI_OFF, "dask-cli is keep")
    if target.container is None:
        return rule.without_container()
    return _decide(rule, target.container)


def _decide(rule: DecisionBuilder, container: Container) -> Decision:
    vector = argv.arguments(container.raw) or ()
    is_scheduler = rule.target.role is Role.SCHEDULER
    start = argv.find_scheduler(container.raw) if is_scheduler else argv.find_worker(container.raw)
    if start is not None:
        return _replace(rule, container, start)
    if not argv.mentions_script(vector, f"dask-{rule.target.role}"):
        return rule.kept(Reason.DASK_CLI_NO_SCRIPT, f"container {container.name} starts no script of Dask")
    word = argv.quoted(argv.unrecognized(container.raw, scheduler=is_scheduler))
    wanted = f"dask {rule.target.role}"
    detail = f"container {container.name}: {word} not understood; write {wanted!r} yourself"
    return rule.refused(Reason.DASK_CLI_UNSURE, detail)


def _replace(rule: DecisionBuilder, container: Container, start: DaskCommand) -> Decision:
    form, target = start.command_form, rule.target
    words = _SUBCOMMANDS.get(form.program)
    if form.form is not Form.SCRIPT or words is None:
        return rule.kept(Reason.DASK_CLI_NO_SCRIPT, f"container {container.name} starts no script of Dask")
    operations = (
        put(target.spec, target.pointer, ("containers", str(container.index), field), texts)
        for field, texts in start.arguments.apply_edits({form.first: words}).items()
    )
    script = start.arguments.texts[form.first]
    return rule.applied(Reason.DASK_CLI_REPLACED, f"{script!a} becomes '{' '.join(words)}'", *operations)

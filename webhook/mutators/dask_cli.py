"""Rule `dask-cli`: replace the scripts `dask-scheduler` and `dask-worker` by the subcommands of `dask`.

Owns: `/containers/N/command` and `/containers/N/args` of the Dask container, unless rule `command` changes them.

distributed 2026.6 removed both scripts. `dask scheduler` and `dask worker` exist since 2022.10 and accept the same
options, since script and subcommand are the same click command. `python -m distributed.cli.dask_scheduler` works in all
versions and is kept.
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


def dask_cli(template: PodTemplate, policy: Policy) -> Decision:
    """Replace the script of a Dask scheduler or a plain worker, unless `dask-cli` is keep."""
    rule = DecisionBuilder(NAME, template)
    if policy.dask_cli is DaskCli.KEEP:
        return rule.skipped(Reason.DASK_CLI_OFF, "dask-cli is keep")
    if template.container is None:
        return rule.without_container()
    return _decide(rule, template.container)


def _decide(rule: DecisionBuilder, container: Container) -> Decision:
    role = rule.template.role
    is_scheduler = role is Role.SCHEDULER
    start = argv.find_scheduler(container.raw) if is_scheduler else argv.find_worker(container.raw)
    if start is not None:
        return _replace(rule, container, start)
    if not argv.mentions_script(argv.arguments(container.raw) or (), f"dask-{role}"):
        return _no_script(rule, container)
    word = argv.quoted(argv.unrecognized(container.raw, scheduler=is_scheduler))
    detail = f"container {container.name}: cannot parse {word} in the command; use 'dask {role}'"
    return rule.refused(Reason.DASK_CLI_UNSURE, detail)


def _no_script(rule: DecisionBuilder, container: Container) -> Decision:
    return rule.kept(Reason.DASK_CLI_NO_SCRIPT, f"container {container.name} starts no Dask script")


def _replace(rule: DecisionBuilder, container: Container, start: DaskCommand) -> Decision:
    form, template = start.command_form, rule.template
    subcommand = _SUBCOMMANDS.get(form.program)
    if form.form is not Form.SCRIPT or subcommand is None:
        return _no_script(rule, container)
    operations = (
        put(template.spec, template.pointer, ("containers", str(container.index), field), words)
        for field, words in start.arguments.apply_edits({form.first: subcommand}).items()
    )
    detail = f"replace {start.arguments.texts[form.first]!a} by '{' '.join(subcommand)}'"
    return rule.applied(Reason.DASK_CLI_REPLACED, detail, *operations)

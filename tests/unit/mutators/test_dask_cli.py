"""The rule `dask-cli` replaces the scripts that distributed 2026.6 removed, in every form, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonpatch
import pytest

from tests.unit import objects
from tests.unit.mutators.command.cases import corpus
from webhook.mutators import plan
from webhook.mutators.decision import Decision, Outcome, Reason
from webhook.policy import resolve
from webhook.workloads.pod_templates import Role, read

if TYPE_CHECKING:
    from webhook.policy import Policy
    from webhook.workloads.unstructured import Unstructured


def _policy(**annotations: str) -> Policy:
    policy = resolve({f"colocate.dask.org/{key.replace('_', '-')}": text for key, text in annotations.items()})
    assert not policy.problems
    return policy


PLAIN = _policy(dask_cli="subcommands", worker_command="keep")


def _scheduler(container: Unstructured) -> Unstructured:
    item = objects.cluster()
    item["spec"]["scheduler"]["spec"]["containers"] = [{"name": "scheduler", **container}]
    return item


def _decided(item: Unstructured, role: Role, policy: Policy = PLAIN) -> Decision:
    subject = read(item)
    assert subject is not None
    decisions = plan(subject.targets, policy).decisions
    return next(decision for decision in decisions if decision.rule == "dask-cli" and decision.role is role)


# Commands around a script; `{}` stands for the script.
VECTORS = (
    ["{}"],
    ["/opt/conda/bin/{}", "--port", "8786"],
    ["tini", "-g", "--", "{}", "$(OPTS)"],
    ["conda", "run", "-n", "x", "{}", "--unheard-of"],
    ["uv", "run", "{}"],
    ["nsys", "profile", "-o", "/out/r", "{}"],
    ["python", "/opt/conda/bin/{}"],
    ["sh", "-c", "cd /ws || exit 1\nexec {} --port 8786 $OPTS"],
    ["bash", "-lc", "if [ -f /env ]; then . /env; fi; '{}' # start"],
)


@pytest.mark.parametrize("words", VECTORS, ids=" ".join)
@pytest.mark.parametrize("role", list(Role))
def test_a_script_becomes_a_subcommand(words: list[str], role: Role) -> None:
    """Only the name of the script changes, after wrappers and paths and inside shell scripts, and only once."""
    args = [word.format(f"dask-{role}") for word in words]
    item = _scheduler({"args": args}) if role is Role.SCHEDULER else objects.cluster(objects.spec({"args": args}))
    decision = _decided(item, role)
    assert (decision.outcome, decision.reason) == (Outcome.APPLIED, Reason.DASK_CLI_REPLACED)
    (operation,) = decision.operations
    quoted = "'" in words[-1]
    wanted = f"'dask' {role}" if quoted else f"dask {role}"
    text = "\0".join(words)
    assert "\0".join(operation.value).replace("dask\0" + role, f"dask {role}") == text.replace(
        "'{}'" if quoted else "{}", wanted
    )
    again = jsonpatch.apply_patch(item, [operation.as_json()])
    assert _decided(again, role).reason is Reason.DASK_CLI_NO_SCRIPT


@pytest.mark.parametrize("case", corpus(), ids=lambda case: case.label)
def test_at_most_one_rule_changes_the_command(case: Unstructured) -> None:
    """For every command of the corpus, `dask-cli` skips a converted worker, and deciding again changes nothing."""
    item = objects.cluster(objects.spec({"name": "worker", **case.container}))
    subject = read(item)
    assert subject is not None
    policy = _policy(**{**case.policy, "dask_cli": "subcommands"})
    decisions = {decision.rule: decision for decision in plan(subject.targets[:1], policy).decisions}
    if decisions["command"].outcome is Outcome.APPLIED:
        assert decisions["dask-cli"].reason is Reason.DASK_CLI_CONVERTED
    operations = [operation.as_json() for operation in plan(subject.targets, policy).operations]
    changed = read(jsonpatch.apply_patch(item, operations))
    assert changed is not None
    assert not plan(changed.targets, policy).operations


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["dask", "scheduler"], Reason.DASK_CLI_NO_SCRIPT),
        (["python", "-m", "distributed.cli.dask_scheduler"], Reason.DASK_CLI_NO_SCRIPT),
        (["scheduler"], Reason.DASK_CLI_NO_SCRIPT),
        (["tail", "-f", "/var/log/dask-scheduler.log"], Reason.DASK_CLI_NO_SCRIPT),
        (["sh", "-c", "dask-scheduler | tee /log"], Reason.DASK_CLI_UNSURE),
        (["launch", "dask-scheduler"], Reason.DASK_CLI_UNSURE),
        (["sh", "-c", "dask-scheduler & dask-scheduler"], Reason.DASK_CLI_UNSURE),
    ],
)
def test_other_commands_are_kept(args: list[str], reason: Reason) -> None:
    """Modules and subcommands are kept; a script that cannot be replaced safely is refused with a warning."""
    decision = _decided(_scheduler({"args": args}), Role.SCHEDULER)
    assert (decision.reason, decision.operations) == (reason, ())
    assert bool(decision.warnings) == (reason is Reason.DASK_CLI_UNSURE)


def test_a_cpu_worker_gets_the_subcommand_too() -> None:
    """The rule replaces the script of a CPU worker, which no other rule changes."""
    worker = objects.container(resources={"limits": {"nvidia.com/gpu": "0"}})
    decision = _decided(objects.cluster(objects.spec(worker)), Role.WORKER, _policy(dask_cli="subcommands"))
    assert decision.reason is Reason.DASK_CLI_REPLACED


def test_it_is_off_by_default() -> None:
    """Without the annotation no script is replaced."""
    assert _decided(objects.cluster(), Role.SCHEDULER, _policy()).reason is Reason.DASK_CLI_OFF

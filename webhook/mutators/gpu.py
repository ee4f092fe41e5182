"""Rules `gpu` and `scheduler-gpu`: a GPU limit for each Dask container whose pod requests no accelerator yet.

Own: `/containers/N/resources/limits/RESOURCE` of the Dask container.

Only the limit is written: Kubernetes copies it into the requests of an extended resource, and refuses a
request that differs. The quantity is a string: Dask's CRDs take no numbers there.
"""

from webhook.mutators.cuda_devices import count
from webhook.mutators.decision import (
    Decision,
    DecisionBuilder,
    Outcome,
    Reason,
)
from webhook.mutators.gpu_workers import (
    Classification,
    Evidence,
    Kind,
    classify,
)
from webhook.mutators.patch import Operation, put
from webhook.policy import PREFIX, Policy, WorkerCommand
from webhook.workloads import accelerators, argv
from webhook.workloads.container import Container
from webhook.workloads.pod_templates import PodTemplate
from webhook.workloads.unstructured import Unstructured, mapping, to_text

WORKER = "gpu"
SCHEDULER = "scheduler-gpu"
_KEYS = {WORKER: f"{PREFIX}gpu-limit", SCHEDULER: f"{PREFIX}scheduler-gpu"}


def gpu(target: PodTemplate, policy: Policy, worker: Classification | None = None) -> Decision:
    """Give the worker container `policy.gpu_limit` GPUs."""
    rule = DecisionBuilder(WORKER, target)
    if not policy.gpu_limit:
        return rule.skipped(Reason.GPU_LIMIT_OFF, "gpu-limit is 0")
    worker = worker or classify(target, policy)
    decision = _limit(rule, policy.gpu_limit, policy.gpu_resource, worker.elsewhere)
    return _warned(decision, target, policy, count(target, policy, worker))


def scheduler_gpu(target: PodTemplate, policy: Policy) -> Decision:
    """Give the Dask scheduler's container `policy.scheduler_gpu` GPUs; 0 adds none and takes none away."""
    rule = DecisionBuilder(SCHEDULER, target)
    if not policy.scheduler_gpu:
        return rule.skipped(Reason.GPU_LIMIT_OFF, "scheduler-gpu leaves the scheduler as written")
    return _limit(rule, policy.scheduler_gpu, policy.gpu_resource)


def _limit(rule: DecisionBuilder, count: int, resource: str, elsewhere: Evidence | None = None) -> Decision:
    container = rule.template.container
    if container is None:
        return rule.without_container()
    if any(claim.device for claim in accelerators.claims(container.raw, rule.template.spec)):
        return rule.kept(Reason.RESOURCE_CLAIM_PRESENT, f"container {container.name} uses a resource claim")
    asked = accelerators.asked(container.raw, resource)
    if not asked and elsewhere:
        shared = elsewhere.kind in {Kind.ANNOTATION, Kind.LABEL}
        return rule.kept(Reason.GPU_SHARE_PRESENT if shared else Reason.GPU_ELSEWHERE, str(elsewhere))
    if not asked:
        # The key leads a user whom a ResourceQuota refuses the GPUs to who decides on them. Controllers read no
        # warnings, and quotas count no custom resources: only who creates a pod by hand is told at once.
        warning = f"container {container.name} gets {count} {resource} ({_KEYS[rule.rule]})"
        warnings = (warning,) if rule.template.alone else ()
        detail = f"limit container {container.name} to {count} {resource} ({_KEYS[rule.rule]})"
        added = _put(rule.template, container, resource, count)
        return rule.applied(Reason.GPU_LIMIT_ADDED, detail, added, warnings=warnings)
    if resource in asked and mapping(container.raw, "resources", "limits").get(resource) is None:
        # A request alone is invalid: "Limit must be set for non overcommitable resources".
        detail = f"copy the request for {resource} of container {container.name} to its limits"
        completed = _put(rule.template, container, resource, asked[resource])
        return rule.applied(Reason.GPU_LIMIT_COMPLETED, detail, completed)
    return _standing(rule, container, asked, resource)


def _standing(rule: DecisionBuilder, container: Container, asked: dict[str, Unstructured], resource: str) -> Decision:
    reason = Reason.GPU_PRESENT if resource in asked else Reason.OTHER_DEVICE_PRESENT
    listed = ", ".join(f"{name}={to_text(quantity)}" for name, quantity in asked.items())
    detail = f"container {container.name} asks for {listed} itself"
    return rule.kept(reason, detail)


def _warned(decision: Decision, target: PodTemplate, policy: Policy, count: int) -> Decision:
    """Add a warning where several GPUs make several Dask workers in one pod, none of them with the pod's name.

    dask-cuda names them `NAME-0`, `NAME-1`; dask-kubernetes 2023.7 - 2026.3 scales down by deleting the Deployment
    of a worker's name, gets 404 and retries.
    """
    container = target.container
    if container is None or decision.outcome is Outcome.SKIPPED or count <= 1 or not _runs_cuda(container, policy):
        return decision
    line = f"{count} GPUs make {count} Dask workers in one pod: the operator cannot scale them down by name"
    return decision._replace(warnings=(*decision.warnings, line))


def _runs_cuda(container: Container, policy: Policy) -> bool:
    """Whether the container may start dask-cuda: all but a plain worker that the namespace leaves so."""
    start = argv.find_worker(container.raw)
    plain = start is not None and start.command_form.program is argv.Program.DASK
    return not plain or policy.worker_command is not WorkerCommand.KEEP


def _put(target: PodTemplate, container: Container, resource: str, quantity: Unstructured) -> Operation:
    tokens = ("containers", str(container.index), "resources", "limits", resource)
    return put(target.spec, target.pointer, tokens, str(quantity))

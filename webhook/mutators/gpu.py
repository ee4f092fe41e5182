"""Rules `gpu` and `scheduler-gpu`: a GPU limit for the Dask container of a pod that requests no accelerator.

Own: `/containers/N/resources/limits/RESOURCE` of the Dask container.

The rules add the limit only: Kubernetes copies the limit of an extended resource into its requests, and rejects a
request that differs. The quantity is a string, since Dask's CRDs accept no number.
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
    """Add a limit of `policy.gpu_limit` GPUs to the worker container."""
    rule = DecisionBuilder(WORKER, target)
    if not policy.gpu_limit:
        return rule.skipped(Reason.GPU_LIMIT_OFF, "gpu-limit is 0")
    worker = worker or classify(target, policy)
    decision = _limit(rule, policy.gpu_limit, policy.gpu_resource, worker.elsewhere)
    return _warned(decision, target, policy, count(target, policy, worker))


def scheduler_gpu(target: PodTemplate, policy: Policy) -> Decision:
    """Add a limit of `policy.scheduler_gpu` GPUs to the Dask scheduler's container; 0 changes nothing."""
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
        # The annotation's key helps a user whose pod a ResourceQuota rejects. Only a user who creates a pod gets a
        # warning: controllers read none, and quotas do not count custom resources.
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
    """Add a warning where several GPUs make several Dask workers in one pod, without the name of the pod.

    dask-cuda names the workers `NAME-0`, `NAME-1`. dask-kubernetes 2023.7 - 2026.3 scales down by deleting the
    Deployment with a worker's name, gets 404 and retries.
    """
    container = target.container
    if container is None or decision.outcome is Outcome.SKIPPED or count <= 1 or not _runs_cuda(container, policy):
        return decision
    line = f"{count} GPUs make {count} Dask workers in one pod: the operator cannot scale them down by name"
    return decision._replace(warnings=(*decision.warnings, line))


def _runs_cuda(container: Container, policy: Policy) -> bool:
    """Return whether the container may start dask-cuda: any but a plain worker whose command is kept."""
    start = argv.find_worker(container.raw)
    plain = start is not None and start.command_form.program is argv.Program.DASK
    return not plain or policy.worker_command is not WorkerCommand.KEEP


def _put(target: PodTemplate, container: Container, resource: str, quantity: Unstructured) -> Operation:
    tokens = ("containers", str(container.index), "resources", "limits", resource)
    return put(target.spec, target.pointer, tokens, str(quantity))

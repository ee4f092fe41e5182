"""Rule `command`: convert a `dask worker` to the dask-cuda worker.

Owns: `/containers/N/command` and `/containers/N/args` of the Dask container. It replaces a whole list, and only one
that is set. A missing `command` is never added: it would bypass the image's entrypoint, which activates
RAPIDS' conda environment.
"""

from webhook.mutators.command.arguments import UnreadableError
from webhook.mutators.command.convert import Conversion, convert
from webhook.mutators.command.image import Image
from webhook.mutators.command.needed import NeededOptionError
from webhook.mutators.cuda_devices import Found, count, found, sees_all
from webhook.mutators.decision import (
    Decision,
    DecisionBuilder,
    Reason,
    told,
)
from webhook.mutators.gpu_workers import Classification, classify, lacks_dask_cuda
from webhook.mutators.patch import put
from webhook.policy import Policy, WorkerCommand
from webhook.workloads import argv
from webhook.workloads.argv import DaskCommand, Form, Program, quoted
from webhook.workloads.container import Container
from webhook.workloads.pod_templates import PodTemplate

NAME = "command"
_MODULE_STAYS = "; python -m stays whatever worker-command says, and the image needs that module"
_NOT_CONVERTED = "command not converted to dask-cuda"

__all__ = ["NAME", "command"]


def command(target: PodTemplate, policy: Policy, worker: Classification | None = None) -> Decision:
    """Convert the worker's command to `policy.worker_command`, its options to those that dask-cuda takes."""
    rule = DecisionBuilder(NAME, target)
    if policy.worker_command is WorkerCommand.KEEP:
        return rule.skipped(Reason.COMMAND_OFF, "worker-command is keep")
    if target.container is None:
        return rule.without_container()
    worker = worker or classify(target, policy)
    decision = _without_cuda(rule, target.container, policy, worker) or _decide(
        rule, target.container, policy, count(target, policy, worker)
    )
    return _warned(decision, target, policy, worker)


def _without_cuda(
    rule: DecisionBuilder, container: Container, policy: Policy, worker: Classification
) -> Decision | None:
    """Keep the command of a worker that dask-cuda cannot start in; None where it can, or runs already."""
    start = argv.find_worker(container.raw)
    if start is not None and start.command_form.program is Program.DASK_CUDA:
        return None
    what = found(rule.target, policy, worker)
    image = lacks_dask_cuda(rule.target)
    if image:
        reason, detail = Reason.IMAGE_WITHOUT_DASK_CUDA, f"image {image} has no dask-cuda"
    elif what in _KEEPS:
        reason, detail = _KEEPS[what]
    else:
        return None
    line = f"container {container.name} keeps its command: {detail}"
    warned = start is not None and reason in {Reason.IMAGE_WITHOUT_DASK_CUDA, Reason.MIG_SLICE}
    return rule.kept(reason, line, *((line,) if warned else ()))


# What dask-cuda finds where it cannot start, or may not.
_KEEPS = {
    Found.ZERO: (Reason.NO_GPU_WANTED, "it asks for 0 GPUs"),
    Found.MIG: (Reason.MIG_SLICE, "dask-cuda fails on a MIG slice, dask worker runs there"),
    Found.NONE: (Reason.NO_CUDA_DEVICE, "it has no GPU"),
    Found.OTHER_VENDOR: (Reason.NOT_A_CUDA_DEVICE, "dask-cuda cannot use its accelerator"),
    Found.UNKNOWN: (Reason.NOT_A_CUDA_DEVICE, "its accelerator is not known to be one of NVIDIA's"),
}


def _warned(decision: Decision, target: PodTemplate, policy: Policy, worker: Classification) -> Decision:
    """Add a warning where dask-cuda starts more workers than the limit says."""
    runs = decision.reason in {Reason.COMMAND_CONVERTED, Reason.COMMAND_CUDA_ALREADY}
    if target.container is None or not runs or not sees_all(target, worker, limited=policy.gpu_limit > 0):
        return decision
    name = target.container.name
    line = f"container {name} sees all GPUs of its node: dask-cuda starts one worker for each"
    return decision._replace(warnings=(*decision.warnings, told(line)))


def _decide(rule: DecisionBuilder, container: Container, policy: Policy, gpus: int) -> Decision:
    vector = argv.arguments(container.raw)
    if vector is None:
        return rule.refused(
            Reason.MALFORMED, f"container {container.name}: command and args must be strings, 512 and 32 KiB at most"
        )
    if not vector:
        return rule.kept(Reason.COMMAND_FROM_IMAGE, f"container {container.name} runs its image's command")
    start = argv.find_worker(container.raw)
    if start is None:
        return _unrecognised(rule, container, vector)
    if start.command_form.program is Program.DASK_CUDA:
        return rule.kept(Reason.COMMAND_CUDA_ALREADY, f"container {container.name} starts dask-cuda already")
    return _convert(rule, container, start, Image(policy.dask_cuda_version, gpus), policy.worker_command)


def _unrecognised(rule: DecisionBuilder, container: Container, vector: tuple[argv.Argument, ...]) -> Decision:
    mentioned = argv.mentioned_worker(vector)
    if not mentioned:
        return rule.kept(Reason.COMMAND_OF_USER, f"container {container.name} starts no dask worker")
    word = quoted(argv.unrecognized(container.raw) or mentioned)
    reason = Reason.COMMAND_SHELL_UNSURE if argv.uses_shell(vector) else Reason.COMMAND_UNSURE
    return rule.refused(reason, f"container {container.name}: {word} not understood; write dask-cuda-worker yourself")


def _convert(
    rule: DecisionBuilder, container: Container, start: DaskCommand, image: Image, wanted: WorkerCommand
) -> Decision:
    try:
        conversion = convert(start, wanted, image)
    except UnreadableError as error:
        return rule.refused(Reason.COMMAND_OPTION_UNSURE, f"{_NOT_CONVERTED}: {error}")
    except NeededOptionError as error:
        return _refused(rule, error)
    if conversion is None:
        return rule.kept(Reason.COMMAND_OF_USER, f"container {container.name} only prints something")
    return _applied(rule, container, start, conversion)


def _refused(rule: DecisionBuilder, error: NeededOptionError) -> Decision:
    lines = [f"{_NOT_CONVERTED}: {line}" for line in error.lines]
    reason = Reason.COMMAND_NOT_IN_VERSION if error.by_version else Reason.COMMAND_OPTION_NEEDED
    return rule.refused(reason, lines[0])._replace(warnings=tuple(map(told, lines)))


def _applied(rule: DecisionBuilder, container: Container, start: DaskCommand, conversion: Conversion) -> Decision:
    spelling, target = start.command_form, rule.target
    old = " ".join(start.arguments.texts[spelling.first : spelling.first + spelling.length])
    operations = (
        put(target.spec, target.pointer, ("containers", str(container.index), field), texts)
        for field, texts in start.arguments.apply_edits(conversion.edits).items()
    )
    module = start.command_form.form is Form.MODULE
    return rule.applied(
        Reason.COMMAND_CONVERTED,
        f"{old!a} becomes '{conversion.spelling}'{_MODULE_STAYS if module else ''}",
        *operations,
        warnings=conversion.warnings,
    )

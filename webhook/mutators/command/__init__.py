"""Rule `command`: convert the arguments of `dask worker` to those of dask-cuda's worker.

Owns: `/containers/N/command` and `/containers/N/args` of the Dask container. It replaces whole lists, and only lists
that are set. It adds no `command`, since that would bypass the image's entrypoint, which activates the conda
environment of RAPIDS.
"""

from webhook.mutators.command.arguments import UnreadableError
from webhook.mutators.command.convert import Conversion, convert
from webhook.mutators.command.image import Image
from webhook.mutators.command.needed import NeededOptionError
from webhook.mutators.cuda_devices import Found, count, found, sees_all
from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.gpu_workers import Classification, classify, lacks_dask_cuda
from webhook.mutators.patch import put
from webhook.policy import Policy, WorkerCommand
from webhook.workloads import argv
from webhook.workloads.argv import DaskCommand, Form, Program, quoted
from webhook.workloads.container import Container
from webhook.workloads.pod_templates import PodTemplate

NAME = "command"
_MODULE_KEPT = "; python -m is kept, and the image must contain the module"
_NOT_CONVERTED = "command not converted"

__all__ = ["NAME", "command"]


def command(template: PodTemplate, policy: Policy, worker: Classification | None = None) -> Decision:
    """Convert the worker's command to the one in `worker-command`, and its options to those of dask-cuda."""
    rule = DecisionBuilder(NAME, template)
    if policy.worker_command is WorkerCommand.KEEP:
        return rule.skipped(Reason.COMMAND_OFF, "worker-command is keep")
    if template.container is None:
        return rule.without_container()
    worker = worker or classify(template, policy)
    decision = _without_cuda(rule, template.container, policy, worker) or _decide(
        rule, template.container, policy, count(template, policy, worker)
    )
    return _warned(decision, template, policy, worker)


def _without_cuda(
    rule: DecisionBuilder, container: Container, policy: Policy, worker: Classification
) -> Decision | None:
    """Return the decision for a container in which dask-cuda cannot start; None if it can, or already starts."""
    start = argv.find_worker(container.raw)
    if start is not None and start.command_form.program is Program.DASK_CUDA:
        return None
    devices = found(rule.template, policy, worker)
    image = lacks_dask_cuda(rule.template)
    if image:
        reason, detail = Reason.IMAGE_WITHOUT_DASK_CUDA, f"image {image} has no dask-cuda"
    elif devices in _WITHOUT_CUDA:
        reason, detail = _WITHOUT_CUDA[devices]
    else:
        return None
    line = f"container {container.name}: {_NOT_CONVERTED}, {detail}"
    warns = start is not None and reason in {Reason.IMAGE_WITHOUT_DASK_CUDA, Reason.MIG_SLICE}
    return rule.kept(reason, line, *((line,) if warns else ()))


_WITHOUT_CUDA = {
    Found.ZERO: (Reason.NO_GPU_WANTED, "the worker requests 0 GPUs"),
    Found.MIG: (Reason.MIG_SLICE, "dask-cuda fails on a MIG slice"),
    Found.NONE: (Reason.NO_CUDA_DEVICE, "the worker requests no GPU"),
    Found.OTHER_VENDOR: (Reason.NOT_A_CUDA_DEVICE, "dask-cuda does not support its accelerator"),
    Found.UNKNOWN: (Reason.NOT_A_CUDA_DEVICE, "its accelerator is not a known NVIDIA device"),
}


def _warned(decision: Decision, template: PodTemplate, policy: Policy, worker: Classification) -> Decision:
    """Add a warning if dask-cuda starts more workers than the GPU limit."""
    runs = decision.reason in {Reason.COMMAND_CONVERTED, Reason.COMMAND_CUDA_ALREADY}
    if template.container is None or not runs or not sees_all(template, worker, limited=policy.gpu_limit > 0):
        return decision
    line = f"container {template.container.name} sees all GPUs of its node: dask-cuda starts one worker per GPU"
    return decision._replace(warnings=(*decision.warnings, line))


def _decide(rule: DecisionBuilder, container: Container, policy: Policy, gpus: int) -> Decision:
    vector = argv.arguments(container.raw)
    if vector is None:
        detail = f"container {container.name}: command and args must be at most 512 strings and 32 KiB"
        return rule.refused(Reason.MALFORMED, detail)
    if not vector:
        return rule.kept(Reason.COMMAND_FROM_IMAGE, f"container {container.name} runs the command of its image")
    start = argv.find_worker(container.raw)
    if start is None:
        return _unparsed(rule, container, vector)
    if start.command_form.program is Program.DASK_CUDA:
        return rule.kept(Reason.COMMAND_CUDA_ALREADY, f"container {container.name} already starts dask-cuda")
    return _convert(rule, container, start, Image(policy.dask_cuda_version, gpus), policy.worker_command)


def _unparsed(rule: DecisionBuilder, container: Container, vector: tuple[argv.Argument, ...]) -> Decision:
    mentioned = argv.mentioned_worker(vector)
    if not mentioned:
        return rule.kept(Reason.COMMAND_OF_USER, f"container {container.name} starts no Dask worker")
    word = quoted(argv.unrecognized(container.raw) or mentioned)
    reason = Reason.COMMAND_SHELL_UNSURE if argv.uses_shell(vector) else Reason.COMMAND_UNSURE
    detail = f"container {container.name}: cannot parse {word} in the command; use dask-cuda-worker"
    return rule.refused(reason, detail)


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
        return rule.kept(Reason.COMMAND_OF_USER, f"container {container.name} only prints help or a version")
    return _applied(rule, container, start, conversion)


def _refused(rule: DecisionBuilder, error: NeededOptionError) -> Decision:
    lines = [f"{_NOT_CONVERTED}: {line}" for line in error.lines]
    reason = Reason.COMMAND_NOT_IN_VERSION if error.by_version else Reason.COMMAND_OPTION_NEEDED
    return rule.refused(reason, lines[0])._replace(warnings=tuple(lines))


def _applied(rule: DecisionBuilder, container: Container, start: DaskCommand, conversion: Conversion) -> Decision:
    form, template = start.command_form, rule.template
    old = " ".join(start.arguments.texts[form.first : form.first + form.length])
    operations = (
        put(template.spec, template.pointer, ("containers", str(container.index), field), words)
        for field, words in start.arguments.apply_edits(conversion.edits).items()
    )
    detail = f"convert {old!a} to '{conversion.command}'{_MODULE_KEPT if form.form is Form.MODULE else ''}"
    return rule.applied(Reason.COMMAND_CONVERTED, detail, *operations, warnings=conversion.warnings)

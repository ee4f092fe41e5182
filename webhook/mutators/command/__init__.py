"""Rule `command`: a `dask worker` becomes the dask-cuda worker.

Owns: `/containers/N/command` and `/containers/N/args` of the Dask container; it replaces a list whole, and only
one that is there. A missing `command` is never added: it would bypass the image's entrypoint, which activates
RAPIDS' conda environment.
"""

from webhook.mutators.command.arguments import UnreadableError
from webhook.mutators.command.convert import (
    Conversion,
    Image,
    UnspellableError,
    convert,
)
from webhook.mutators.decision import Decision, DecisionBuilder, Reason
from webhook.mutators.patch import put
from webhook.policy import Policy, WorkerCommand
from webhook.workloads import accelerators, argv
from webhook.workloads.argv import Program, Start
from webhook.workloads.pod_templates import Container, PodTemplate

NAME = "command"

__all__ = ["NAME", "command"]


def command(target: PodTemplate, policy: Policy) -> Decision:
    """Convert the worker's command to `policy.worker_command`, its options to those that dask-cuda takes."""
    rule = DecisionBuilder(NAME, target)
    if policy.worker_command is WorkerCommand.KEEP:
        return rule.skipped(Reason.COMMAND_OFF, "worker-command is keep")
    if target.container is None:
        return rule.skipped(Reason.NO_CONTAINER, "the pod spec has no container")
    return _without_cuda(rule, target.container, policy) or _decide(rule, target.container, policy)


def _without_cuda(rule: DecisionBuilder, container: Container, policy: Policy) -> Decision | None:
    """A worker whose writer asked for no GPU, or for one without CUDA, stays a plain one."""
    asked = accelerators.asked(container.raw, policy.gpu_resource)
    wanted = {name: quantity for name, quantity in asked.items() if not accelerators.none_wanted(quantity)}
    if asked and not wanted:
        return rule.kept(Reason.NO_GPU_WANTED, f"container {container.name} asks for 0 GPUs")
    if wanted and not any(accelerators.cuda(name, policy.gpu_resource) for name in wanted):
        return rule.kept(Reason.NOT_A_CUDA_DEVICE, f"dask-cuda cannot use {', '.join(wanted)}")
    return None


def _decide(rule: DecisionBuilder, container: Container, policy: Policy) -> Decision:
    vector = argv.words(container.raw)
    if vector is None:
        return rule.refused(
            Reason.MALFORMED, f"container {container.name}: command and args must be strings, 512 and 32 KiB at most"
        )
    if not vector:
        return rule.kept(Reason.COMMAND_FROM_IMAGE, f"container {container.name} runs its image's command")
    start = argv.start(container.raw)
    if start is None:
        return _unrecognised(rule, container, vector)
    if start.spelling.program is Program.DASK_CUDA:
        return rule.kept(Reason.COMMAND_CUDA_ALREADY, f"container {container.name} starts dask-cuda already")
    return _convert(rule, container, start, policy)


def _unrecognised(rule: DecisionBuilder, container: Container, vector: tuple[argv.Word, ...]) -> Decision:
    if not argv.mentioned(vector):
        return rule.kept(Reason.COMMAND_OF_USER, f"container {container.name} starts no dask worker")
    if argv.uses_shell(vector):
        detail = f"container {container.name}: shell text not understood; write dask-cuda-worker there yourself"
        return rule.refused(Reason.COMMAND_SHELL_UNSURE, detail)
    detail = f"container {container.name}: command not understood; write dask-cuda-worker there yourself"
    return rule.refused(Reason.COMMAND_UNSURE, detail)


def _convert(rule: DecisionBuilder, container: Container, start: Start, policy: Policy) -> Decision:
    image = Image(
        policy.dask_cuda_version, accelerators.cuda_count(container.raw, policy.gpu_resource) or policy.gpu_limit
    )
    try:
        conversion = convert(start, policy.worker_command, image)
    except UnreadableError as error:
        return rule.refused(Reason.COMMAND_OPTION_UNSURE, f"command not converted to dask-cuda: {error}")
    except UnspellableError as error:
        return rule.refused(Reason.COMMAND_NOT_IN_VERSION, f"command not converted to dask-cuda: {error}")
    if conversion is None:
        return rule.kept(Reason.COMMAND_OF_USER, f"container {container.name} only prints something")
    return _applied(rule, container, start, conversion)


def _applied(rule: DecisionBuilder, container: Container, start: Start, conversion: Conversion) -> Decision:
    spelling, target = start.spelling, rule.target
    old = " ".join(start.line.texts[spelling.first : spelling.first + spelling.length])
    operations = (
        put(target.spec, target.pointer, ("containers", str(container.index), field), texts)
        for field, texts in start.line.rewritten(conversion.edits).items()
    )
    return rule.applied(
        Reason.COMMAND_CONVERTED,
        f"{old!a} becomes '{conversion.spelling}'",
        *operations,
        warnings=conversion.warnings,
    )

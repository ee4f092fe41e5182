"""Rule `command`: convert a `dask worker` to the dask-cuda worker.

Owns: `/containers/N/command` and `/containers/N/args` of the Dask container. It replaces a whole list, and only one
that is set. A missing `command` is never added: it would bypass the image's entrypoint, which activates
RAPIDS' conda environment.
"""

from webhook.mutators.command.arguments import UnreadableError
from webhook.mutators.command.convert import Conversion, convert
from webhook.mutators.command.image import Image
from webhook.mutators.command.needed import NeededOptionError
from webhook.mutators.decision import (
    Decision,
    DecisionBuilder,
    Reason,
    told,
)
from webhook.mutators.patch import put
from webhook.policy import Policy, WorkerCommand
from webhook.workloads import accelerators, argv
from webhook.workloads.argv import (
    Form,
    Program,
    Start,
    shown,
)
from webhook.workloads.container import Container
from webhook.workloads.pod_templates import PodTemplate

NAME = "command"
_MODULE_STAYS = "; python -m stays whatever worker-command says, and the image needs that module"
_NOT_CONVERTED = "command not converted to dask-cuda"

__all__ = ["NAME", "command"]


def command(target: PodTemplate, policy: Policy) -> Decision:
    """Convert the worker's command to `policy.worker_command`, its options to those that dask-cuda takes."""
    rule = DecisionBuilder(NAME, target)
    if policy.worker_command is WorkerCommand.KEEP:
        return rule.skipped(Reason.COMMAND_OFF, "worker-command is keep")
    if target.container is None:
        return rule.without_container()
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
    mentioned = argv.mentioned(vector)
    if not mentioned:
        return rule.kept(Reason.COMMAND_OF_USER, f"container {container.name} starts no dask worker")
    word = shown(argv.unread(container.raw) or mentioned)
    reason = Reason.COMMAND_SHELL_UNSURE if argv.uses_shell(vector) else Reason.COMMAND_UNSURE
    return rule.refused(reason, f"container {container.name}: {word} not understood; write dask-cuda-worker yourself")


def _convert(rule: DecisionBuilder, container: Container, start: Start, policy: Policy) -> Decision:
    image = Image(
        policy.dask_cuda_version, accelerators.cuda_count(container.raw, policy.gpu_resource) or policy.gpu_limit
    )
    try:
        conversion = convert(start, policy.worker_command, image)
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


def _applied(rule: DecisionBuilder, container: Container, start: Start, conversion: Conversion) -> Decision:
    spelling, target = start.spelling, rule.target
    old = " ".join(start.line.texts[spelling.first : spelling.first + spelling.length])
    operations = (
        put(target.spec, target.pointer, ("containers", str(container.index), field), texts)
        for field, texts in start.line.rewritten(conversion.edits).items()
    )
    module = start.spelling.form is Form.MODULE
    return rule.applied(
        Reason.COMMAND_CONVERTED,
        f"{old!a} becomes '{conversion.spelling}'{_MODULE_STAYS if module else ''}",
        *operations,
        warnings=conversion.warnings,
    )

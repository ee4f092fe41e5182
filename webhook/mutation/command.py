"""Rule `command`: a `dask worker` becomes the dask-cuda worker.

Owns: `/containers/N/command` and `/containers/N/args` of the Dask container; it replaces a list whole, and only
one that is there. A missing `command` is never added: it would bypass the image's entrypoint, which activates
RAPIDS' conda environment.
"""

from webhook import commandline, devices
from webhook.commandline import Program, Start, Word
from webhook.dask import Container, Target
from webhook.mutation.model import Decision, Reason, Ruling
from webhook.mutation.patch import Operation, put
from webhook.policy import Policy, WorkerCommand

NAME = "command"


def command(target: Target, policy: Policy) -> Decision:
    """Convert the worker's command to `policy.worker_command`, its options as they are."""
    rule = Ruling(NAME, target)
    if policy.worker_command is WorkerCommand.KEEP:
        return rule.skipped(Reason.COMMAND_OFF, "worker-command is keep")
    if target.container is None:
        return rule.skipped(Reason.NO_CONTAINER, "the pod spec has no container")
    return _without_cuda(rule, target.container, policy) or _convert(rule, target.container, policy)


def _without_cuda(rule: Ruling, container: Container, policy: Policy) -> Decision | None:
    """A worker whose writer asked for no GPU, or for one without CUDA, stays a plain one."""
    asked = devices.asked(container.raw, policy.gpu_resource)
    wanted = {name: quantity for name, quantity in asked.items() if not devices.none_wanted(quantity)}
    if asked and not wanted:
        return rule.kept(Reason.NO_GPU_WANTED, f"container {container.name} asks for 0 GPUs")
    if wanted and not any(devices.cuda(name, policy.gpu_resource) for name in wanted):
        return rule.kept(Reason.NOT_A_CUDA_DEVICE, f"dask-cuda cannot use {', '.join(wanted)}")
    return None


def _convert(rule: Ruling, container: Container, policy: Policy) -> Decision:
    vector = commandline.words(container.raw)
    if vector is None:
        return rule.refused(Reason.MALFORMED, f"container {container.name}: command and args must be strings")
    if not vector:
        return rule.kept(Reason.COMMAND_FROM_IMAGE, f"container {container.name} runs its image's command")
    start = commandline.start(vector)
    if start is None and commandline.mentioned(vector):
        return rule.refused(
            Reason.COMMAND_UNSURE,
            f"container {container.name}: its command is too involved to convert; write dask-cuda-worker there",
        )
    if start is None:
        return rule.kept(Reason.COMMAND_OF_USER, f"container {container.name} starts no dask worker")
    if start.program is Program.DASK_CUDA:
        return rule.kept(Reason.COMMAND_CUDA_ALREADY, f"container {container.name} starts dask-cuda already")
    return _applied(rule, container, start, policy.worker_command)


def _applied(rule: Ruling, container: Container, start: Start, wanted: WorkerCommand) -> Decision:
    spelling = " ".join(word.text for word in start.words)
    operations = _operations(rule.target, container, start, wanted)
    return rule.applied(Reason.COMMAND_CONVERTED, f"{spelling!a} becomes '{wanted}'", *operations)


def _operations(target: Target, container: Container, start: Start, wanted: WorkerCommand) -> tuple[Operation, ...]:
    """One `replace` for each list that holds a word of the old spelling; the new one goes to its first word."""
    first = start.words[0]
    fresh = tuple(Word(first.field, first.index, text) for text in _spelling(start, wanted))
    return tuple(
        put(
            target.spec,
            target.pointer,
            ("containers", str(container.index), field),
            [word.text for word in fresh if word.field == field] + _rest(container, start, field),
        )
        for field in dict.fromkeys(word.field for word in start.words)
    )


def _rest(container: Container, start: Start, field: str) -> list[str]:
    used = {word.index for word in start.words if word.field == field}
    return [text for index, text in enumerate(container.raw[field]) if index not in used]


def _spelling(start: Start, wanted: WorkerCommand) -> tuple[str, ...]:
    """The new words; an absolute path stays one, since the tools of one environment lie side by side."""
    directory, slash, _ = start.words[0].text.rpartition("/")
    head, *rest = (wanted.value,) if wanted is WorkerCommand.SCRIPT else wanted.value.split()
    return f"{directory}{slash}{head}", *rest

"""Policy defaults of an installation and annotations tried on the command line: `enabled=true; apart=5`."""

from collections.abc import Iterable, Mapping

from webhook.policy import PREFIX, Policy, resolve, validation_errors
from webhook.policy.errors import InputError


class SettingsError(InputError):
    """A setting cannot be used; the message says which, why, and what to write instead."""


def parse_assignments(text: str) -> Mapping[str, str]:
    """`enabled=true; apart=5` as annotations of a Namespace, prefix and all.

    Raises:
        SettingsError: An item has no `=`.
    """
    return dict(map(_assignment, filter(None, map(str.strip, text.split(";")))))


def _assignment(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise SettingsError(f"{item!r}: expected KEY=VALUE, such as gpu-limit=1")
    return f"{PREFIX}{name.strip().removeprefix(PREFIX)}", value.strip()


def parse_set_options(items: Iterable[str]) -> Mapping[str, str]:
    """The annotations of `--set key=value`, each checked.

    Raises:
        SettingsError: A line for each that cannot be used, with key, value and what is accepted.
    """
    found = dict(map(_assignment, items))
    if wrong := validation_errors(found):
        raise SettingsError("\n".join(f"--set {each}" for each in wrong))
    return found


def default_policy(text: str) -> Policy:
    """The installation's policy. Unlike a namespace's annotations, a mistake here stops the start.

    Raises:
        SettingsError: Naming every problem.
    """
    policy = resolve(parse_assignments(text))
    if policy.problems:
        raise SettingsError("--defaults: " + "; ".join(problem.text for problem in policy.problems))
    return policy

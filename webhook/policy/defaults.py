"""Parsers of annotations on the command line: `--defaults "enabled=true; apart=5"` and `--set apart=5`."""

from collections.abc import Iterable, Mapping

from webhook.policy import PREFIX, Policy, resolve, validation_errors
from webhook.policy.errors import InputError


class SettingsError(InputError):
    """Error for an invalid option: the message says which option, why, and what to write instead."""


def parse_assignments(text: str) -> Mapping[str, str]:
    """Parse `enabled=true; apart=5` to annotations of a Namespace, prefix included.

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
    """Parse and validate the values of `--set key=value`.

    Raises:
        SettingsError: One line for each invalid item: key, value and accepted values.
    """
    annotations = dict(map(_assignment, items))
    if errors := validation_errors(annotations):
        raise SettingsError("\n".join(f"--set {error}" for error in errors))
    return annotations


def default_policy(text: str) -> Policy:
    """Parse the policy defaults of the installation.

    Raises:
        SettingsError: All problems: unlike a namespace's annotations, invalid defaults prevent the start.
    """
    policy = resolve(parse_assignments(text))
    if policy.problems:
        raise SettingsError("--defaults: " + "; ".join(problem.text for problem in policy.problems))
    return policy

"""Rule `capacity-hint`: prefer the hosts where the whole cluster fits.

Owns nothing yet: no installation of this version knows the free capacity, and the rule says so.
"""

from webhook.dask import Target
from webhook.mutation.model import Decision, Reason, Ruling
from webhook.policy import Policy

NAME = "capacity-hint"


def capacity_hint(target: Target, policy: Policy) -> Decision:
    """Without a snapshot of capacity there is no hint, and nothing else changes."""
    rule = Ruling(NAME, target)
    if not policy.capacity_hint:
        return rule.skipped(Reason.CAPACITY_HINT_OFF, "capacity-hint is off")
    return rule.skipped(Reason.CAPACITY_UNKNOWN, "this installation does not watch capacity")

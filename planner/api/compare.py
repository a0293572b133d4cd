"""``planner.compare``: schemes × devices × models as one table."""

from __future__ import annotations

from planner.planning.question.verbs import CompareInput, verb
from planner.planning.what_if.compare import compare_plans
from planner.planning.what_if.compared import Compared


@verb(CompareInput)
def compare(given: CompareInput) -> Compared:
    """Models on devices side by side: recommendation, published checkpoint, every uniform scheme.

    Each row is on its own best engine, layout, batch and cache (of 8 bits and more, unless ``kv``
    names one). Limits on time hold for all rows; a limit on loss holds for the recommended plan
    alone, as the loss of the others is what is compared. What does not run is a row with its
    reason.

    Args:
        model, device: one or several, as :func:`planner.plan` takes them.
        price: USD a device-hour, of all devices or by device; else the scenario's or the profile's.

    Raises:
        InputError: an unknown name, a number out of range, or no pair of model and device that can
            be asked at all.
    """
    return compare_plans(given)

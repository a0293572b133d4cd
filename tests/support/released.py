"""What a release quantises, as a short table to compare with."""

from planner.models.spec import ModelSpec


def released_plan(spec: ModelSpec) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    """(module kind, layers, scheme) of everything the release quantises, in row order.

    A kind appears once for each scheme that some of its tensors have; layers are ascending, empty
    for modules outside the stack. What is not listed is stored in a plain type.
    """
    layers: dict[tuple[str, str], set[int]] = {}
    for row in spec.rows:
        if row.scheme is not None:
            layers.setdefault((row.kind, row.scheme), set()).update(row.layers)
    return tuple((kind, tuple(sorted(found)), name) for (kind, name), found in layers.items())

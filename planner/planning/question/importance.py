"""Importance matrices in a question: what they open, and what a plan says of the one it rests on.

llama-quantize writes some types with an importance matrix only, and the others better with one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from planner.base.errors import InputError, UnsupportedError
from planner.formats.ggml_types import needs_imatrix
from planner.messages.message import Message, Note, message
from planner.models.spec import ModelSpec
from planner.planning.plan.record import Plan

if TYPE_CHECKING:
    from planner.models.imatrix import ImportanceMatrix
    from planner.quality.profile import Profile

KEY = "importance matrix"
"""The assumption that names the file, for what is exported and for what reads the plan."""


def importance_note(
    spec: ModelSpec, given: Plan | None, profile: Profile | None, matrix: ImportanceMatrix | None
) -> tuple[Note, ...]:
    """What the question says of the matrix that its ggml types are written with; () without one.

    It is the one that was named, else that of the profile, else that of the plan being priced.

    Raises:
        DataError: it is of another model.
        InputError: the profile was made with another, or without one.
    """
    used = profile.settings.get("imatrix") if profile is not None else None
    if matrix is not None:
        from planner.models.imatrix import check_imatrix

        missing = check_imatrix(matrix, spec)
        if profile is not None and (used is None or used["sha256"] != matrix.sha256):
            raise InputError(
                f"imatrix {matrix.path!r} and this profile exclude each other: the "
                "profile was made " + ("without one" if used is None else f"with {used['file']}"),
                hint="plan profile CHECKPOINT --imatrix FILE, or leave one out",
            )
        return (Note(KEY, matrix.path, _summary(len(matrix.entries), missing, matrix.sha256)),)
    if used is not None:
        return (
            Note(
                KEY,
                str(used["file"]),
                _summary(used["entries"], used["without"], str(used["sha256"])),
            ),
        )
    old = () if given is None else given.assumptions
    return tuple(Note(a.key, a.value, a.reason) for a in old if a.key == KEY)


def _summary(entries: int, missing: int, sha256: str) -> Message:
    """What is in the matrix, and that the tool that writes files is given it."""
    digest = sha256[:16]
    if not missing:
        return message("assumptions.importance_entries", entries=entries, digest=digest)
    return message(
        "assumptions.importance_entries_but_some", entries=entries, missing=missing, digest=digest
    )


def without_importance(spec: ModelSpec, names: Iterable[str], weighed: bool) -> dict[str, str]:
    """{scheme: reason} of the ggml types among ``names`` that llama-quantize writes with an
    importance matrix only, where none is there (``weighed``) and the model is released in none of
    them."""
    own = {row.scheme for row in spec.rows}
    return {
        name: "llama-quantize writes it with an importance matrix only, and none is given"
        for name in names
        if not weighed and needs_imatrix(name) and name not in own
    }


def require_importance(spec: ModelSpec, names: Iterable[str], weighed: bool) -> None:
    """Raise UnsupportedError where a scheme that was named is one of
    :func:`without_importance`."""
    for name, why in without_importance(spec, sorted(names), weighed).items():
        raise UnsupportedError(
            message("engines.scheme_x_y", x=f"{name!r}", y=why),
            hint="--imatrix FILE, or the --profile that `plan profile "
            "CHECKPOINT --imatrix FILE` writes; llama-imatrix makes one",
        )

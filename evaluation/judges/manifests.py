"""Manifests of answers and what their schemas said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluation.judges.cases import Files

MANIFEST = (".yaml", ".yml")
NO_MANIFEST = ("values.yaml",)
"""Values of a chart, which have no schema."""


@dataclass(frozen=True)
class ManifestVerdict:
    """A file: objects in it, those of extensions (``unjudged``), why one is refused."""

    id: str
    target: str
    judge: str
    objects: int
    unjudged: int
    refused: str


def given(files: Sequence[Files]) -> Iterator[dict[str, str]]:
    """What the schemas' side is given."""
    for one in files:
        for name, text in one.files.items():
            if name.endswith(MANIFEST) and not name.endswith(NO_MANIFEST):
                yield {"id": f"{one.id}.{name}", "target": one.target, "text": text}

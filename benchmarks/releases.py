"""Published GGUF files of bundled models, and whether the known releases stand in their lists.

    python -m benchmarks.releases DIR

DIR holds two lists of what public text names: ``gguf_files.csv`` (base_model, repo, quant,
size_bytes, source, file, project_model, name_how) and ``releases.csv`` (release_repo and others).
``planner/planning/data/gguf_files.csv`` is written: files whose repository was seen by its full
name, of a bundled model, from ggml.org, the model's maker, unsloth, bartowski or LM Studio; not
those whose repository names another size than the model that a list puts them under. Then
every release of ``checkpoints.csv`` that was taken from the list has to stand in it: exit 1 with
those that do not.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from planner.models.catalog import catalog
from planner.planning.engines.published import read_published
from planner.planning.engines.rules import DATA

COLUMNS = ("model", "of", "repository", "quant", "file", "size_bytes", "source", "seen")
PUBLISHERS = ("unsloth", "bartowski", "lmstudio-community")
"""After ggml.org and the makers, in the order of preference."""
LISTED = "2026-11-30"
"""The day of the lists: releases seen from then on were taken from them."""
_TUNED = {"base", "pt", "instruct", "it", "chat", "hf", "meta"}
_MLX = "MLX"
_SIZE = re.compile(r"(?<![A-Za-z0-9.])E?\d+(?:\.\d+)?B(?![A-Za-z0-9])", re.IGNORECASE)


def gguf_rows(listed: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Rows of ``planner/planning/data/gguf_files.csv``, in the order of preference."""
    known = catalog()
    kept = [
        row
        for row in listed
        if row["project_model"] in known
        and _MLX not in row["quant"]
        and public_source(row["source"])
        and row["name_how"].startswith("verbatim")
        and _rank(row) <= len(PUBLISHERS)
        and of_that_size(row["base_model"], row["repo"])
    ]
    return [
        {
            "model": row["project_model"],
            "of": row["base_model"],
            "repository": row["repo"],
            "quant": row["quant"],
            "file": row["file"],
            "size_bytes": row["size_bytes"],
            "source": public_source(row["source"]),
            "seen": LISTED,
        }
        for row in sorted(kept, key=_preference)
    ]


def of_that_size(base: str, repository: str) -> bool:
    """Whether a repository's name has no size (``9B``, ``E2B``) but those of the model's."""
    first, second = ({word.lower() for word in _SIZE.findall(name)} for name in (base, repository))
    return not first or second <= first


def not_listed(repositories: Iterable[str], releases: Iterable[Mapping[str, str]]) -> list[str]:
    """Those of ``repositories`` that no row of ``releases`` names."""
    return sorted(set(repositories) - {row["release_repo"] for row in releases})


def public_source(text: str) -> str:
    """The first source of a list's row that has an address, ``github.com/OWNER/NAME PATH``; ""
    where none has one."""
    full = re.sub(r"\bgithub (?=\w)", "github.com/", text).replace("https://", "")
    places = [place for place in full.split(" ; also ") if "." in place.split()[0]]
    return "".join(places[:1]).replace(" ; name:", ";")


def _preference(row: Mapping[str, str]) -> tuple[str, bool, int, int, str, str]:
    model = row["project_model"]
    variant = _plain_name(row["base_model"]) != _plain_name(catalog()[model].public_name)
    return model, variant, _rank(row), len(row["repo"]), row["repo"], row["quant"]


def _rank(row: Mapping[str, str]) -> int:
    """0 for ggml.org and the model's maker, then the place in PUBLISHERS, one more for others."""
    owner = row["repo"].partition("/")[0]
    maker = catalog()[row["project_model"]].public_name.partition("/")[0]
    if owner in ("ggml-org", maker):
        return 0
    return 1 + (PUBLISHERS.index(owner) if owner in PUBLISHERS else len(PUBLISHERS))


def _plain_name(repository: str) -> tuple[str, ...]:
    """The words of a model's name without those of its base or tuned release."""
    words = repository.rpartition("/")[2].lower().split("-")
    return tuple(word for word in words if word not in _TUNED)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main(folder: Path) -> int:
    """Write the files' table and check the releases' names; the exit status."""
    with (DATA / "gguf_files.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(gguf_rows(_read(folder / "gguf_files.csv")))
    taken = [r.repository for r in read_published(DATA / "checkpoints.csv") if r.seen >= LISTED]
    absent = not_listed(taken, _read(folder / "releases.csv"))
    print(f"{len(taken)} releases taken from the list, {len(absent)} not in it", *absent, sep="\n")
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

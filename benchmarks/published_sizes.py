"""The catalogue of published files: how many, and how near counted sizes are to stated ones.

    python -m benchmarks.published_sizes

Sizes are counted by llama-quantize's mixtures, with or without prediction layers, and by MLX's
groups. Against sizes that are stated to
the byte the error is shown by container; a file that a header was taken from is left out, and so
are files after quantisation-aware training, which their makers mix by hand. Sizes that are stated
to 0.1 GiB are told from others where files have 10 GiB and more: there the step is 0.5 %.
"""

from __future__ import annotations

import csv
from collections import Counter
from statistics import median

from planner.base.units import GIB
from planner.lookup import load_model
from planner.planning.engines.repositories import GGUF, repositories, repository_named
from planner.planning.engines.rules import DATA
from planner.planning.files.catalogue import PublishedFile, files_of, size_counts
from planner.planning.files.sizes import gguf_bytes

NEAR = 0.005
LARGE_GIB = 10.0


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table that ships."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def errors_of_exact() -> dict[str, list[tuple[str, float]]]:
    """Container → (file, counted / stated − 1) of sizes that are stated to the byte."""
    used = {row["file"].lower() for row in rows("gguf_headers.csv")}
    errors: dict[str, list[tuple[str, float]]] = {}
    for row in rows("published_bytes.csv"):
        repository = repository_named(row["repository"])
        place = f"{row['repository']}:{row['quant']}"
        if repository is None or not repository.model or place.lower() in used or "qat" in place:
            continue
        spec = load_model(repository.model)
        ratios = [
            counted / int(row["bytes"]) - 1
            for counted in size_counts(repository.container, spec, row["quant"])
        ]
        if ratios:
            nearest = min(ratios, key=abs)
            errors.setdefault(repository.container, []).append((place, nearest))
    return errors


def verdicts_of_rounded(files: list[PublishedFile]) -> Counter[bool]:
    """How many files of 10 GiB and more are counted to what is stated to 0.1 GiB, and how many
    not; of mixtures whose rules are known."""
    verdicts: Counter[bool] = Counter()
    for file in files:
        if file.container == GGUF and file.bytes and file.bytes >= LARGE_GIB * GIB:
            counted = gguf_bytes(load_model(file.model), file.quant)
            if counted is not None and file.basis != "stated":
                verdicts[file.basis == "computed"] += 1
    return verdicts


def main() -> None:
    """Print the figures."""
    every = repositories()
    models = list(dict.fromkeys(row.model for row in every if row.model))
    others = {row.of for row in every if not row.model}
    files = [file for model in models for file in files_of(model, load_model(model))]
    basis = Counter(file.basis or "not stated" for file in files)
    print(f"models: {len(models)} bundled, {len(others)} others by name")
    print(f"repositories: {len(every)}; files: {sum(len(row.files) for row in every)}")
    print("of bundled models, by how the size is known:", dict(basis))
    for container, errors in errors_of_exact().items():
        shares = [abs(error) for _, error in errors]
        near = sum(share <= NEAR for share in shares)
        print(f"{container}: {near} of {len(shares)} within 0.5 %, median {median(shares):.3%}")
        for place, error in sorted(errors, key=lambda item: -abs(item[1]))[:8]:
            if abs(error) > NEAR:
                print(f"  {place} {error:+.2%}")
    verdicts = verdicts_of_rounded(files)
    print(f"stated to 0.1 GiB, 10 GiB and more: {verdicts[True]} of {verdicts.total()} the same")


if __name__ == "__main__":
    main()

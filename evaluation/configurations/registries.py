"""``python -m evaluation.configurations.registries``: what becomes of every class that the newest
read versions of vLLM and SGLang have in their registries, counted, with the reasons."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass

from planner.memory.engines.versions import known_versions
from planner.models.architectures import (
    REFUSED,
    WHY,
    ArchitectureVerdict,
    verdicts,
)
from planner.planning.engines.rules import DATA

ENGINES = ("vllm", "sglang")
LABELS = {"vllm": "vLLM", "sglang": "SGLang"}
PLANNED, COUNTED = "planned", "counted"
VERDICTS = (PLANNED, COUNTED, REFUSED)


@dataclass(frozen=True, slots=True)
class RegistryCount:
    """``version`` is the newest whose registry was read; ``classes`` are all it has."""

    engine: str
    version: str
    classes: tuple[str, ...]

    def of(self, verdict: str) -> list[ArchitectureVerdict]:
        """The classes with ``verdict``."""
        known = verdicts()
        return [known[name] for name in self.classes if known[name].verdict == verdict]


def classes(engine: str) -> tuple[str, ...]:
    """The classes of ``engine``'s registry in the newest version that was read."""
    with (DATA / "engine_models.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            row["architecture"]
            for row in csv.DictReader(file)
            if row["engine"] == engine and row["since"] and not row["until"]
        )


def registries() -> tuple[RegistryCount, ...]:
    """Both registries."""
    return tuple(
        RegistryCount(
            engine,
            [k for k in known_versions(engine) if "registry" in k.read][-1].text,
            classes(engine),
        )
        for engine in ENGINES
    )


def table(found: tuple[RegistryCount, ...]) -> list[str]:
    """The counts as a table of Markdown."""
    lines = ["| registry | classes | planned | counted | refused by name |",
             "|---|---:|---:|---:|---:|"]  # fmt: skip
    for one in found:
        counts = " | ".join(str(len(one.of(verdict))) for verdict in VERDICTS)
        lines.append(f"| {LABELS[one.engine]} {one.version} | {len(one.classes)} | {counts} |")
    return lines


def reasons(found: tuple[RegistryCount, ...]) -> list[str]:
    """Why classes are refused: the reason, and how many of each registry."""
    lines = ["| refused because | " + " | ".join(LABELS[one.engine] for one in found) + " |",
             "|---|" + "---:|" * len(found)]  # fmt: skip
    counts = [Counter(verdict.why for verdict in one.of(REFUSED)) for one in found]
    for why in sorted(set().union(*counts), key=lambda why: -sum(c[why] for c in counts)):
        lines.append(f"| {WHY[why]} | " + " | ".join(str(c[why]) for c in counts) + " |")
    return lines


def main() -> None:
    """Print the counts, the reasons and every class."""
    found = registries()
    print(*table(found), "", *reasons(found), "", sep="\n")
    for one in found:
        for name in one.classes:
            verdict = verdicts()[name]
            print(one.engine, name, verdict.verdict, " ".join(verdict.types) or verdict.why)


if __name__ == "__main__":
    main()

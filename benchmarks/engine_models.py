"""Which models engines serve, by version: the table beside registries of wheels, and its page.

``python benchmarks/engine_models.py WHEEL…`` reads the registry of each wheel of vLLM and SGLang
(no wheel is installed or run) and compares it with ``planner/planning/data/engine_models.csv``;
``--write FILE`` writes the page of counts, ``--table`` adds a version that is newer than all of the
table's. Ends with 1 where a registry and the table differ.
"""

from __future__ import annotations

import argparse
import ast
import csv
import sys
import zipfile
from collections import Counter
from pathlib import Path

from evaluation.pages import moved, publish
from planner.base.versions import Version, version_of
from planner.memory.engines.catalog import engine_at, parse_engine
from planner.memory.engines.versions import READ, default_known, known_versions
from planner.models.catalog import model_ids, resolve_model
from planner.models.spec import ModelSpec
from planner.planning.engines.model_classes import READ_WHOLE, model_bar, oldest_read

TABLE = Path(__file__).resolve().parents[1] / "planner/planning/data/engine_models.csv"
KEYS = ("engine", "architecture", "since", "absent", "until", "source")
ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp")
WRONG_BEFORE = (
    ("glm-5", "sglang@0.5.8"),
    ("glm-4.6", "tensorrt-llm@1.0"),
    ("qwen3-next-80b-a3b", "tensorrt-llm@1.0"),
    ("minimax-m2.5", "tensorrt-llm@1.0"),
)
"""Models that an earlier table of rules let a version serve that has no class for them."""
Row = dict[str, str]


def classes_of(wheel: Path) -> dict[str, str]:
    """Where each class of a wheel's registry is named: class → file and line."""
    with zipfile.ZipFile(wheel) as archive:
        if wheel.name.startswith("vllm-"):
            name = "vllm/model_executor/models/registry.py"
            return _vllm(name, archive.read(name).decode())
        models = "sglang/srt/models/"
        return {
            cls: f"{name}:{line} EntryClass"
            for name in sorted(archive.namelist())
            if name.startswith(models) and name.endswith(".py")
            for cls, line in _entry_classes(archive.read(name).decode("utf-8-sig"))
        }


def _vllm(name: str, text: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        target: ast.expr = node.targets[0] if isinstance(node, ast.Assign) else node.target
        value = node.value
        if (
            isinstance(target, ast.Name)
            and target.id.endswith("_MODELS")
            and not target.id.startswith(("_PREVIOUSLY", "_OOT"))
            and isinstance(value, ast.Dict)
        ):
            for key in value.keys:
                if isinstance(key, ast.Constant):
                    out.setdefault(str(key.value), f"{name}:{key.lineno} {target.id}")
    return out


def _entry_classes(text: str) -> list[tuple[str, int]]:
    out = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "EntryClass" for t in node.targets
        ):
            items = (
                node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
            )
            out += [(item.id, node.lineno) for item in items if isinstance(item, ast.Name)]
    return out


def rows_of(engine: str, rows: list[Row]) -> list[Row]:
    """The rows of an engine."""
    return [row for row in rows if row["engine"] == engine]


def holds(row: Row, version: Version) -> bool:
    """Whether the table has the class at a version that was read."""
    return (
        bool(row["since"])
        and version_of(row["since"]) <= version
        and (not row["until"] or version < version_of(row["until"]))
    )


def added(engine: str, version: str, classes: dict[str, str], rows: list[Row]) -> list[Row]:
    """The table with a version that is newer than all it has."""
    newest = max(
        (version_of(row[key]) for row in rows_of(engine, rows) for key in ("since", "until")
         if row[key]),
        default=version_of(""),
    )  # fmt: skip
    if version_of(version) <= newest:
        raise SystemExit(f"{engine} {version} is not newer than {newest}")
    open_rows = {row["architecture"]: row for row in rows_of(engine, rows) if not row["until"]}
    last = max(k.text for k in known_versions(engine) if "registry" in k.read)
    for name, row in open_rows.items():
        if name not in classes:
            row["until"] = version
    new = [
        dict(zip(KEYS, (engine, name, version, last, "", where), strict=True))
        for name, where in classes.items()
        if name not in open_rows
    ]
    return [*rows, *new]


def compared(wheel: Path, rows: list[Row]) -> tuple[str, str, int, list[str], list[str]]:
    """(engine, version, classes read, those that the table lacks, those that it has too many)."""
    engine, version = wheel.name.split("-")[:2]
    read = classes_of(wheel)
    known = {r["architecture"] for r in rows_of(engine, rows) if holds(r, version_of(version))}
    return engine, version, len(read), sorted(set(read) - known), sorted(known - set(read))


def counts(engine: str, specs: list[ModelSpec]) -> Counter[str]:
    """Pairs of a bundled model and a known version: served, refused, unknown, not read (a version
    before the oldest whose registry was read, which has the class)."""
    out: Counter[str] = Counter()
    for known in known_versions(engine):
        server = engine_at(engine, known.version)
        for spec in specs:
            bar = model_bar(server, spec)
            early = bar is None and known.version < oldest_read(engine)
            out["not read" if early else "served" if bar is None else bar.status] += 1
    return out


def page(checked: list[tuple[str, str, int, list[str], list[str]]]) -> str:
    """The page, in Markdown."""
    specs = [resolve_model(name) for name in model_ids()]
    lines = [
        "# Engines by version",
        "",
        "Which versions of an engine are known, and which bundled models each serves by its "
        "registry, defaults and kernels, read from its wheels. The default is the newest stable "
        "version that was read. TensorRT-LLM's wheel could not be opened: support matrices and "
        "release notes stand for its registry, and a class that they do not name is *unknown* and "
        "not served. Made by `python benchmarks/engine_models.py WHEEL… --write "
        "docs/evidence/engine-versions.md`.",
        "",
        "## Versions",
        "",
        "| engine | known | oldest | " + " | ".join(READ) + " | default |",
        "|---|---:|---|" + "---:|" * len(READ) + "---|",
    ]
    for engine in ENGINES:
        known = known_versions(engine)
        read = [sum(key in k.read for k in known) for key in READ]
        cells = " | ".join(map(str, read))
        oldest, default = known[0].text or "builds", default_known(engine).text or "a build"
        lines.append(f"| {engine} | {len(known)} | {oldest} | {cells} | {default} |")
    lines += [
        "",
        "## Bundled models",
        "",
        f"Pairs of a known version and one of {len(specs)} models "
        f"({len({s.architecture for s in specs})} classes). *Not read* are versions before the "
        "oldest whose registry was read, which has the class.",
        "",
        "| engine | pairs | served | refused | unknown | not read | served by the default |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for engine in ENGINES:
        found = counts(engine, specs)
        server = parse_engine(engine)
        able = sum(model_bar(server, spec) is None for spec in specs)
        total = sum(found.values())
        lines.append(
            f"| {engine} | {total:,} | {found['served']:,} | {found['refused']:,} | "
            f"{found['unknown']:,} | {found['not read']:,} | {able} of {len(specs)} |"
        )
    lacking = ["| default version | classes that it lacks |", "|---|---|"]
    for engine in ENGINES:
        server = parse_engine(engine)
        states: dict[str, set[str]] = {}
        for spec in specs:
            bar = model_bar(server, spec)
            if bar is not None:
                states.setdefault(bar.status, set()).add(spec.architecture)
        said = "; ".join(f"{state}: {', '.join(sorted(n))}" for state, n in sorted(states.items()))
        lacking.append(f"| {server.label} | {said or 'none'} |")
    before = ["| model | engine | now |", "|---|---|---|"]
    for model, engine in WRONG_BEFORE:
        bar = model_bar(parse_engine(engine), resolve_model(model))
        before.append(f"| {model} | {engine} | {bar.note if bar is not None else 'served'} |")
    wheels = [
        "| wheel | classes | absent from the table | only in the table |",
        "|---|---:|---:|---:|",
    ]
    wheels += [
        f"| {engine} {version} | {number} | {len(lacks)} | {len(extra)} |"
        for engine, version, number, lacks, extra in checked
    ]
    lines += [
        "",
        moved("engine-versions-lacking", "Classes that a default version lacks", lacking),
        moved("engine-versions-before", "Pairs that earlier rules let pass", before),
        moved("engine-versions-wheels", "Registries of wheels beside the table", wheels),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheels", nargs="*", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if options.table:
        for wheel in options.wheels:
            engine, version = wheel.name.split("-")[:2]
            rows = added(engine, version, classes_of(wheel), rows)
        order = {name: i for i, name in enumerate((*READ_WHOLE, "tensorrt-llm"))}
        rows.sort(key=lambda r: (order[r["engine"]], r["architecture"], version_of(r["since"])))
        with TABLE.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, KEYS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    checked = [compared(wheel, rows) for wheel in options.wheels]
    for engine, version, number, lacks, extra in checked:
        print(f"{engine} {version}: {number} classes; absent {lacks}; too many {extra}")
    if options.write is not None:
        publish(options.write, page(checked))
    return int(any(lacks or extra for *_, lacks, extra in checked))


if __name__ == "__main__":
    sys.exit(main())

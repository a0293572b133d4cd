"""What models' and engines' own guides deploy, as one table for the planner.

``python -m benchmarks.practice DIR`` reads ``guides.csv``, ``configs.csv`` and ``generators.csv``
in DIR (rows of published guides, configurations and menus, each with its source) and
``benchmarks/practice_more.csv`` (rows of the table itself), writes
``planner/planning/data/published_practice.csv`` and prints which rows it left out, and why. Nothing
is measured or fitted here.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.practice_flags import flags_of
from benchmarks.practice_layouts import DisagreeError, Ranks, Row, paired, pools_of, ranks_of
from benchmarks.practice_names import (
    ENGINES,
    cache_of,
    devices_of,
    draft_of,
    models_of,
    weights_of,
)
from planner.models.catalog import model_ids, resolve_model
from planner.models.inventory import Inventory
from planner.planning.practice.recipes import COLUMNS, KINDS, TABLE

MORE = Path(__file__).parent / "practice_more.csv"
LARGE = 7e9
"""Parameters above which a model is missed when nobody deploys it."""
_SIDES = re.compile(r"\bdisaggregated (prefill|decode)\b|\bpd=(prefill|decode)\b")
_PURPOSES = (
    ("long context", ("long context", "long-context", "long_context")),
    ("throughput", ("throughput",)),
    ("latency", ("latency",)),
    ("agentic", ("agentic",)),
)
_SAME = (
    "model", "device", "devices", "engine", "tp", "pp", "dp", "ep", "workers", "prefill", "layout",
    "weights", "kv", "speculation", "isl", "osl",
)  # fmt: skip
"""What two rows of one deployment have in common."""


class Rows:
    """Rows of the table, and how many of the input were left out for which reason."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.left_out: Counter[str] = Counter()

    def read(self, name: str, rows: Sequence[Row]) -> None:
        """The rows of one file; a row of decode workers has the first prefill workers that the same
        place names for the device."""
        prefills: dict[tuple[str, ...], Row] = {}
        for row in rows:
            if _side(row) == "prefill":
                for key in _pool_keys(row):
                    prefills.setdefault(key, row)
        used: set[int] = set()
        for row in rows:
            side = _side(row)
            prefill = next((prefills[k] for k in _pool_keys(row) if k in prefills), None)
            if side == "decode" and prefill is not None:
                used.add(id(prefill))
                self._add(name, {**row, "device": row["device"] or prefill["device"]}, prefill)
            elif side == "decode":
                self.left_out["decode workers whose prefill workers are not stated"] += 1
            elif not side:
                self._add(name, row, None)
        self.left_out["prefill workers beside those that are in a row"] += sum(
            _side(row) == "prefill" and id(row) not in used for row in rows
        )

    def _add(self, name: str, row: Row, prefill: Row | None) -> None:
        reason = self._reason(name, row, prefill)
        if reason:
            self.left_out[reason] += 1

    def _reason(self, name: str, row: Row, prefill: Row | None) -> str:
        """Adds the rows of the table that a row makes; why there are none, or ""."""
        engine = re.sub(r" \((?:dynamo|llm-d)\)", "", row["engine"]).replace("mlx-lm", "mlx")
        if engine not in ENGINES:
            return f"no engine of ours ({row['engine'] or 'none named'})"
        checkpoint = re.sub(r"\s*\(.*", "", row["model_repo"])
        checkpoint = checkpoint if "/" in checkpoint else ""
        models = models_of(row["base_model"], checkpoint)
        if not models:
            return "no bundled model"
        if engine == "llama.cpp" and not row["device"]:
            return "llama.cpp without a device"
        devices, foreign = devices_of(row["device"], row["source"])
        if not devices:
            return "no bundled device"
        self.left_out["one of several devices is not bundled"] += foreign
        try:
            ranks = _ranks(row, prefill, models[0])
        except DisagreeError as problem:
            return str(problem)
        for model in models:
            for device in devices:
                self.rows.append(_row(name, row, engine, model, device, checkpoint, ranks))
        return ""


def _ranks(row: Row, prefill: Row | None, model: str) -> Ranks:
    if prefill is not None:
        return paired(prefill, row, model)
    split = any("P:" in row[key] for key in ("tp", "dp", "ep", "attention_dp", "devices"))
    return pools_of(row, model) if split else ranks_of(row, model)


def _row(
    name: str, row: Row, engine: str, model: str, device: str, checkpoint: str, ranks: Ranks
) -> Row:
    lowest, highest = _range(row.get("concurrency", ""))
    layout = ranks.layout
    deprecated = "deprecated" if "deprecated config" in row["purpose"] else ""
    return {
        "model": model, "checkpoint": checkpoint, "device": device, "engine": engine,
        "version": _version(row["engine_version"]), "devices": str(ranks.devices),
        "nodes": row["nodes"] if row["nodes"].isdigit() else "",
        "tp": str(layout.tp), "pp": str(layout.pp), "dp": str(layout.dp), "ep": str(layout.ep),
        "attention_dp": ranks.attention_dp, "workers": str(ranks.workers),
        "prefill": ranks.prefill, "layout": ranks.kind,
        "weights": weights_of(model, checkpoint, row["weight_format"], device),
        "kv": cache_of(row["kv_dtype"]), "speculation": draft_of(row["speculation"], model),
        "flags": flags_of(row, engine), "isl": _tokens(row.get("isl", "")),
        "osl": _tokens(row.get("osl", "")), "concurrency_low": lowest,
        "concurrency_high": highest, "purpose": _purpose(row, ranks),
        "kind": _kind(name, row), "source": _source(row["source"]), "date": row["date"],
        "deprecated": deprecated,
    }  # fmt: skip


def _side(row: Row) -> str:
    """``prefill`` or ``decode`` where a row is one side of two pools; "" where it has both."""
    match = _SIDES.search(row["purpose"])
    both = "P:" in row["tp"] + row["dp"] + row["ep"]
    return "" if match is None or both else next(filter(None, match.groups()))


def _pool_keys(row: Row) -> Iterable[tuple[str, ...]]:
    """What both sides of a deployment have in common: with the device, and where a side names none,
    without."""
    repository, _, path = row["source"].partition(" ")
    path = path.split(" (")[0]
    pages = (".md", ".mdx", ".jsx", "pd-disaggregation")
    place = path if path.endswith(pages) else path.rpartition("/")[0]
    numbers = re.search(r"\d+P\d+D", row["purpose"])
    key = (
        row["model_repo"], row["engine"], repository.split("@")[0], place,
        numbers.group() if numbers else "",
    )  # fmt: skip
    yield (*key, row["device"])
    if not row["device"] or _side(row) == "prefill":
        yield key


def _kind(name: str, row: Row) -> str:
    if name != "configs":
        return {"guide command": "guide", "guide config": "config"}.get(
            row.get("kind", ""), "generator"
        )
    first = row["purpose"].split(",")[0].split(":")[0]
    return {"sweep": "sweep", "cookbook": "config"}.get(first.split(" ")[0], "guide")


def _purpose(row: Row, ranks: Ranks) -> str:
    if ranks.kind == "pools":
        return "disaggregated"
    text = row["purpose"].lower()
    return next((name for name, signs in _PURPOSES if any(s in text for s in signs)), "default")


def _version(text: str) -> str:
    """The version of an engine as written: the tag of an image, without its registry."""
    text = text.split("@")[0].strip()
    return text.rpartition(":")[2] if ":" in text else text.removeprefix("sglang ")


def _source(text: str) -> str:
    return re.sub(r"\s*\((?:main|recipe [^)]*not found)\)", "", text).strip()


def _range(text: str) -> tuple[str, str]:
    """The lowest and the highest of ``4-64 (x2)`` or ``[1,2,4]``."""
    numbers = [int(n) for n in re.findall(r"\d+", re.sub(r"\(x\d+\)", "", text))]
    return (str(min(numbers)), str(max(numbers))) if numbers else ("", "")


def _tokens(text: str) -> str:
    match = re.fullmatch(r"(\d+)([Kk]?)", text)
    return str(int(match.group(1)) * (1024 if match.group(2) else 1)) if match else ""


def merged(rows: Iterable[Row], left_out: Counter[str]) -> list[Row]:
    """One row a deployment: that of the strongest kind, newest first, with every load on it."""
    best: dict[tuple[str, ...], Row] = {}
    order = sorted(rows, key=lambda r: r["date"], reverse=True)
    for row in sorted(order, key=lambda r: KINDS.index(r["kind"])):
        key = tuple(row[name] for name in _SAME)
        kept = best.setdefault(key, row)
        if kept is row:
            continue
        left_out["the same deployment"] += 1
        for name, pick in (("concurrency_low", min), ("concurrency_high", max)):
            loads = [int(r[name]) for r in (kept, row) if r[name]]
            kept[name] = str(pick(loads)) if loads else ""
        if row["purpose"] not in kept["purpose"].split(" / ") and row["purpose"] != "default":
            kept["purpose"] = f"{kept['purpose']} / {row['purpose']}"
        for name in ("version", "flags", "checkpoint", "nodes"):
            kept[name] = kept[name] or row[name]
        kept["deprecated"] = kept["deprecated"] and row["deprecated"]
    return list(best.values())


def current(rows: Sequence[Row], left_out: Counter[str]) -> list[Row]:
    """Without rows that their source calls deprecated, where another one stands for the same model,
    device, engine and format."""
    names = ("model", "device", "engine", "weights")
    alive = {tuple(r[n] for n in names) for r in rows if not r["deprecated"]}
    kept = [r for r in rows if not r["deprecated"] or tuple(r[n] for n in names) not in alive]
    left_out["deprecated in its source, with a current one beside it"] += len(rows) - len(kept)
    return kept


def table_of(folder: Path) -> tuple[list[Row], Counter[str]]:
    """The rows of the table in order, and what was left out by reason."""
    made = Rows()
    for name in ("guides", "configs"):
        made.read(name, _csv(folder / f"{name}.csv"))
    for row in _csv(MORE):
        weights = weights_of(row["model"], row["checkpoint"], row["weights"], row["device"])
        made.rows.append({**row, "weights": weights, "deprecated": ""})
    served = {row["model"] for row in made.rows}
    menus = Rows()
    menus.read("generators", _csv(folder / "generators.csv"))
    made.rows += [row for row in menus.rows if row["model"] not in served]
    made.left_out["menus of a model with other rows, or of none"] += sum(
        menus.left_out.values()
    ) + sum(row["model"] in served for row in menus.rows)
    rows = current(merged(made.rows, made.left_out), made.left_out)
    place = {model: i for i, model in enumerate(model_ids())}
    rows.sort(key=lambda r: (place[r["model"]], KINDS.index(r["kind"]), *(r[n] for n in COLUMNS)))
    return rows, +made.left_out


def text_of(rows: Sequence[Row]) -> str:
    """The file of the table."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _csv(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> int:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    rows, left_out = table_of(Path(sys.argv[1]))
    TABLE.write_text(text_of(rows), encoding="utf-8", newline="")
    served = {row["model"] for row in rows}
    large = [
        model for model in model_ids() if Inventory(resolve_model(model)).parameters_total > LARGE
    ]
    without = [model for model in large if model not in served]
    print(f"{len(rows)} rows, {len(served)} models, {len(large) - len(without)} of them large")
    print("by kind:", dict(Counter(row["kind"] for row in rows)))
    for reason, number in left_out.most_common():
        print(f"left out: {number:5} {reason}")
    print(f"{len(without)} of {len(large)} large models without a row: {', '.join(without)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Judging: cases by engine to their environments, and what came back."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evaluation.judges import llama_cpp, trtllm_table, verdicts
from evaluation.judges.cases import Case, Files
from evaluation.judges.manifests import ManifestVerdict
from evaluation.judges.manifests import given as manifests_given
from evaluation.judges.verdicts import Judged

HERE = Path(__file__).resolve().parent
SCRIPTS = {"vllm": "engine_vllm.py", "sglang": "engine_sglang.py"}
LIMIT_SECONDS = 3 * 3600
SERVER = Path("llama.cpp") / "bin" / "llama-server"


def judge(
    cases: Sequence[Case], root: Path, work: Path, tell: Callable[[str], None]
) -> tuple[list[Judged], list[Case]]:
    """(verdicts in order, cases whose engine or version has no environment in ``root``)."""
    by_judge: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        by_judge[case.engine, case.version].append(case)
    judged: dict[str, Judged] = {}
    left: list[Case] = []
    for (engine, version), own in by_judge.items():
        said = _said(engine, version, own, root, work, tell)
        if said is None:
            left += own
            continue
        name, by_id = said
        for case in own:
            none = {"error": "the judge ended before this case"}
            judged[case.id] = verdicts.read(case, by_id.get(case.id, none), name)
    return [judged[case.id] for case in cases if case.id in judged], left


def _said(
    engine: str,
    version: str,
    cases: Sequence[Case],
    root: Path,
    work: Path,
    tell: Callable[[str], None],
) -> tuple[str, dict[str, Any]] | None:
    """(the judge's name, verdicts by case), None where there is no judge."""
    if engine == "tensorrt-llm":
        name = f"its fields, {trtllm_table.table()['source']['version'].partition(',')[0]}"
        return name, {case.id: trtllm_table.judged(case.given()) for case in cases}
    if engine == "llama.cpp":
        server = (root / SERVER).absolute()
        if not server.exists():
            return None
        build = llama_cpp.version(server)
        return build, {case.id: llama_cpp.judged(server, case.given()) for case in cases}
    python = environment_of(engine, version, root)
    if python is None:
        return None
    kept = Kept(work.parent / "verdicts" / f"{engine}-{version}.jsonl", SCRIPTS[engine])
    new = [case for case in cases if case.id not in kept.verdicts([case])]
    tell(f"{engine} {version}: {len(cases)} commands, {len(new)} of them new")
    if new:
        given = [case.given() for case in new]
        lines = _in_environment(python, SCRIPTS[engine], given, work, f"{engine}-{version}")
        kept.add(new, lines[1:])
    return f"{engine} {_version_in(python.parents[1], engine)}", kept.verdicts(cases)


class Kept:
    """Verdicts in a file, by what was judged and the judge's own code."""

    def __init__(self, path: Path, script: str) -> None:
        self.path = path
        self.code = b"".join((HERE / name).read_bytes() for name in (script, "engine_side.py"))
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.by_key: dict[str, dict[str, Any]] = {
            line["key"]: line["verdict"] for line in map(json.loads, lines)
        }

    def key(self, case: Case) -> str:
        """Equal for cases that the judge cannot tell apart."""
        given = json.dumps({**case.given(), "id": ""}, sort_keys=True).encode()
        files = [Path(word) for word in case.words if word.startswith("/")]
        texts = [
            path.read_bytes()
            for place in files
            for path in (sorted(place.glob("*")) if place.is_dir() else [place])
            if path.is_file()
        ]
        return hashlib.sha256(b"\0".join([self.code, given, *texts])).hexdigest()

    def verdicts(self, cases: Sequence[Case]) -> dict[str, dict[str, Any]]:
        """Case → its verdict, of those that have one."""
        keys = {case.id: self.key(case) for case in cases}
        return {name: self.by_key[key] for name, key in keys.items() if key in self.by_key}

    def add(self, cases: Sequence[Case], verdicts: Sequence[dict[str, Any]]) -> None:
        """Keep ``verdicts`` on ``cases``."""
        by_id = {case.id: case for case in cases}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for verdict in verdicts:
                key = self.key(by_id[verdict["id"]])
                self.by_key[key] = verdict
                file.write(json.dumps({"key": key, "verdict": verdict}) + "\n")


def environment_of(engine: str, version: str, root: Path) -> Path | None:
    """The Python of the environment that has ``engine`` at ``version``."""
    for name in (f"judge-{engine}", engine):
        python = root / name / "bin" / "python"
        if python.exists() and _has(root / name, engine, version):
            return python.absolute()
    return None


def _has(folder: Path, engine: str, version: str) -> bool:
    """Whether the environment's engine is of ``version``, which may be shorter."""
    return f"{_version_in(folder, engine)}.".startswith(f"{version}.")


def _version_in(folder: Path, engine: str) -> str:
    """The version of ``engine`` that an environment has; nothing where it has none."""
    for path in folder.glob(f"lib/python*/site-packages/{engine}*.dist-info"):
        name, _, installed = path.name.removesuffix(".dist-info").partition("-")
        if name in (engine, f"{engine}_cpu"):
            return installed
    return ""


def _in_environment(
    python: Path, script: str, cases: list[dict[str, Any]], work: Path, name: str
) -> list[dict[str, Any]]:
    """The lines that a judge's script wrote on ``cases``.

    Raises:
        SystemExit: it ends with an error.
    """
    given, out = work / f"{name}.json", work / f"{name}.said.jsonl"
    given.write_text(json.dumps(cases), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, HERE / script, given.absolute(), out.absolute()],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    (work / f"{name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"error: {script} failed: {done.stderr[-2000:]}")
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def judge_manifests(files: Sequence[Files], root: Path, work: Path) -> list[ManifestVerdict]:
    """What schemas say of the manifests; nothing where their environment is not installed."""
    python = root / "judge-schemas" / "bin" / "python"
    cases = list(manifests_given(files))
    if not python.exists() or not cases:
        return []
    said = _in_environment(python.absolute(), "engine_schemas.py", list(cases), work, "schemas")
    return [ManifestVerdict(**one) for one in said]

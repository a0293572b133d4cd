"""Judging: cases by engine to their environments, and what came back."""

from __future__ import annotations

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
    tell(f"{engine} {version}: {len(cases)} commands")
    lines = _in_environment(
        python, SCRIPTS[engine], [case.given() for case in cases], work, f"{engine}-{version}"
    )
    return f"{engine} {lines[0]['version']}", {line["id"]: line for line in lines[1:]}


def environment_of(engine: str, version: str, root: Path) -> Path | None:
    """The Python of the environment that has ``engine`` at ``version``."""
    for name in (f"judge-{engine}", engine):
        python = root / name / "bin" / "python"
        if python.exists() and _has(root / name, engine, version):
            return python.absolute()
    return None


def _has(folder: Path, engine: str, version: str) -> bool:
    """Whether the environment's engine is of ``version``, which may be shorter."""
    for path in folder.glob(f"lib/python*/site-packages/{engine}*.dist-info"):
        name, _, installed = path.name.removesuffix(".dist-info").partition("-")
        if name in (engine, f"{engine}_cpu") and f"{installed}.".startswith(f"{version}."):
            return True
    return False


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

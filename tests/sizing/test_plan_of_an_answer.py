"""The answer of a capacity has the plan of a replica, which verbs that read plan files take."""

import json
from pathlib import Path

import planner
from planner.cli.main import run


def test_the_json_of_an_answer_is_exported_as_its_replica(tmp_path: Path) -> None:
    """It was no plan file, and the refusal named no way to one."""
    found = planner.capacity(
        "llama-3.1-8b", "h100-sxm", rate=5.0, ttft_seconds=1.0, tpot_seconds=0.05
    )
    data = found.to_dict()
    assert planner.read_plan(data) == found.replica
    file = tmp_path / "c.json"
    file.write_text(json.dumps(data))
    assert planner.read_plan(file).layout.tp == found.answer.tp
    assert run(["export", str(file), str(tmp_path / "out")]) == 0
    command = (tmp_path / "out" / f"serve-{found.replica.engine.name}.sh").read_text()
    assert f"{found.replica.workload.batch}" in command

"""Every verb that reads a plan file reads those of version 1, or says why it has no answer."""

import json
from pathlib import Path

import pytest
from support.old_plans import FIRST, NAMES, old_plan, written

import planner
from planner.cli.main import run
from planner.planning.what_if.around_file import around_file

VERBS = {
    "estimate": ("estimate", "--plan", "{file}", "--quiet"),
    "memory": ("memory", "--plan", "{file}", "--quiet"),
    "serve": ("serve", "--plan", "{file}", "--concurrency", "4", "--quiet"),
    "diff": ("diff", "{file}", "{file}"),
    "report": ("report", "{file}", "--quiet"),
    "page": ("report", "{file}", "-o", "{folder}/page.html", "--lang", "zh", "--quiet"),
    "export": ("export", "{file}", "{folder}/export", "--quiet"),
}
REFUSED = {
    ("deepseek", "memory"): "over its",
    ("plain", "export"): "no engine is named",
    ("estimate", "export"): "no engine is named",
    ("anchored", "estimate"): "memory: the plan needs",
    ("anchored", "serve"): "memory: the plan needs",
    ("anchored", "memory"): "over its",
    ("no-devices", "memory"): "over its",
    ("pools", "estimate"): "memory: the plan needs",
    ("pools", "memory"): "over its",
    ("pools", "serve"): "pools of prefill",
    ("host", "estimate"): "memory: the plan needs",
    ("host", "memory"): "in the memory of",
    ("host", "serve"): "in the memory of",
}
"""What a plan of version 2 is refused for as well: nothing about the file. Both plans for SGLang
fill more than it takes by default, which 0.2 priced by the device profile's share."""


@pytest.mark.parametrize(
    "name",
    [*NAMES[:-2], *(pytest.param(name, marks=pytest.mark.exhaustive) for name in NAMES[-2:])],
)
def test_every_verb_reads_a_file_of_version_1(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(name, tmp_path)
    for verb, words in VERBS.items():
        status = run([word.format(file=file, folder=tmp_path) for word in words])
        said = capsys.readouterr()
        why = REFUSED.get((name, verb))
        assert (status == 0) == (why is None), (verb, said.err)
        if why is not None:
            assert why in said.err.splitlines()[0], verb
            assert "\nhint: " in said.err, verb
        assert "version 1" not in said.err


@pytest.mark.parametrize("name", FIRST)
def test_what_if_pages_take_the_question_of_an_old_file(name: str) -> None:
    told = around_file(planner.read_plan(old_plan(name)))
    old = old_plan(name)
    assert (told["model"], told["device"], told["engine"].partition("@")[0]) == (
        old["model"]["id"],
        old["device"]["id"],
        old["engine"]["name"],
    )
    assert told["objective"] == old["objective"]


def test_explaining_an_old_plan_says_that_its_device_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", "--plan", str(written("plain", tmp_path))]) == 2
    said = capsys.readouterr().err
    assert "has another profile here" in said
    assert "make the plan again" in said


def test_losses_of_0_1_0_are_not_compared_with_nats_but_priced_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = written("plain", tmp_path), tmp_path / "new.json"
    assert run(["estimate", "--plan", str(old), "--json", "--quiet"]) == 0
    new.write_text(capsys.readouterr().out, encoding="utf-8")
    assert json.loads(new.read_text(encoding="utf-8"))["quality"]["unit"] == "nats"
    assert run(["diff", str(old), str(new)]) == 2
    assert "plan estimate --plan FILE --json" in " ".join(capsys.readouterr().err.split())
    assert run(["diff", str(new), str(new)]) == 0


def test_a_newer_file_names_the_upgrade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(old_plan("estimate") | {"schema_version": "4"}), encoding="utf-8")
    for words in VERBS.values():
        assert run([word.format(file=path, folder=tmp_path) for word in words]) == 2
        said = capsys.readouterr().err
        assert "schema_version '4' is none of 1, 2, 3" in said
        assert "upgrade" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan.json"]

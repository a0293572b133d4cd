"""Parts of a run: one that fails leaves the others, and what is left out for time is told."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from evaluation.closed_loop import llama
from evaluation.closed_loop.parts import NOT_BEGUN, Clock, Parts, TimeIsUpError
from planner.base.errors import DataError


def test_a_part_that_fails_is_told_and_the_page_is_written_after_each(tmp_path: Path) -> None:
    written: list[dict[str, str]] = []
    parts = Parts(
        ["a", "b", "c", "d"],
        Clock(60),
        lambda: written.append(dict(parts.missing)),
        tmp_path / "errors.txt",
    )

    def fails() -> None:
        raise DataError("the engine crashed", hint="")

    def breaks() -> None:
        raise KeyError("rows")

    assert parts.do("a", lambda: 7) == 7
    assert parts.do("b", fails) is None
    assert parts.do("c", breaks) is None
    assert written[0] == dict.fromkeys("bcd", NOT_BEGUN)
    assert parts.missing == {"b": "the engine crashed", "c": "KeyError: 'rows'", "d": NOT_BEGUN}
    assert len(written) == 3
    assert "Traceback" in (tmp_path / "errors.txt").read_text(encoding="utf-8")


def test_what_there_is_no_time_for_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = Parts(["a"], Clock(0.0), lambda: None, tmp_path / "errors.txt")
    assert parts.do("a", lambda: 7) is None
    assert parts.missing["a"].startswith("left out, as 0 minutes were over")
    assert "missing: a" in capsys.readouterr().err


class FakeLoop:
    """A loop whose verifications only say their names."""

    def __init__(self, folder: Path, minutes: float = 60.0) -> None:
        self.model, self.folder, self.clock = "m", folder, Clock(minutes)
        self.ran: list[str] = []
        self.given: list[dict[str, object]] = []

    def verified(self, name: str, plan: object, **more: object) -> dict[str, str]:
        self.ran.append(name)
        self.given.append(more)
        profile = self.folder / name / "profile.json"
        profile.parent.mkdir(exist_ok=True)
        profile.write_text(f"from {name}", encoding="utf-8")
        return {"of": name}


@pytest.fixture
def _plans_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan is its size, and what makes its file the size in hundreds."""
    monkeypatch.setattr(llama.planner, "plan", lambda *names, memory_bytes, **more: memory_bytes)
    monkeypatch.setattr(
        llama,
        "export_plan",
        lambda plan, *rest, **more: SimpleNamespace(files={llama.SCRIPT: str(plan // 100)}),
    )
    monkeypatch.setattr(llama, "formats", lambda plan: {"ggml-q8_0": plan})


@pytest.mark.usefixtures("_plans_by_size")
def test_a_file_is_run_once_whatever_round_chose_it(tmp_path: Path) -> None:
    loop = FakeLoop(tmp_path)
    (tmp_path / "learned").mkdir()
    begun = llama.Begun(
        loop,
        {"limits": {"Q8_0": 500, "Q6_K": 410}, "runs": []},  # type: ignore[arg-type]
        {"T0": {}, "learned": {}},
    )
    llama.plans(begun, "T0")
    begun.out["limits"] = {"Q8_0": 550, "Q6_K": 320}
    llama.plans(begun, "learned")
    assert loop.ran == [
        "T0-Q8_0",
        "T0-Q8_0",
        "T0-Q6_K",
        "T0-Q6_K",
        "T0-Q6_K",
        "learned-Q6_K",
        "learned-Q6_K",
    ]
    taught = tmp_path / "learned" / "plans.profile.json"
    assert loop.given[4]["learn_from"] == [tmp_path / "answer", tmp_path / "T0-Q8_0"]
    assert "profile" not in loop.given[5]
    assert loop.given[6]["profile"] == str(taught)
    assert taught.read_text(encoding="utf-8") == "from T0-Q6_K"
    again = begun.out["runs"][2]
    assert (again["name"], again["same_as"], again["before"]) == (
        "learned-Q8_0",
        "T0-Q8_0",
        {"of": "T0-Q8_0"},
    )
    assert json.loads((tmp_path / "loop.json").read_text("utf-8"))["runs"] == begun.out["runs"]


@pytest.mark.usefixtures("_plans_by_size")
def test_plans_that_there_was_no_time_for_are_named(tmp_path: Path) -> None:
    begun = llama.Begun(
        FakeLoop(tmp_path, 0.0),
        {"limits": {"Q8_0": 500}, "runs": []},  # type: ignore[arg-type]
        {"T0": {}, "learned": {}},
    )
    with pytest.raises(TimeIsUpError, match="m: T0-Q8_0: left out"):
        llama.plans(begun, "T0")

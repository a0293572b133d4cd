"""Parts of a run: one that fails leaves the others, and what is left out for time is told."""

from pathlib import Path

import pytest

from evaluation.closed_loop.parts import NOT_BEGUN, Clock, Parts
from planner.errors import DataError


def test_a_part_that_fails_is_told_and_the_page_is_written_after_each(tmp_path: Path) -> None:
    written: list[dict[str, str]] = []
    parts = Parts(["a", "b", "c", "d"], Clock(60), lambda: written.append(dict(parts.missing)),
                  tmp_path / "errors.txt")

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
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = Parts(["a"], Clock(0.0), lambda: None, tmp_path / "errors.txt")
    assert parts.do("a", lambda: 7) is None
    assert "a was left out: the 0 minutes were over" in parts.missing["a"]
    assert "missing: a" in capsys.readouterr().err

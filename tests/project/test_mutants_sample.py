"""benchmarks/mutants: which places are drawn, and what is a place."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = "\n".join(f"def f{i}(a, b):\n    return a + b * {i} - min(a, b)\n" for i in range(40))


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("mutants.sample")


def drawn(sample: Any, root: Path, seed: int = 1) -> tuple[set[str], set[str]]:
    """(names of all places, names of the 60 drawn)."""
    sample._places.cache_clear()
    pool = sample.sites(root, ["planner"])
    assert len({one.name() for one in pool}) == len(pool)
    return {one.name() for one in pool}, {one.name() for one in sample.draw(pool, 60, seed)}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("one", "other"):
        (tmp_path / "planner" / name).mkdir(parents=True)
        (tmp_path / "planner" / name / "code.py").write_text(LINES, encoding="utf-8")
    return tmp_path


def test_a_change_moves_what_it_changes_alone(sample: Any, tree: Path) -> None:
    before, first = drawn(sample, tree)
    assert len(first) == 60 < len(before) / 3
    file = tree / "planner/one/code.py"
    file.write_text("# moved down\n\nX = 3\n\n" + LINES, encoding="utf-8")
    assert drawn(sample, tree) == (before, first)
    file.write_text(
        "def new(a):\n    return a / 7 if a > 3 else -a\n\n" + LINES.replace("b * 5 ", "b * 50 "),
        encoding="utf-8",
    )
    after, second = drawn(sample, tree)
    assert len(after - before) > len(before - after) > 0
    added, gone = second - before, first - after
    assert len(first - second - gone) <= len(added)
    assert len(second - first - added) <= len(gone)


def test_seeds_draw_others_and_folders_have_their_share(sample: Any, tree: Path) -> None:
    first, second = drawn(sample, tree)[1], drawn(sample, tree, seed=2)[1]
    assert 0 < len(first & second) < 60
    pool = sample.sites(tree, ["planner"])
    rooms = Counter(site.room for seed in range(20) for site in sample.draw(pool, 60, seed))
    assert rooms["one"] / 1200 == pytest.approx(0.5, abs=0.06)
    fewer = sample.draw(pool, 20, 1)
    assert fewer == sample.draw(pool, 60, 1)[:20]


def test_terms_of_named_parameters_are_places_and_texts_are_none(sample: Any) -> None:
    places = importlib.import_module("mutants.places").places
    text = (
        "def f(p, x):\n    y = p['share'] * x\n    z = 'a' + x + str(x)\n"
        "    return z + ('s' if x else ''), y, ', '.join(x) + x\n"
    )
    assert [one.before for one in places(text)] == ["p['share'] * x"]


def test_what_a_function_says_does_not_change_with_its_description(sample: Any) -> None:
    places = importlib.import_module("mutants.places").places
    texts = (
        "def f(a):\n    return a + 1\n",
        "# moved\n\ndef f(a):\n    'why'\n    return a + 1\n",
        "def f(a):\n    return a + 2\n",
    )
    plain, described, other = (places(text)[0].digest for text in texts)
    assert plain == described != other


def test_lines_that_were_not_noticed_once_are_held(sample: Any) -> None:
    known = [sample.found(ROOT, one) for one in sample.entries(sample.KNOWN)]
    assert len({site.name() for site in known}) == 10
    with pytest.raises(LookupError, match="0 places"):
        sample.found(ROOT, sample.Entry("planner/base/units.py", "nothing", "a + b", ""))

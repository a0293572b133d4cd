"""Damaged input of every kind is refused in two lines or gives a finite answer.

`make fuzz` runs the same attacks for minutes, guided by coverage; docs/evidence/fuzzing.md.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.corpora import ATTACKS, FOLDER, READERS, kept
from support.tape import Tape

QUICK = {
    "config": 40,
    "safetensors": 60,
    "gguf": 60,
    "scores": 60,
    "aliases": 15,
    "device": 12,
    "config-priced": 8,
    "plan-file": 12,
    "scenario": 10,
    "quantisation": 6,
    "profile-file": 10,
    "popularity": 12,
    "tables": 8,
    "sweep": 40,
    "command-line": 40,
    "plan-read": 20,
    "plan-verbs": 4,
    "quantised-config": 40,
    "import-read": 20,
    "import-folder": 20,
    "device-file": 20,
    "calibrate": 6,
    "validate": 20,
    "workload": 20,
    "fleet": 40,
    "sweep-file": 40,
    "sweep-left": 10,
    "losses": 20,
}
# Tapes that found a defect, in the words of docs/evidence/fuzzing.md; run again in every run.
FOUND: dict[str, tuple[str, ...]] = {"import-read": ("8dfffff7ff858512326cffffff0b7a260bff26",)}


def test_every_entrance_is_attacked() -> None:
    assert set(QUICK) == set(ATTACKS)


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", QUICK)
def test_a_sample_that_is_not_damaged_is_taken(name: str, tmp_path: Path) -> None:
    assert ATTACKS[name](Tape(b""), tmp_path)


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", QUICK)
def test_damage_is_refused_in_two_lines_or_gives_an_answer(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    times = 1 if settings().derandomize else 20
    folder = tmp_path_factory.mktemp("attacks")

    @settings(
        max_examples=QUICK[name] * times,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=4, max_size=40))
    def attack(tape: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as inner:
            ATTACKS[name](Tape(tape), Path(inner))

    attack()


@pytest.mark.parametrize(("name", "tape"), [(n, t) for n, all_ in FOUND.items() for t in all_])
def test_what_was_found_stays_mended(name: str, tape: str, tmp_path: Path) -> None:
    ATTACKS[name](Tape(bytes.fromhex(tape)), tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_what_reached_something_new_reaches_it_again(name: str, tmp_path: Path) -> None:
    """What `make fuzz KEEP=1` leaves, from which the next run begins."""
    tapes = kept(name)
    assert tapes
    for n, tape in enumerate(tapes):
        (tmp_path / str(n)).mkdir()
        ATTACKS[name](Tape(tape), tmp_path / str(n))


def test_corpora_are_small_and_of_entrances() -> None:
    files = list(FOLDER.iterdir())
    assert {path.stem for path in files} == set(READERS)
    assert sum(path.stat().st_size for path in files) < 64 << 10

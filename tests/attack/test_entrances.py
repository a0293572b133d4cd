"""Damaged input of every kind is refused in two lines or gives a finite answer.

`make fuzz` runs the same attacks for minutes, guided by coverage; docs/evidence/fuzzing.md.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.entrances import ENTRANCES
from support.tape import Tape

QUICK = {"config": 40, "safetensors": 60, "gguf": 60, "scores": 60, "aliases": 15, "device": 12,
         "config-priced": 8, "plan-file": 12, "scenario": 10, "quantisation": 6, "profile-file": 10,
         "popularity": 12, "tables": 8, "sweep": 40, "command-line": 40}
# Tapes that found a defect, in the words of docs/evidence/fuzzing.md; run again in every run.
FOUND: dict[str, tuple[str, ...]] = {}


def test_every_entrance_is_attacked() -> None:
    assert set(QUICK) == set(ENTRANCES)


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", QUICK)
def test_a_sample_that_is_not_damaged_is_taken(name: str, tmp_path: Path) -> None:
    assert ENTRANCES[name](Tape(b""), tmp_path)


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", QUICK)
def test_damage_is_refused_in_two_lines_or_gives_an_answer(
        name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    times = 1 if settings().derandomize else 20
    folder = tmp_path_factory.mktemp("attacks")

    @settings(max_examples=QUICK[name] * times,
              phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.binary(min_size=4, max_size=40))
    def attack(tape: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as inner:
            ENTRANCES[name](Tape(tape), Path(inner))

    attack()


@pytest.mark.parametrize(("name", "tape"), [(n, t) for n, all_ in FOUND.items() for t in all_])
def test_what_was_found_stays_mended(name: str, tape: str, tmp_path: Path) -> None:
    ENTRANCES[name](Tape(bytes.fromhex(tape)), tmp_path)

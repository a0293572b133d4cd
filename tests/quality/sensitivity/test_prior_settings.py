"""Settings of the learned prior: what was chosen, and variances that follow from them."""

import numpy as np
import pytest

from planner.quality.sensitivity.kld_data import kld_models
from planner.quality.sensitivity.prior_settings import (
    PARTS,
    RANGES,
    chosen_settings,
    settings_without,
    variances,
)

FAMILIES = {m.family for m in kld_models()}
MIDDLE = {name: (least * most) ** 0.5 for name, (least, most) in RANGES.items()}


def test_every_family_has_settings_that_it_had_no_say_in() -> None:
    seeds = {seed for _, seed in chosen_settings()}
    assert len(seeds) >= 3
    assert set(chosen_settings()) == {(f, s) for f in {"", *FAMILIES} for s in seeds}
    for family in FAMILIES:
        assert settings_without([family]) == chosen_settings()[family, 0]
    assert settings_without([]) == chosen_settings()["", 0]
    assert settings_without(["of no measured model"]) == chosen_settings()["", 0]


def test_what_was_chosen_lies_in_the_ranges() -> None:
    for settings in chosen_settings().values():
        for name, (least, most) in RANGES.items():
            assert least <= settings[name] <= most


@pytest.mark.parametrize(
    ("setting", "part", "column"),
    [
        ("depth", "shared", "depth-path-1:always@1"),
        ("depth-kind", "kind", "depth-path-1:always@1"),
        ("depth-family", "family", "depth-path-1:always@1"),
        ("kind", "kind", "block:ffn"),
        ("family", "family", "block:ffn"),
        ("side", "shared", "side:out"),
        ("matrix", "shared", "matrix:routed/down"),
        ("size", "shared", "size-all-1:@1"),
    ],
)
def test_a_setting_moves_its_part_in_proportion(setting: str, part: str, column: str) -> None:
    twice = {**MIDDLE, setting: 2 * MIDDLE[setting]}
    at = PARTS.index(part)
    (before,), (after,) = variances(MIDDLE, [column])[at], variances(twice, [column])[at]
    assert after == pytest.approx(2 * before)


def test_finer_functions_of_depth_and_those_of_classes_vary_less() -> None:
    columns = [f"depth-path-{k}:always@{k}" for k in (1, 2, 3)] + ["depth-class-1:dense@1"]
    for part in variances(MIDDLE, columns):
        assert part[0] > part[1] > part[2] > 0
        assert part[3] < part[0]


def test_head_and_embedding_are_nearly_free() -> None:
    shared = variances(MIDDLE, ["outside:head", "block:ffn"])[0]
    assert shared[0] > 10 * shared[1]
    assert np.isfinite(shared).all()

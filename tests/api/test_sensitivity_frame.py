"""``planner.sensitivity``: columns, types, and the models it takes."""

from pathlib import Path

import pandas as pd
import pytest

import planner
from planner.base.errors import InputError, UnknownNameError
from planner.models.catalog import resolve_model

COLUMNS = ["layer", "kind", "tensor", "alpha", "low", "high", "source", "tier"]
CONFIGS = Path(planner.__file__).parent / "models" / "configs"


@pytest.mark.parametrize("names", ["module", "gguf"])
def test_columns_and_types(names: str) -> None:
    frame = planner.sensitivity("deepseek-v3", names=names)
    assert list(frame.columns) == COLUMNS
    assert frame["layer"].dtype == "Int64"
    assert list(frame[frame["layer"].isna()]["kind"]) == ["embedding", "head"]
    assert set(frame["layer"].dropna()) == set(range(61))
    assert all(frame[name].dtype == "float64" for name in ("alpha", "low", "high"))
    assert all(frame[name].dtype == "string" for name in ("kind", "tensor", "source", "tier"))
    assert set(frame["tier"]) == {"T0 family(DeepSeek-V3)"}
    assert frame["tensor"].eq("").all() == (names == "module")
    assert "DeepSeek" in frame.attrs["rests_on"]
    assert frame.attrs["bands"].keys() >= {"attention", "routed", "head"}
    assert "Thireus" in frame.attrs["credit"]
    if names == "gguf":
        assert frame["tensor"].is_unique
        assert {"blk.3.attn_q_a.weight", "token_embd.weight", "output.weight"} <= set(
            frame["tensor"]
        )
        assert not frame["tensor"].str.startswith("blk.61.").any()


def test_a_model_by_name_by_path_and_as_a_record(tmp_path: Path) -> None:
    by_name = planner.sensitivity("smollm2-135m")
    pd.testing.assert_frame_equal(by_name, planner.sensitivity(resolve_model("smollm2-135m")))
    (tmp_path / "config.json").write_bytes((CONFIGS / "smollm2-135m.json").read_bytes())
    for path in (tmp_path, str(tmp_path / "config.json")):
        pd.testing.assert_frame_equal(by_name, planner.sensitivity(path))  # type: ignore[arg-type]


@pytest.mark.exhaustive
def test_any_collection_of_names_excludes() -> None:
    expected = planner.sensitivity("deepseek-v3", exclude_models=["DeepSeek-V3"])
    assert set(expected["tier"]) == {"T0 learned"}
    for names in (("deepseek-v3",), {"DeepSeek-V3.1-Terminus"}):
        pd.testing.assert_frame_equal(
            expected, planner.sensitivity("deepseek-v3", exclude_models=names)
        )  # type: ignore[arg-type]


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(InputError, match="is one text") as refused:
        planner.sensitivity("deepseek-v3", exclude_models="DeepSeek-V3")
    assert refused.value.hint == "a list of names: ['DeepSeek-V3']"
    with pytest.raises(InputError, match=r"exclude_models\[0\] = 3"):
        planner.sensitivity("deepseek-v3", exclude_models=[3])  # type: ignore[list-item]
    with pytest.raises(UnknownNameError, match="no-such-model"):
        planner.sensitivity("no-such-model")
    with pytest.raises(UnknownNameError, match="measured model 'no-such'"):
        planner.sensitivity("deepseek-v3", exclude_models=["no-such"])
    with pytest.raises(InputError, match="names = 4"):
        planner.sensitivity("deepseek-v3", names=4)  # type: ignore[arg-type]

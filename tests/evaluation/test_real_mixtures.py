"""Real mixtures: rules to types, errors of types, order, baseline; the published ones by target."""

import math
import re
import statistics
from pathlib import Path

import pytest

from evaluation import mix_law, mix_types, mixtures
from evaluation.mix_rows import FAMILY, NEAR, Mixture, ModelMixtures, Predicted, predicted
from planner.lab.tables.measured_losses import cut_errors, ggml_weight_error
from planner.quality.sensitivity.level import KNEE_NATS
from planner.quality.sensitivity.records import OUTSIDE, Matrix

SHARED = Path(__file__).resolve().parents[3] / "shared" / "measured"


def mixture(bits: float, perplexity: float, rules: tuple[tuple[str, str], ...] = ()) -> Mixture:
    compiled = tuple((re.compile(pattern), kind) for pattern, kind in rules)
    return Mixture(f"m-{bits}", "m", "maker", bits, perplexity, compiled)


def made(*rows: tuple[float, float, float, float]) -> ModelMixtures:
    """(bits, perplexity, sum, loss)."""
    return ModelMixtures(
        "m", "learned", 0.1, tuple(Predicted(mixture(b, p), s, x) for b, p, s, x in rows), ()
    )


def test_the_first_rule_that_names_a_tensor_gives_its_type() -> None:
    found = mixture(
        4.0,
        9.0,
        (
            (r"^token_embd\.weight$", "q8_0"),
            (r"^blk\.[0-2]\.attn_q\.", "iq4_ks"),
            (r"^blk\.", "q6_K"),
        ),
    )
    assert found.type_of(Matrix("attn_q", "attention-qkv", 2)) == "iq4_ks"
    assert found.type_of(Matrix("attn_q", "attention-qkv", 3)) == "q6_K"
    assert found.type_of(Matrix("output", "head", OUTSIDE)) == "q8_0", "a tied head"
    assert mixture(4.0, 9.0).type_of(Matrix("attn_q", "attention-qkv", 3)) is None


def test_the_finest_mixture_is_the_baseline_and_is_not_counted() -> None:
    """ln(PPL / baseline) is what was predicted: a factor of 1; twice it: of 2."""
    base = math.log(5.0)
    rows = [
        (b, math.exp(base + f * x), x, x) for b, x, f in ((6, 0.01, 1), (4, 0.1, 1), (3, 0.4, 2))
    ]
    part = mixtures.counted(made(*rows))
    assert [row.mixture.bits for row, _ in part.rows] == [4, 3]
    assert [seen / row.loss for row, seen in part.rows] == pytest.approx([1.0, 2.0])
    assert part.ratio(saturating=True) == pytest.approx(1.5)
    assert part.factor(saturating=True) == pytest.approx(math.sqrt(2.0))
    assert len(mixtures.counted(made(*rows), beyond=KNEE_NATS).rows) == 1


def test_a_wrong_order_is_a_negative_rank_and_no_right_pair() -> None:
    right = made((6, 5.0, 0.01, 0.01), (4.0, 5.5, 0.1, 0.1), (4.01, 6.0, 0.2, 0.2))
    wrong = made((6, 5.0, 0.3, 0.3), (4.0, 5.5, 0.2, 0.2), (4.01, 6.0, 0.1, 0.1))
    assert (mixtures.rank(right), mixtures.rank(wrong)) == pytest.approx((1.0, -1.0))
    assert (mixtures.alike(right), mixtures.alike(wrong)) == ((1, 1), (0, 1))


def test_what_cut_matrices_lose_over_the_level_is_the_error_of_the_type() -> None:
    sums = {"a": {"iq1_kt": 2.0, "q2_k": 1.0}, "b": {"iq1_kt": 1.0}, "c": {"iq1_kt": 90.0}}
    found = cut_errors(sums, {"a": 10.0, "b": 4.0})
    assert found == pytest.approx({"iq1_kt": (0.2 + 0.25) / 2, "q2_k": 0.1})


def test_a_type_lies_where_its_loss_does() -> None:
    """On a line of slope 1 a loss twice that of a known type is twice its error."""
    known = {f"t{n}": {"mlp-down": 0.001 * 2.0**n} for n in range(8)} | {
        mix_types.COARSEST: {"mlp-down": 0.2}
    }
    line = [(math.log(5 * row["mlp-down"]), name) for name, row in sorted(known.items())]
    found = mix_types._placed(math.log(5 * 0.012), line, known)
    assert found["mlp-down"] == pytest.approx(0.012)
    assert mix_types.TypeErrors(known, frozenset()).error("BF16", "mlp-down") == 0.0


@pytest.fixture(scope="module")
def shared() -> Path:
    if not (SHARED / "served3" / "mix_ppl.csv").is_file():
        pytest.skip(f"{SHARED}: the published mixtures are not part of the repository")
    return SHARED


def test_published_mixtures_are_in_order_without_the_model(shared: Path) -> None:
    for protocol in (NEAR, FAMILY):
        found = predicted(shared / "served3", shared / "kld", protocol)
        assert len(found) == 5
        assert statistics.median(map(mixtures.rank, found)) >= 0.9
        assert min(map(mixtures.rank, found)) >= 0.9


def test_errors_of_single_cuts_are_those_that_are_emulated(shared: Path) -> None:
    """Q2_K was both emulated and cut to; coarser types have larger errors."""
    found = mix_types.type_errors(shared / "kld", ())
    cut = cut_errors(mix_types._single_sums(shared / "kld"), {"Qwen3-4B-Thinking-2507": 6.58505})
    assert cut["q2_k_r4"] == pytest.approx(
        statistics.mean(ggml_weight_error()["q2_k"].values()), rel=0.15
    )
    means = [
        statistics.mean(found.by_type[name].values())
        for name in ("iq6_k", "iq5_k", "iq4_k", "iq3_k", "iq2_k", "iq2_kt", "iq1_kt", "iq1_m")
    ]
    assert means == sorted(means)
    assert found.error("Q5_K_R4", "mlp-down") == found.error("q5_k", "mlp-down") > 0


def test_g_of_a_match_helps_where_losses_no_longer_add_up(shared: Path) -> None:
    models = {m.name: m for m in mix_law.kld_models()}
    for name in ("Qwen3.5-0.8B", "Qwen3.5-4B", "Qwen3-4B-Instruct-2507"):
        pairs = mix_law.beyond_knee(models[name], shared / "kld")
        g = mix_law.exponents(models[name])
        left_out, none = (
            mix_law.median_factor(pairs, g[title]) for title in ("model left out", "losses add up")
        )
        assert g["model left out"] > 0
        assert left_out < none


def test_a_folder_without_the_tables_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["evaluation.mixtures", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        mixtures.main()
    assert stopped.value.code == 2
    assert "--data" in capsys.readouterr().err

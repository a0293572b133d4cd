"""The anchor under the headline: 80 columns, figure and publisher together."""

from dataclasses import replace

import pytest
from planner.report.terminal.plan_lines import anchor_lines
from support.questions import plan_of

from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.models.catalog import model_ids, resolve_model
from planner.planning.plan.recommendation import MeasuredAnchor
from planner.planning.plan.record import Plan
from planner.quality.anchor import UNCHANGED, anchor
from planner.quality.measured_models import subject_of
from planner.quality.neighbours import BenchmarkKind
from planner.report.columns import plain_width
from planner.report.render.html import page
from planner.report.render.markdown import markdown
from planner.report.terminal.plan import headline, plan_text

INTEL = "intel/auto-round docs@1"
Said = tuple[str, str, BenchmarkKind | None]
SHORT_ONLY = "  short benchmarks alone: long reasoning may lose more"


def with_anchor(*parts: Said) -> Plan:
    plan = plan_of()
    anchors = tuple(MeasuredAnchor(*part) for part in parts)
    return replace(plan, quality=replace(plan.quality, measured_anchor=anchors))


def shown(*parts: Said) -> list[str]:
    with plain_width():
        return anchor_lines(with_anchor(*parts))


def test_one_line_where_it_fits() -> None:
    assert shown(("fp8-block on Qwen3-8B: AIME 2025 −0.23 ± 0.5 pt", INTEL, "reasoning")) == [
        "measured elsewhere: fp8-block on Qwen3-8B: AIME 2025 −0.23 ± 0.5 pt (intel)"
    ]
    assert shown(("mxfp4 on Qwen3-8B: MMLU −6.8 pt", INTEL, "short")) == [
        "measured elsewhere: mxfp4 on Qwen3-8B: MMLU −6.8 pt (intel/auto-round)",
        SHORT_ONLY,
    ]
    assert shown((UNCHANGED, "", None)) == ["as released: no change"]


def test_a_long_one_breaks_before_its_figure() -> None:
    assert shown(
        ("nvfp4 on Qwen3-8B, a smaller model of the family: MMLU −2.0 ± 0.5 pt", INTEL, "short")
    ) == [
        "measured elsewhere: nvfp4 on Qwen3-8B, a smaller model of the family:",
        "  MMLU −2.0 ± 0.5 pt (intel/auto-round)",
        SHORT_ONLY,
    ]


def test_the_cache_has_a_line_of_its_own_and_its_own_publisher() -> None:
    assert shown(
        ("no accuracy published for int8-w8a8 in its family and size", "", None),
        ("KV fp8 on Qwen3-8B: RULER-128K −0.62 pt", "NVIDIA/Model-Optimizer x", "long"),
    ) == [
        "no accuracy published for int8-w8a8 in its family and size;",
        "  measured elsewhere: KV fp8 on Qwen3-8B: RULER-128K −0.62 pt (NVIDIA)",
    ]


def test_further_kinds_of_benchmark_stand_below() -> None:
    assert shown(
        ("nvfp4 on Qwen3-8B: MMLU −2.0 pt", INTEL, "short"),
        ("nvfp4 on Qwen3-8B: AIME 2025 −9.0 pt", "A/b c", "reasoning"),
    ) == [
        "measured elsewhere: nvfp4 on Qwen3-8B: MMLU −2.0 pt (intel/auto-round)",
        "  nvfp4 on Qwen3-8B: AIME 2025 −9.0 pt (A/b)",
    ]


@pytest.mark.sample(16)
@pytest.mark.parametrize("name", model_ids())
def test_no_line_is_wider_than_80_columns(name: str) -> None:
    subject = subject_of(resolve_model(name))
    for scheme in (None, *SCHEMES):
        for layout in (None, *KV_LAYOUTS):
            parts = [(p.text, p.source, p.kind) for p in anchor(subject, scheme, layout)]
            assert max(map(len, shown(*parts))) <= 80


def test_it_stands_right_under_the_headline() -> None:
    plan = with_anchor(("nvfp4 on Qwen3-8B: AIME 2025 −2.0 pt", INTEL, "reasoning"))
    with plain_width():
        lines = plan_text(plan).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("measured elsewhere: nvfp4"))
    assert lines[at + 1] == ""
    assert " ".join(headline(plan))[-9:] in " ".join(map(str.strip, lines[:at]))


def test_a_plan_file_without_an_anchor_is_shown_without_one() -> None:
    plan = plan_of()
    bare = replace(plan, quality=replace(plan.quality, measured_anchor=()))
    assert anchor_lines(bare) == []
    assert 'class="anchor"' not in page(bare, "en")


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        (
            "en",
            (
                "Measured elsewhere: nvfp4 on Qwen3-8B, a smaller model of the family: MMLU "
                "−2.0 pt",
                " (intel/auto-round)",
                "; KV fp8 on Qwen3-8B: GPQA −1.0 pt",
                " (A/b)",
                ".",
                " (source: intel/auto-round docs@1; A/b c).",
            ),
        ),
        (
            "zh",
            (
                "他处实测：Qwen3-8B（同系列较小的模型）用 nvfp4：MMLU −2.0 pt",
                "（intel/auto-round）",
                "；Qwen3-8B 用 KV fp8：GPQA −1.0 pt",
                "（A/b）",
                "。",
                "（来源：intel/auto-round docs@1; A/b c）。",
            ),
        ),
    ],
)
def test_reports_have_it_on_the_first_screen_and_the_whole_source_below(
    lang: str, text: tuple[str, ...]
) -> None:
    plan = with_anchor(
        ("nvfp4 on Qwen3-8B, a smaller model of the family: MMLU −2.0 pt", INTEL, "short"),
        ("KV fp8 on Qwen3-8B: GPQA −1.0 pt", "A/b c", "reasoning"),
    )
    first, _, rest = page(plan, lang).partition("</section>")
    short, whole = "".join(text[:5]), text[0] + text[2] + text[5]
    source = "intel/auto-round docs@1; A/b c"
    quoted = whole if lang == "en" else whole.replace(source, f'<cite lang="en">{source}</cite>')
    assert f'<p class="anchor">{short}</p>' in first
    assert quoted in rest
    head, _, after = markdown(plan, lang).partition("\n## ")
    assert short in head
    assert whole in after


def test_words_without_a_row_stand_alone() -> None:
    header = page(with_anchor((UNCHANGED, "", None)), "en").partition("</section>")[0]
    assert '<p class="anchor">As released: no change.</p>' in header
    assert "保持发布格式，无变化。" in page(with_anchor((UNCHANGED, "", None)), "zh")


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("en", "Short benchmarks alone were published: long reasoning may lose more."),
        ("zh", "只公布了短答题的成绩：长推理可能损失更多。"),
    ],
)
def test_short_benchmarks_alone_are_warned_of(lang: str, text: str) -> None:
    short = with_anchor(("nvfp4 on Qwen3-8B: MMLU −2.0 pt", INTEL, "short"))
    long = with_anchor(("nvfp4 on Qwen3-8B: AIME 2025 −2.0 pt", INTEL, "reasoning"))
    for plan, warned in ((short, True), (long, False)):
        assert (text in page(plan, lang)) == warned
        assert (text in markdown(plan, lang)) == warned

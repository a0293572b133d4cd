"""The anchor under the headline: 80 columns, figure and publisher together."""

from dataclasses import replace

import pytest
from support.questions import plan_of

from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.models.catalog import model_ids, resolve_model
from planner.planning.plan.recommendation import MeasuredAnchor
from planner.planning.plan.record import Plan
from planner.quality.anchor import UNCHANGED, anchor
from planner.quality.measured_models import subject_of
from planner.report.render.html import page
from planner.report.render.markdown import markdown
from planner.report.terminal.columns import plain_width
from planner.report.terminal.plan import headline, plan_text
from planner.report.terminal.plan_lines import anchor_lines


def with_anchor(text: str, source: str = "") -> Plan:
    plan = plan_of()
    return replace(
        plan, quality=replace(plan.quality, measured_anchor=MeasuredAnchor(text, source))
    )


def shown(text: str, source: str = "") -> list[str]:
    with plain_width():
        return anchor_lines(with_anchor(text, source))


def test_one_line_where_it_fits() -> None:
    assert shown("fp8-block on Qwen3-8B: MMLU −0.23 ± 0.5 pt", "intel/auto-round docs@1") == [
        "measured elsewhere: fp8-block on Qwen3-8B: MMLU −0.23 ± 0.5 pt (intel)"
    ]
    assert shown("mxfp4 on Qwen3-8B: MMLU −6.8 pt", "intel/auto-round docs@1") == [
        "measured elsewhere: mxfp4 on Qwen3-8B: MMLU −6.8 pt (intel/auto-round)"
    ]
    assert shown(UNCHANGED) == ["as released: no change"]


def test_a_long_one_breaks_before_its_figure() -> None:
    assert shown(
        "nvfp4 on Qwen3-8B, a smaller model of the family: MMLU −2.0 ± 0.5 pt",
        "intel/auto-round docs@1",
    ) == [
        "measured elsewhere: nvfp4 on Qwen3-8B, a smaller model of the family:",
        "  MMLU −2.0 ± 0.5 pt (intel/auto-round)",
    ]


def test_the_cache_has_a_line_of_its_own_and_its_own_publisher() -> None:
    assert shown(
        "no accuracy published for int8-w8a8 in its family and size; "
        "KV fp8 on Qwen3-8B: RULER-128K −0.62 pt",
        "NVIDIA/Model-Optimizer x",
    ) == [
        "no accuracy published for int8-w8a8 in its family and size;",
        "  measured elsewhere: KV fp8 on Qwen3-8B: RULER-128K −0.62 pt (NVIDIA)",
    ]


@pytest.mark.sample(16)
@pytest.mark.parametrize("name", model_ids())
def test_no_line_is_wider_than_80_columns(name: str) -> None:
    subject = subject_of(resolve_model(name))
    for scheme in (None, *SCHEMES):
        for layout in (None, *KV_LAYOUTS):
            assert max(map(len, shown(*anchor(subject, scheme, layout)))) <= 80


def test_it_stands_right_under_the_headline() -> None:
    plan = with_anchor("nvfp4 on Qwen3-8B: MMLU −2.0 pt", "intel/auto-round docs@1")
    with plain_width():
        lines = plan_text(plan).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("measured elsewhere: nvfp4"))
    assert lines[at + 1] == ""
    assert "".join(headline(plan))[-9:] in "".join(lines[:at])


def test_a_plan_file_without_an_anchor_is_shown_without_one() -> None:
    plan = plan_of()
    bare = replace(plan, quality=replace(plan.quality, measured_anchor=None))
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
        "nvfp4 on Qwen3-8B, a smaller model of the family: MMLU −2.0 pt; "
        "KV fp8 on Qwen3-8B: GPQA −1.0 pt",
        "intel/auto-round docs@1; A/b c",
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
    header = page(with_anchor(UNCHANGED), "en").partition("</section>")[0]
    assert '<p class="anchor">As released: no change.</p>' in header
    assert "保持发布格式，无变化。" in page(with_anchor(UNCHANGED), "zh")

"""What counts as English that was left in a Chinese page, and what as a name."""

import pytest
from support.chinese import is_name, latin_texts, latin_words, seen_texts

_NAMED = """fp8-block KV TTFT FlashInfer CutlassFP8ScaledMMLinearKernel op_gemm.csv llama-3.1-8b
    --drop-policies DeepSeek-V3.1-Terminus MMLU mlp-gate-up int8-w8a8 M/D/1 E4M3 sm90 tp·dp tokens/s
    nats hopper-wgmma vllm TensorRT-LLM Thireus compressed-tensors"""
_ENGLISH = """the rest measured Kernels as-released weights's output-channel uniform nothing
    whole-model"""


@pytest.mark.parametrize("word", _NAMED.split())
def test_names_and_abbreviations_are_no_english(word: str) -> None:
    assert latin_words(f"<p>用 {word} 时</p>") == []


@pytest.mark.parametrize("word", _ENGLISH.split())
def test_words_are_found_and_the_text_that_has_them(word: str) -> None:
    page = f"<table><tr><th>格式</th><td>用 {word} 时</td></tr></table>"
    assert latin_words(page) == [word]
    assert latin_texts(page) == [f"用 {word} 时"]


def test_commands_scripts_and_quoted_titles_are_not_read() -> None:
    assert (
        latin_words("""<style>body { color: red }</style><script>let hidden</script>
        <p>命令：<code>plan export plan</code><kbd>plan diff</kbd></p><pre>serve the model</pre>
        <p>来源：<cite lang="en">Memory that engines print <b>in public</b></cite></p>
        <q lang="en">as it says</q>""")
        == []
    )


def test_another_element_in_english_is_read_all_the_same() -> None:
    assert latin_words('<dd lang="en">kept as released</dd>') == ["kept", "as", "released"]
    assert latin_words("<cite>Title</cite>") == ["Title"]


def test_what_is_read_aloud_counts() -> None:
    page = '<svg role="img" aria-label="two lines"><title>falling</title></svg><img alt="chart">'
    assert latin_words(page) == ["two", "lines", "falling", "chart"]
    assert latin_words('<td data-l="share">1</td><a href="other" class="plain">甲</a>') == ["share"]


def test_a_name_that_a_figure_breaks_at_its_hyphen_is_one_word() -> None:
    assert latin_words("<text>推荐：统一用 fp8-</text><text>block，KV bf16</text>") == []
    assert latin_words("<text>推荐：统一用 fp8</text><text>block，KV bf16</text>") == ["block"]


def test_addresses_units_and_own_names_are_left_out() -> None:
    assert latin_words("<p>14.2 ms，3 GiB，5 nats，https://some.where/plain/words</p>") == []
    assert latin_words("<p>Acme Widget 的方案</p>", names=["Acme Widget"]) == []
    assert latin_words("<p>Acme Widget 的方案</p>", names=["Acme"]) == ["Widget"]


def test_void_and_unclosed_elements_hide_nothing_else() -> None:
    assert latin_words("<p>甲<br>left<cite lang='en'>x<br>quoted</cite>over") == ["left", "over"]
    assert seen_texts("<p>甲</p>\n <p> 乙 </p>") == ["甲", " 乙 "]
    assert is_name("nats")
    assert not is_name("nat")

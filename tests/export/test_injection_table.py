"""The table of hostile strings (`python -m benchmarks.injection`): its judges see what is live, and
a sample of its cells has none."""

import pytest

from benchmarks.injection.__main__ import page
from benchmarks.injection.doors import DOORS, said_at, through
from benchmarks.injection.judge import live, run
from benchmarks.injection.payloads import HARMLESS, LIVE, PAYLOADS, declared, of_each
from benchmarks.injection.samples import MADE, sample
from benchmarks.injection.table import Tally, behind_the_reader, of_sample, refusal

QUICK = "fp8"
BAD = PAYLOADS["substitution"]
LIVE_FILES = {
    "a shell's substitution": ("serve.sh", 'exec vllm serve "X"\n', BAD),
    "a word more": ("serve.sh", "exec vllm serve X\n", "a --b"),
    "a flag in a name's place": ("x.yaml", "args: [serve, 'X']\n", "--trust-remote-code\"]\nb: ['"),
    "a key more": ("x.yaml", "a: X\n", "b\nc: d"),
    "a tag": ("x.yaml", "a: X\n", "!!python/object/apply:os.system ['x']"),
    "a variable of Kubernetes": ("x.yaml", "args: ['a/X']\n", "$(HF_TOKEN)"),
    "a shell in a manifest": ("x.yaml", "command: [sh, -c, 'vllm X']\n", f"$(touch {LIVE})"),
    "a value of JSON": ("x.json", '{"a": "X"}', 'b", "c": "d'),
    "code": ("x.py", "a = 'X'\n", f"b'; open('{LIVE}', 'w'); c = '"),
    "markup in Markdown": ("x.md", "a X\n", "<script>alert(1)</script>"),
    "a link": ("x.md", "a X\n", "[b](javascript:alert(1))"),
    "a row of a table": ("x.md", "| a |\n|---|\n| X |\n", "b |\n| c"),
    "a block of code": ("x.md", "```sh\nvllm X\n```\n", f"$(touch {LIVE})"),
    "markup": ("x.html", "<p>X</p>", "<img src=x onerror=alert(1)>"),
    "an attribute": ("x.html", '<p title="X">a</p>', '" onmouseover="alert(1)'),
    "the end of a script": (
        "x.html",
        '<script type="application/json">{"a": "X"}</script>',
        "</script><script>alert(1)</script>",
    ),
    "an escape": ("terminal", "a X\n", "\x1b[2J"),
    "reversed text": ("terminal", "a X\n", "\u202e"),
    "a command on the terminal": ("terminal", "Run it:\n  vllm serve X\n", f"$(touch {LIVE})"),
    "a computed cell": ("x.csv", "a,b\n1,X\n", "=cmd|' /C calc'!A0"),
    "a column more": ("x.csv", "a,b\n1,X\n", "c,d"),
}


@pytest.mark.parametrize("case", LIVE_FILES)
def test_a_judge_sees_what_is_live(case: str) -> None:
    name, text, payload = LIVE_FILES[case]
    assert live(name, text.replace("X", payload), text.replace("X", HARMLESS), payload)
    assert not live(name, text.replace("X", HARMLESS), text.replace("X", HARMLESS), HARMLESS)


def test_what_is_quoted_is_inert() -> None:
    for name, text in (("a.sh", "exec vllm serve 'X'\n"), ("a.json", '{"a": "X"}')):
        assert not live(name, text.replace("X", BAD), text.replace("X", HARMLESS), BAD)


def test_a_stub_writes_its_words_down() -> None:
    assert run("vllm serve 'a b' \"c\nd\"\n", ()).calls == [["vllm", "serve", "a b", "c\nd"]]
    assert run(f"touch {LIVE}\n", ()).left == [LIVE]


@pytest.mark.parametrize("payload", ["substitution", "yaml tag", "html", "markdown link", "bidi"])
def test_a_plan_file_has_no_live_cell(payload: str) -> None:
    tally = Tally()
    known = {
        field: {payload: refusal(QUICK, place, PAYLOADS[payload])}
        for field, place in of_each(sample(QUICK)).items()
    }
    of_sample(QUICK, payload, tally, known)
    behind_the_reader(QUICK, payload, tally)
    assert tally.live == []
    assert tally.refused.total() > 50
    assert tally.inert.total() > 50 or payload == "bidi"
    assert "0 live" in page([QUICK], [], [], tally, Tally(), tally.live)


@pytest.mark.parametrize("door", ["config.json: _name_or_path", "a model's folder: its name"])
@pytest.mark.parametrize("payload", ["substitution", "html", "escape"])
def test_another_door_has_no_live_cell(door: str, payload: str) -> None:
    text = said_at(door, PAYLOADS[payload])
    bad, good = (through(DOORS[door], word) for word in (text, HARMLESS))
    assert good is not None
    assert bad is None or not [
        why for name, words in bad.items() if (why := live(name, words, good[name], text))
    ]


@pytest.mark.exhaustive
def test_no_string_of_the_schema_is_forgotten() -> None:
    assert declared() <= {field for name in MADE for field in of_each(sample(name))}

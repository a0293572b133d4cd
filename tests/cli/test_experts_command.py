"""``plan experts``: text, JSON, popularity files, bad input."""

import json
from pathlib import Path

import pytest

import planner
from planner.cli.main import run

QUESTION = [
    "experts",
    "deepseek-v3",
    "h100-sxm",
    "--batch",
    "64",
    "--skew",
    "0.5",
    "--ep",
    "8",
    "--redundant",
    "32",
]


def test_text_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(QUESTION) == 0
    out, err = capsys.readouterr()
    assert max(map(len, (out + err).splitlines())) <= 80
    for words in ("Hit rate", "8 ranks hold 36 experts", "a step fetches"):
        assert words in " ".join(out.split())
    assert err.startswith("assumptions:")


def test_json_is_the_answer_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*QUESTION, "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    same = planner.experts("deepseek-v3", "h100-sxm", batch=64, skew=0.5, ep=8, redundant=32)
    assert err == ""
    assert json.loads(out) == json.loads(json.dumps(same.to_dict()))


def test_uniform_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["experts", "deepseek-v3", "--batch", "64", "--json", "--quiet"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["distinct"] == pytest.approx(222.44, abs=0.01)
    assert got["distinct"] == pytest.approx(got["distinct_uniform"])
    assert got["residency"] is None
    assert got["times"] is None


def test_memory_limit_leaves_room_for_whole_experts() -> None:
    always, size = 19_082_195_296, 44_050_944
    got = planner.experts(
        "deepseek-v3", "h100-sxm", memory_bytes=always + 100 * size + 7, host_bytes=50 * size
    )
    assert got.residency is not None
    assert (got.residency.device.experts, got.residency.host.experts) == (100, 50)
    assert got.residency.drive.experts == 58 * 256 - 150
    whole = planner.experts("deepseek-v3", "h100-sxm", memory_bytes=always + 14848 * size)
    assert whole.residency is not None
    assert whole.residency.hit_rate == 1
    assert whole.times is not None
    assert whole.times.step.seconds == 0


def test_popularity_files(tmp_path: Path) -> None:
    lines = tmp_path / "loads.txt"
    lines.write_text("\n".join(["3", "3", "2", "2", "2", "2", "1", "1"]), encoding="utf-8")
    table = tmp_path / "loads.json"
    one = [3, 3, 2, 2, 2, 2, 1, 1]
    table.write_text(json.dumps({"loads": [one] * 32}), encoding="utf-8")
    shares = [x * 2 / 16 for x in one]
    expected = sum(1 - (1 - p) ** 5 for p in shares)
    for given in (str(lines), str(table), one, [one] * 32):
        got = planner.experts("mixtral-8x7b", batch=5, popularity=given)
        assert got.distinct == pytest.approx(expected)


def test_tokens_of_one_request_touch_fewer() -> None:
    alike = planner.experts("qwen3-30b-a3b", batch=16, requests=2, correlation=0.6)
    apart = planner.experts("qwen3-30b-a3b", batch=16)
    assert alike.distinct < 0.8 * apart.distinct
    assert alike.effective_batch is not None
    assert 2 < alike.effective_batch < 16
    assert apart.effective_batch is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["llama-3.1-8b"], "no routed experts"),
        (["mixtral-8x7b", "--skew", "-1"], "skew is -1"),
        (["mixtral-8x7b", "--skew", "nan"], "skew = nan is not a number"),
        (["mixtral-8x7b", "--skew", "1e308"], "skew is 1e+308"),
        (["mixtral-8x7b", "--ep", "3"], "does not divide"),
        (["mixtral-8x7b", "--ep", "8", "--redundant", "3"], "8 ranks"),
        (["mixtral-8x7b", "--redundant", "-1"], "redundant -1"),
        (["mixtral-8x7b", "--memory-bytes", "1000"], "hold less than"),
        (["mixtral-8x7b", "--requests", "1", "--correlation", "2"], "correlation 2"),
        (["mixtral-8x7b", "--correlation", "0.5"], "requests None"),
        (["mixtral-8x7b", "--requests", "1"], "correlation 0"),
        (["mixtral-8x7b", "--link", "nvlink-c2c"], "without a device"),
        (["mixtral-8x7b", "--batch", "2", "--requests", "3", "--correlation", "0.5"], "3 requests"),
        (["mixtral-8x7b", "--popularity", "nowhere.txt"], "does not exist"),
        (["mixtral-8x7b", "h100-sxm", "--link", "nvlink-c2c"], "NVLink-C2C"),
        (["mixtral-8x7b", "jetson-agx-orin-64gb", "--host-bytes", "9"], "no link to a host"),
    ],
)
def test_bad_input(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["experts", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "\nhint: " in err


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1\ntwo\n", "two"),
        ("a.txt", "1\n2\n", "8 experts"),
        ("a.json", "[1, 2]", "object"),
        ("a.json", '{"loads": 3}', "one list"),
        ("a.json", '{"loads": ["x", 1, 1, 1, 1, 1, 1, 1]}', "not a number"),
        ("a.json", '{"loads": [[1, 1, 1, 1, 1, 1, 1, 1], 3]}', "2 lists"),
        ("a.txt", "1\n" * 7 + "nan\n", "at least 0"),
        ("a.txt", "1\n" * 7 + "-1\n", "at least 0"),
        ("a.txt", "9\n1\n1\n1\n1\n1\n1\n1\n", "at most once"),
    ],
)
def test_bad_popularity(
    tmp_path: Path, name: str, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert run(["experts", "mixtral-8x7b", "--popularity", str(path)]) == 2
    assert message in capsys.readouterr().err

"""``--online``: plans of models that only the hub has, and nothing is asked without the flag."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub_server import LocalHub, RemoteFile, checkpoint_files, local_hub
from support.small_gguf import small_gguf

import planner
from planner.cli.main import run
from planner.cli.settings import FILE, user_file
from planner.models.catalog import resolve_model

pytest.importorskip("huggingface_hub")
BUNDLED = "qwen3-32b-fp8"
RELEASE, OTHER, FILES = "Qwen/Qwen3-32B-FP8", "Some-Org/Tuned-FP8", "Some-Org/Small-GGUF"
QUESTION = ["h100", "--devices", "1", "--engine", "vllm"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    path = Path(planner.__file__).parent / "models" / "configs" / f"{BUNDLED}.json"
    files = checkpoint_files(resolve_model(BUNDLED), path.read_bytes())
    with local_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.chdir(tmp_path)
        server.files |= {RELEASE: files, OTHER: files}
        server.files[FILES] = {
            f"small-{quant}.gguf": RemoteFile(
                small_gguf(lambda name, quant=quant: quant if "ffn_down" not in name else "BF16"),
                apart=True,
            )
            for quant in ("Q4_0", "Q8_0")
        }
        yield server


def test_a_plan_of_the_hub_is_that_of_the_bundled_model(
    hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", BUNDLED, *QUESTION, "--json"]) == 0
    bundled = json.loads(capsys.readouterr().out)
    assert run(["plan", f"hf:{RELEASE}", *QUESTION, "--json", "--online"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert hub.seen != []
    assert read == bundled


def test_the_command_names_the_model_at_the_hub(
    hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", OTHER, *QUESTION, "--online"]) == 0
    assert f"vllm serve {OTHER} " in capsys.readouterr().out
    asked = len(hub.seen)
    assert run(["plan", OTHER, *QUESTION]) == 0
    assert f"vllm serve {OTHER} " in capsys.readouterr().out
    assert len(hub.seen) == asked


def test_the_command_names_the_gguf_file(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", f"hf:{FILES}", "rtx-4090", "--context", "1k", "--engine", "llama.cpp"]
    words = [*words, "--batch", "1", "--assumptions"]
    assert run([*words, "--online"]) == 0
    out, err = capsys.readouterr()
    assert f"llama-server -hf {FILES}:Q8_0 " in " ".join(out.split())
    assert "GGUF file: small-Q8_0.gguf" in " ".join((out + err).split())
    assert f"{FILES} also has Q4_0" in " ".join((out + err).split())
    assert run([*words, "--lang", "zh"]) == 0
    assert "未指定文件时取常用的一个" in "".join("".join(capsys.readouterr()).split())


def test_nothing_is_asked_without_the_flag(
    hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", f"hf:{OTHER}", *QUESTION]) == 2
    assert f"plan hf:{OTHER} DEVICE --online" in capsys.readouterr().err
    assert run(["plan", OTHER, *QUESTION]) == 2
    assert "--online" in capsys.readouterr().err
    assert run(["plan", BUNDLED, *QUESTION, "--online"]) == 0
    assert hub.seen == []


def test_only_the_users_own_file_may_allow_it(
    hub: LocalHub, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(FILE).write_text("online = true\n", encoding="utf-8")
    assert run(["plan", OTHER, *QUESTION]) == 2
    assert "unknown key 'online'" in capsys.readouterr().err
    assert hub.seen == []
    Path(FILE).unlink()
    user_file().parent.mkdir(parents=True)
    user_file().write_text("online = true\n", encoding="utf-8")
    assert run(["plan", OTHER, *QUESTION]) == 0
    assert hub.seen != []

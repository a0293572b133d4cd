"""Names and paths of models, the inventory's JSON, and what resolving imports and reads."""

import json
import subprocess
import sys

import pytest

from planner.base.errors import DataError, UnknownNameError
from planner.models.catalog import catalog, model_ids, resolve_model
from planner.models.families import model_types
from planner.models.inventory import Inventory, expand, inventory_of


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("deepseek-v3", "deepseek-v3"),
        ("DeepSeek_V3", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-V3", "deepseek-v3"),
        ("DEEPSEEK-AI/deepseek-v3.2", "deepseek-v3.2"),
        ("meta-llama/Llama-3.1-70B", "llama-3.1-70b"),
        ("meta-llama/Meta-Llama-3.1-405B-Instruct", "llama-3.1-405b"),
        ("Llama 3.1 8B", "llama-3.1-8b"),
        ("Qwen/Qwen3-235B-A22B", "qwen3-235b-a22b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("Mixtral-8x7B-v0.1", "mixtral-8x7b"),
    ],
)
def test_names_of_a_model(name, model_id):
    assert resolve_model(name).id == model_id


def test_no_name_means_two_models():
    owner: dict[str, str] = {}
    for entry in catalog().values():
        for name in {entry.id, entry.public_name.lower(), *map(str.lower, entry.aliases)}:
            assert owner.setdefault(name, entry.id) == entry.id
            assert resolve_model(name).public_name == entry.public_name


@pytest.mark.parametrize("model_id", model_ids())
def test_provenance_is_stated(model_id):
    spec, entry = resolve_model(model_id), catalog()[model_id]
    assert entry.source_kind in ("verbatim", "copied", "reconstructed")
    assert entry.source
    assert (spec.source, spec.source_kind) == (entry.source, entry.source_kind)
    assert spec.model_type in model_types()


@pytest.mark.parametrize(
    "name", ["deepseek-v33", "", "llama", "a/b", "x" * 9000, "a\0b", "\ud800/x"]
)
def test_an_unknown_name_has_near_ones(name):
    with pytest.raises(UnknownNameError) as caught:
        resolve_model(name)
    assert caught.value.hint
    assert len(caught.value.message) < 700
    caught.value.message.encode()


def test_a_close_name_is_suggested():
    with pytest.raises(UnknownNameError) as caught:
        resolve_model("deepseek-v33")
    assert "deepseek-v3" in caught.value.hint


def test_a_path_wins_only_with_a_slash(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "deepseek-v3"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny("llama")))
    assert resolve_model("deepseek-v3").model_type == "deepseek_v3"
    assert resolve_model("./deepseek-v3").model_type == "llama"
    assert resolve_model("./deepseek-v3").id == "deepseek-v3"
    (tmp_path / "Qwen" / "Qwen3-8B").mkdir(parents=True)
    (tmp_path / "Qwen" / "Qwen3-8B" / "config.json").write_text(json.dumps(tiny("mixtral")))
    assert resolve_model("Qwen/Qwen3-8B").model_type == "mixtral"
    with pytest.raises(DataError, match="no such file"):
        resolve_model("./llama-3.1-8b")
    (tmp_path / "mine").mkdir()
    with pytest.raises(UnknownNameError, match="write it as a path"):
        resolve_model("mine")
    with pytest.raises(DataError, match=r"neither config\.json nor a safetensors file"):
        resolve_model("./mine")
    with pytest.raises(DataError, match="not a path"):
        resolve_model("./a\0b")


def test_a_file_that_exists_is_read_without_a_slash(tmp_path, tiny, monkeypatch):
    """A bundled name stays one; what no model and no file is called is still a name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text(json.dumps(tiny("qwen3")))
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "config.json").write_text(json.dumps(tiny("llama")))
    (tmp_path / "qwen3-8b").write_text("no configuration")
    assert (resolve_model("mine.json").id, resolve_model("mine.json").hidden_size) == (
        "mine",
        resolve_model("./mine.json").hidden_size,
    )
    assert resolve_model("tuned").model_type == "llama"
    assert resolve_model("qwen3-8b").source_kind != "file"
    (tmp_path / "notes.txt").write_text("no configuration")
    with pytest.raises(DataError, match=r"notes\.txt"):
        resolve_model("notes.txt")
    for name in ("other.json", "x" * 5000, "a\0b", ""):
        with pytest.raises(UnknownNameError):
            resolve_model(name)


def test_a_configuration_of_another_file_name(tmp_path, tiny):
    path = tmp_path / "My Model.json"
    path.write_text(json.dumps(tiny("qwen3")))
    assert resolve_model(str(path)).id == "my-model"


def test_resolving_imports_nothing_heavy_and_reads_one_configuration():
    code = (
        "import json, os, sys\n"
        "from planner.models.catalog import resolve_model\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(str(args[0])))\n"
        "resolve_model('deepseek-v3')\n"
        "read = [os.path.basename(name) for name in opened if '/configs/' in name]\n"
        "heavy = {'numpy', 'pandas', 'pydantic', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "print(json.dumps([sorted(heavy), read]))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, read = json.loads(run.stdout)
    assert heavy == []
    assert read == ["sources.toml", "deepseek-v3.json"]


def test_the_inventory_as_json(tiny, build):
    spec = build(tiny("deepseek_v3"))
    found = inventory_of(spec).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {
        "parameters_total", "parameters_mtp", "parameters_vision", "parameters_audio",
        "parameters_active",
        "elements_by_dtype", "payload_bytes", "tensor_count", "tensors", "not_counted",
        "assumed_keys", "harmless_keys", "ignored_keys", "notes",
    }  # fmt: skip
    patterns = found["tensors"]
    assert sum(item["count"] for item in patterns) == found["tensor_count"]
    assert sum(item["bytes"] for item in patterns) == found["payload_bytes"]
    expanded = inventory_of(spec).to_dict(expand=True)["tensors"]
    assert len(expanded) == found["tensor_count"]
    assert expanded[0] == {
        "name": "model.embed_tokens.weight", "dtype": "BF16", "shape": [300, 256],
    }  # fmt: skip


def test_the_inventory_as_a_frame():
    inventory = Inventory(resolve_model("deepseek-v3"))
    frame = inventory.to_frame()
    assert len(frame) == len(inventory.patterns)
    assert int(frame["bytes"].sum()) == inventory.payload_bytes
    by_kind = frame[(frame["part"] == "main") & ~frame["scale"]].groupby("kind")["elements"].sum()
    assert {kind: int(by_kind[kind]) for kind in by_kind.index} == inventory.parameters_by_kind


def test_expansion_is_lazy(tiny, build):
    spec = build(tiny("deepseek_v3", num_hidden_layers=900, n_routed_experts=65536))
    assert next(expand(spec)).name == "model.embed_tokens.weight"
    assert Inventory(spec).tensor_count > 350_000_000


def test_a_text_model_taken_out_of_a_release_says_what_it_leaves_out():
    for name in ("gemma-3-4b-text", "gemma-3-27b-text"):
        assert any("vision encoder" in part for part in resolve_model(name).not_counted)

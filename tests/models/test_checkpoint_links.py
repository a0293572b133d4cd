"""Links in a checkpoint's directory: none leaves it, except to the hub's own blobs."""

import json

import pytest

from planner.base.errors import DataError
from planner.memory.on_disk import compare
from planner.models.catalog import resolve_model
from planner.models.headers import INDEX_NAME, read_checkpoint
from planner.models.inventory import Inventory, expand


@pytest.fixture
def elsewhere(tmp_path, tiny, build, write_safetensors):
    """(folder with a whole checkpoint, an empty folder beside it)."""
    real, folder = tmp_path / "real", tmp_path / "folder"
    real.mkdir()
    folder.mkdir()
    config = tiny("llama")
    (real / "config.json").write_text(json.dumps(config))
    tensors = [(item.name, item.dtype, item.shape) for item in expand(build(config))]
    write_safetensors(real / "model.safetensors", tensors)
    index = {"weight_map": {name: "model.safetensors" for name, _, _ in tensors}}
    (real / INDEX_NAME).write_text(json.dumps(index))
    return real, folder


@pytest.mark.parametrize("outside", ["config.json", "model.safetensors", INDEX_NAME])
def test_a_link_out_of_the_directory_is_refused(elsewhere, outside):
    real, folder = elsewhere
    for path in real.iterdir():
        here = folder / path.name
        if path.name == outside:
            here.symlink_to(path)
        else:
            here.write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="link out of the directory") as caught:
        resolve_model(str(folder))
    assert outside in caught.value.message
    assert caught.value.hint
    if outside != "config.json":
        with pytest.raises(DataError, match="link out of the directory"):
            compare(resolve_model(str(real)), folder)


def test_a_second_configuration_is_not_followed_either(elsewhere, tmp_path):
    real, _ = elsewhere
    (tmp_path / "q.json").write_text('{"quantization": {"quant_algo": null}}')
    (real / "hf_quant_config.json").symlink_to(tmp_path / "q.json")
    for name in (real, real / "config.json"):
        with pytest.raises(DataError, match="link out of the directory"):
            resolve_model(str(name))


def test_links_inside_the_directory_are_followed(elsewhere):
    real, _ = elsewhere
    (real / "model.safetensors").rename(real / "blob")
    (real / "model.safetensors").symlink_to("blob")
    assert Inventory(resolve_model(str(real))).tensor_count == len(read_checkpoint(real))


def test_a_snapshot_of_the_hub_links_to_its_blobs(elsewhere, tmp_path):
    real, _ = elsewhere
    repository = tmp_path / "models--a--b"
    (repository / "blobs").mkdir(parents=True)
    snapshot = repository / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(real.iterdir())):
        (repository / "blobs" / str(number)).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    assert resolve_model(str(snapshot)).rows == resolve_model(str(real)).rows
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to(real / "model.safetensors")
    with pytest.raises(DataError, match="link out of the directory"):
        resolve_model(str(snapshot))


def test_links_that_lead_nowhere_or_in_a_circle(elsewhere):
    real, folder = elsewhere
    (folder / "config.json").write_bytes((real / "config.json").read_bytes())
    (folder / "model.safetensors").symlink_to("model.safetensors")
    with pytest.raises(DataError, match=r"circle|not here"):
        resolve_model(str(folder))
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("nothing")
    with pytest.raises(DataError, match=r"not a regular file|not here"):
        resolve_model(str(folder))

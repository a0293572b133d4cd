"""What is read of the hub: a release by its headers, a GGUF file, errors with what to do, and what
is kept. The hub is a server on this machine."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from support.hub_server import COMMIT, INDEX, LocalHub, RemoteFile, checkpoint_files, local_hub
from support.small_gguf import small_gguf

import planner
from planner.base.errors import DataError, InputError, UnknownNameError
from planner.lookup import load_model
from planner.models.catalog import resolve_model
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec

pytest.importorskip("huggingface_hub")
CONFIGS = Path(planner.__file__).parent / "models" / "configs"
RELEASE, BUNDLED = "Qwen/Qwen3-32B-FP8", "qwen3-32b-fp8"
OTHER = "Some-Org/Tuned-FP8"
CONFIG = (CONFIGS / f"{BUNDLED}.json").read_bytes()
FILES = "Some-Org/Small-GGUF"
FIRST = "model-00001-of-00002.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with local_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        server.files |= {RELEASE: _checkpoint(), OTHER: _checkpoint()}
        server.files[FILES] = {
            f"small-{quant}.gguf": _gguf(quant) for quant in ("BF16", "Q8_0", "Q4_0")
        }
        yield server


@cache
def _files() -> dict[str, RemoteFile]:
    return checkpoint_files(resolve_model(BUNDLED), CONFIG)


def _checkpoint() -> dict[str, RemoteFile]:
    return {name: replace(file) for name, file in _files().items()}


def _gguf(quant: str) -> RemoteFile:
    return RemoteFile(small_gguf(lambda name: quant if "ffn_down" not in name else "BF16"),
                      apart=True)  # fmt: skip


def _payload(spec: ModelSpec) -> int:
    return Inventory(spec).payload_bytes


def test_a_release_is_its_bundled_model_byte_for_byte(hub: LocalHub) -> None:
    found = load_model(f"hf:{RELEASE}", online=True)
    bundled = resolve_model(BUNDLED)
    assert Inventory(found).patterns == Inventory(bundled).patterns
    assert (found.id, _payload(found)) == (bundled.id, _payload(bundled))
    read = sum(len(hub.files[RELEASE][one].head) for one in hub.files[RELEASE])
    assert read < _payload(found) / 1000
    assert all(one.range for one in hub.asked(FIRST))


def test_a_configuration_is_known_however_it_is_laid_out(hub: LocalHub) -> None:
    text = json.dumps(json.loads(CONFIG), indent=4, sort_keys=True).encode()
    hub.files[RELEASE]["config.json"] = RemoteFile(text)
    found = load_model(f"hf:{RELEASE}", online=True)
    assert (found.id, found.config_sha256) == (BUNDLED, resolve_model(BUNDLED).config_sha256)


def test_another_model_of_one_configuration_keeps_its_name(hub: LocalHub) -> None:
    found = load_model(OTHER, online=True)
    assert (found.id, found.public_name, found.source_kind) == ("tuned-fp8", OTHER, "hub")
    assert found.source == f"hf:{OTHER}@{COMMIT}/config.json"
    assert Inventory(found).patterns == Inventory(resolve_model(BUNDLED)).patterns


def test_a_release_that_was_changed_is_read_as_it_is_now(hub: LocalHub) -> None:
    changed = json.loads(CONFIG) | {"max_position_embeddings": 65536}
    hub.files[RELEASE]["config.json"] = RemoteFile(json.dumps(changed).encode())
    found = load_model(f"hf:{RELEASE}", online=True)
    assert (found.source_kind, found.max_context) == ("hub", 65536)


def test_the_token_goes_to_the_hub_alone(hub: LocalHub) -> None:
    load_model(f"hf:{RELEASE}", online=True)
    at = {place: [one for one in hub.seen if one.host == place] for place in ("hub", "storage")}
    assert {one.token for one in at["hub"]} == {"Bearer hf_secret"}
    assert {one.token for one in at["storage"]} == {""}
    assert len({one.path for one in at["storage"]}) == 2


def test_nothing_is_read_without_leave(hub: LocalHub) -> None:
    with pytest.raises(InputError, match="nothing is fetched without --online") as refused:
        load_model(f"hf:{OTHER}")
    assert f"plan hf:{OTHER} DEVICE --online" in refused.value.hint
    with pytest.raises(UnknownNameError) as unknown:
        load_model(OTHER)
    assert "--online" in unknown.value.hint
    assert hub.seen == []


def test_what_was_read_is_known_without_the_hub(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = load_model(OTHER, online=True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert load_model(OTHER) == load_model(f"hf:{OTHER}") == read


def test_heads_that_are_kept_are_not_read_again(hub: LocalHub) -> None:
    load_model(OTHER, online=True)
    before = len(hub.asked(FIRST))
    load_model(OTHER, online=True)
    assert len(hub.asked(FIRST)) == before


@pytest.mark.parametrize("quant", ["BF16", "Q4_0"])
def test_a_gguf_file_is_the_file_itself(hub: LocalHub, tmp_path: Path, quant: str) -> None:
    found = load_model(f"hf:{FILES}:{quant.lower()}", online=True)
    path = tmp_path / "own.gguf"
    path.write_bytes(hub.files[FILES][f"small-{quant}.gguf"].head)
    own = resolve_model(str(path))
    assert found.rows == own.rows
    assert (found.public_name, _payload(found)) == (f"{FILES}:{quant}", _payload(own))
    assert not [note for note in found.notes if note.key == "GGUF file"]


def test_the_usual_file_is_taken_and_said(hub: LocalHub) -> None:
    found = load_model(f"hf:{FILES}", online=True)
    (note,) = [note for note in found.notes if note.key == "GGUF file"]
    assert (note.value, found.public_name) == ("small-Q8_0.gguf", f"{FILES}:Q8_0")
    assert "BF16, Q4_0" in str(note.reason)


def test_a_file_that_is_not_there_lists_the_others(hub: LocalHub) -> None:
    with pytest.raises(InputError, match="no GGUF file of 'Q2_K'") as refused:
        load_model(f"hf:{FILES}:Q2_K", online=True)
    assert "BF16, Q4_0, Q8_0" in refused.value.hint


def test_a_configuration_beside_gguf_files_is_not_the_model(hub: LocalHub) -> None:
    hub.files[FILES]["config.json"] = RemoteFile(CONFIG)
    assert load_model(f"hf:{FILES}", online=True).public_name == f"{FILES}:Q8_0"


def test_a_revision_is_said(hub: LocalHub) -> None:
    found = load_model(f"hf:{OTHER}@{COMMIT}", online=True)
    assert [note.value for note in found.notes if note.key == "revision"] == [COMMIT]
    with pytest.raises(InputError, match="has no such revision") as refused:
        load_model(f"hf:{OTHER}@v9", online=True)
    assert "leave the revision out" in refused.value.hint


def _truncated(hub: LocalHub) -> None:
    head = hub.files[OTHER][FIRST].head
    hub.files[OTHER][FIRST] = RemoteFile(head[: len(head) // 2], apart=True)


def _lying(hub: LocalHub) -> None:
    hub.files[OTHER][FIRST].listed = 10**6


def _long(hub: LocalHub) -> None:
    hub.files[OTHER][FIRST].head = (2**62).to_bytes(8, "little")


def _short(hub: LocalHub) -> None:
    file = hub.files[OTHER][FIRST]
    file.size -= 4096


def _elsewhere(hub: LocalHub) -> None:
    hub.files[OTHER]["config.json"].moved = "http://elsewhere.invalid/config.json"


def _to_a_file(hub: LocalHub) -> None:
    hub.files[OTHER][FIRST].moved = "file:///etc/hostname"


def _circle(hub: LocalHub) -> None:
    hub.files[OTHER][FIRST].moved = f"{hub.endpoint}/{OTHER}/resolve/{COMMIT}/{FIRST}"


def _incomplete(hub: LocalHub) -> None:
    del hub.files[OTHER][FIRST]


@pytest.mark.parametrize(
    ("spoil", "reason", "hint"),
    [
        (_truncated, "header", "damaged at the hub"),
        (_lying, "where the repository lists 1000000", "try again"),
        (_long, "header", "damaged at the hub"),
        (_short, FIRST, "damaged at the hub"),
        (_elsewhere, "redirects to http://elsewhere.invalid", "HF_ENDPOINT"),
        (_to_a_file, "redirects to file://", "HF_ENDPOINT"),
        (_circle, "more than 5 redirects", "circle"),
        (_incomplete, "lists 'model-00001", "incomplete"),
    ],
)
def test_what_contradicts_itself_is_refused_and_not_kept(
    hub: LocalHub, spoil: object, reason: str, hint: str
) -> None:
    spoil(hub)  # type: ignore[operator]
    with pytest.raises(DataError) as refused:
        load_model(OTHER, online=True)
    assert reason in refused.value.message
    assert hint in refused.value.hint
    assert "cache" not in refused.value.message
    assert sum(one.read for one in hub.asked(FIRST)) < 10**6
    with pytest.raises(UnknownNameError):
        load_model(OTHER)
    hub.files[OTHER] = _checkpoint()
    assert _payload(load_model(OTHER, online=True)) == _payload(resolve_model(BUNDLED))


@pytest.mark.parametrize(
    ("status", "code", "reason", "hint"),
    [
        (401, "RepoNotFound", "gives no leave (401)", "HF_TOKEN"),
        (403, "GatedRepo", "gated: its owner gives leave", "HF_TOKEN"),
        (404, "RepoNotFound", "has no such repository", "look at"),
        (429, "", "answers 429", "try again later"),
        (503, "", "answers 503", "try again later"),
    ],
)
def test_a_refusal_of_the_hub_says_what_to_do(
    hub: LocalHub, status: int, code: str, reason: str, hint: str
) -> None:
    hub.refused[OTHER] = (status, code)
    with pytest.raises(InputError) as refused:
        load_model(OTHER, online=True)
    assert reason in refused.value.message
    assert hint in refused.value.hint
    assert "hf_secret" not in f"{refused.value.message} {refused.value.hint}"


def test_no_network_says_so(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be reached") as refused:
        load_model(OTHER, online=True)
    assert "check the network and HF_ENDPOINT" in refused.value.hint


def test_a_download_that_ends_early_goes_on_where_it_was(hub: LocalHub) -> None:
    hub.broken.add(FIRST)
    with pytest.raises(InputError, match="cannot be reached"):
        load_model(OTHER, online=True)
    with pytest.raises(UnknownNameError):
        load_model(OTHER)
    assert len(hub.asked(INDEX)) == 1
    hub.broken.clear()
    assert _payload(load_model(OTHER, online=True)) == _payload(resolve_model(BUNDLED))
    assert len(hub.asked(INDEX)) == 1


def test_a_damaged_cache_is_read_again(hub: LocalHub, tmp_path: Path) -> None:
    read = load_model(OTHER, online=True)
    (listing,) = tmp_path.rglob("listing.json")
    listing.write_text(listing.read_text()[:40])
    with pytest.raises(UnknownNameError):
        load_model(OTHER)
    assert load_model(OTHER, online=True) == read


def test_two_processes_may_read_one_repository(hub: LocalHub) -> None:
    words = f"from planner import load_model; print(load_model('hf:{FILES}', online=True).source)"
    running = [
        subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in running]
    assert said == [f"hf:{FILES}@{COMMIT}/small-Q8_0.gguf"] * 2
    assert load_model(f"hf:{FILES}").source == said[0]


def test_a_hub_without_ranges_is_read_to_the_end_of_the_head(hub: LocalHub) -> None:
    hub.ranges = False
    assert load_model(f"hf:{FILES}:Q4_0", online=True).public_name == f"{FILES}:Q4_0"

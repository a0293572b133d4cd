"""What of an answer an engine is given: its commands, the files they name, the device they need.

A case is one command: the printed one, or one that a manifest has in a container. Checkpoints are
folders with the model's own configuration and the plan's quantisation; there are no weights.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import planner
from evaluation.judges.priced import priced
from evaluation.judges.questions import Question
from planner.export.plan_files import export_plan
from planner.export.run import Export
from planner.export.serve_line import ServeLine, serving_command, weights_of
from planner.export.trtllm import OPTIONS
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.models import catalog
from planner.planning.plan.checkpoint_units import in_checkpoint
from planner.planning.plan.record import Plan

CONFIGS = Path(catalog.__file__).parent / "configs"
PROGRAMS = {
    "vllm": ("vllm", "serve"),
    "sglang": ("-m", "sglang.launch_server"),
    "tensorrt-llm": ("trtllm-serve",),
    "llama.cpp": ("llama-server",),
}
DYNAMO = {"vllm": "dynamo.vllm", "sglang": "dynamo.sglang", "tensorrt-llm": "dynamo.trtllm"}
EAGLE = "eagle-head"
_ADDRESSES = {"LWS_LEADER_ADDRESS": "10.0.0.1", "LWS_WORKER_INDEX": "1", "LWS_GROUP_SIZE": "2"}


@dataclass(frozen=True)
class Case:
    """One command of an answer for one engine: ``words`` with folders in the place of
    repositories, ``facts`` of the device, and what the plan ``priced``."""

    id: str
    feature: str
    text: str
    engine: str
    version: str
    words: tuple[str, ...]
    printed: str
    facts: Mapping[str, Any]
    priced: Mapping[str, Any] = field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """What the engine's side is given."""
        return {
            "id": self.id,
            "engine": self.engine,
            "version": self.version,
            "words": list(self.words),
            **self.facts,
        }


@dataclass(frozen=True)
class Files:
    """The manifests of an answer for one target: file → text; or why there are none."""

    id: str
    target: str
    files: Mapping[str, str]
    refused: str = ""


def cases_of(
    number: int, question: Question, plan: Plan, folder: Path
) -> tuple[list[Case], list[Files], str]:
    """(commands, manifests, why there is no command) of an answer; ``folder`` keeps its files."""
    line = serving_command(plan)
    if not line.words:
        return [], [], "; ".join(line.notes)
    device = planner.load_device(plan.device.id)
    engine = parse_engine(f"{line.engine}@{plan.engine.version or ''}".rstrip("@"))
    place = folder / f"{number:04}"
    export = export_plan(plan, engine=engine.address)
    written = _Written(plan, engine, device, export, place)
    facts = device_facts(device)
    cases = []
    for at, words in enumerate(printed_lines(line)):
        cases.append(
            Case(
                f"{number:04}.{at}", question.feature, question.text, engine.name,
                engine.version_text, tuple(written.placed(words)), shlex.join(words), facts,
                priced(in_checkpoint(plan), engine, device),
            )
        )  # fmt: skip
    files = manifests(f"{number:04}", question, plan, engine)
    for name, words in container_commands(files, engine.name):
        cases.append(
            Case(
                f"{number:04}.{name}", question.feature, question.text, engine.name,
                engine.version_text, tuple(written.placed(words)), shlex.join(words), facts,
            )
        )  # fmt: skip
    return cases, [files], ""


def printed_lines(line: ServeLine) -> list[tuple[str, ...]]:
    """Every printed command that starts the engine: one a node where there are several."""
    mark = PROGRAMS[line.engine][-1]
    lines = [node.words for node in line.nodes] or [line.words]
    return [words for words in lines if any(word.endswith(mark) for word in words)]


def device_facts(device: DeviceProfile) -> dict[str, Any]:
    """What a driver would answer of the device."""
    return {
        "device": device.id,
        "kind": device.kind,
        "platform": device.platform,
        "architecture": device.architecture,
        "capability": device.compute_capability or "",
        "memory_bytes": int(device.capacity_bytes.value),
        "devices_per_node": device.devices_per_node,
    }


class _Written:
    """Folders in the place of the checkpoint and of what drafts."""

    def __init__(
        self, plan: Plan, engine: Engine, device: DeviceProfile, export: Export, place: Path
    ) -> None:
        self.plan, self.place, self.engine = plan, place, engine
        self.weights = weights_of(in_checkpoint(plan), engine, device)
        config = _config(plan.model.id)
        files = dict(export.files)
        if self.weights.made == "ready" and self.weights.container:
            again = export_plan(plan, self.weights.container, engine="any")
            files |= again.files
        if "quantization_config.json" in files:
            config["quantization_config"] = json.loads(files["quantization_config.json"])
        self.checkpoint = place / "checkpoint"
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        if "hf_quant_config.json" in files:
            (self.checkpoint / "hf_quant_config.json").write_text(
                files["hf_quant_config.json"], encoding="utf-8"
            )
        elif (CONFIGS / f"{plan.model.id}.hf_quant_config.json").exists():
            (self.checkpoint / "hf_quant_config.json").write_bytes(
                (CONFIGS / f"{plan.model.id}.hf_quant_config.json").read_bytes()
            )
        _write(self.checkpoint / "config.json", config)
        self.options = place / OPTIONS
        if OPTIONS in files:
            self.options.write_text(files[OPTIONS], encoding="utf-8")

    def placed(self, words: tuple[str, ...]) -> list[str]:
        """``words`` with folders that are here."""
        out = list(words)
        for at, word in enumerate(words):
            before = words[at - 1] if at else ""
            if word.endswith(OPTIONS):
                out[at] = str(self.options)
            elif before in ("serve", "--model-path", "trtllm-serve", "--model"):
                out[at] = str(self.checkpoint)
            elif before == "--speculative-draft-model-path":
                out[at] = self._draft(word)
            elif before == "--speculative-config":
                said = json.loads(word)
                if "model" in said:
                    said["model"] = self._draft(said["model"])
                out[at] = json.dumps(said)
        return out

    def _draft(self, name: str) -> str:
        """A folder with the configuration of what drafts."""
        info = self.plan.speculation
        assert info is not None
        place = self.place / "draft"
        place.mkdir(parents=True, exist_ok=True)
        own = CONFIGS / f"{info.model}.json"
        config = (
            json.loads(own.read_text(encoding="utf-8"))
            if own.exists()
            else eagle_config(_config(self.plan.model.id))
        )
        _write(place / "config.json", config)
        return str(place)


def eagle_config(target: dict[str, Any]) -> dict[str, Any]:
    """The configuration of an EAGLE-3 head of a target: one layer of Llama's kind."""
    text = target.get("text_config", target)
    heads = text.get("num_attention_heads", 32)
    return {
        "architectures": ["LlamaForCausalLMEagle3"],
        "model_type": "llama",
        "hidden_size": text["hidden_size"],
        "intermediate_size": 4 * text["hidden_size"],
        "num_attention_heads": heads,
        "num_key_value_heads": text.get("num_key_value_heads", heads),
        "head_dim": text.get("head_dim", text["hidden_size"] // heads),
        "num_hidden_layers": 1,
        "vocab_size": text["vocab_size"],
        "draft_vocab_size": min(32000, text["vocab_size"]),
        "max_position_embeddings": text.get("max_position_embeddings", 4096),
        "rms_norm_eps": 1e-5,
        "torch_dtype": "bfloat16",
    }


def _config(model: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((CONFIGS / f"{model}.json").read_text(encoding="utf-8"))
    return config


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def manifests(number: str, question: Question, plan: Plan, engine: Engine) -> Files:
    """The files of the question's deployment target."""
    target = question.deploy
    plain = set(export_plan(plan, engine=engine.address).files) - {"README.md"}
    try:
        export = export_plan(plan, engine=engine.address, deploy=target)
    except planner.PlannerError as error:
        return Files(number, target, {}, str(error))
    return Files(number, target, {k: v for k, v in export.files.items() if k not in plain})


def container_commands(files: Files, engine: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(place, words) of every container that starts ``engine``, with addresses filled in."""
    texts = [(name, text) for name, text in files.files.items() if name.endswith((".yaml", ".yml"))]
    seen = set()
    for name, text in texts:
        for at, words in enumerate(_commands(list(yaml.safe_load_all(text)))):
            served = _served(words, engine)
            if served and served not in seen:
                seen.add(served)
                yield f"{files.target}.{name}.{at}", served


def _commands(node: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(node, list):
        for item in node:
            yield from _commands(item)
    elif isinstance(node, dict):
        command = node.get("entrypoint" if "entrypoint" in node else "command")
        arguments = node.get("command" if "entrypoint" in node else "args")
        if isinstance(command, list) and isinstance(arguments, list):
            yield tuple(map(str, [*command, *arguments]))
        for value in node.values():
            yield from _commands(value)


def _served(words: tuple[str, ...], engine: str) -> tuple[str, ...]:
    """The engine's command in a container's, as a shell would hand it over; none of another
    program."""
    if words[:2] == ("sh", "-c"):
        text = re.sub(r"\$\(\(.*?\)\)", "1", words[2])
        words = tuple(shlex.split(text.removeprefix("exec ")))
    filled = tuple(
        re.sub(r"\$[({]{1,2}(\w+)[)}]{1,2}", lambda m: _ADDRESSES.get(m[1], "x"), word)
        for word in words
    )
    marks = (PROGRAMS[engine][-1],)
    if not any(word.rsplit("/", 1)[-1] in marks for word in filled[:4]):
        return ()
    return filled

"""English that is left in a Chinese page: Latin words in what a reader sees or hears that are no
names.

``latin_words(page)`` gives them in order, each once. Read are texts and the attributes that are
read aloud or shown; not read are scripts, styles, commands (``code``, ``pre``, ``kbd``, ``samp``)
and what is quoted in its own language: ``<cite lang="en">`` (titles of sources) and
``<q lang="en">``. A word is a run of letters with what joins them in a name (``fp8-block``,
``op_gemm.csv``). It is a name where it

- has a digit, an underscore, a slash or a dot inside, or begins with a dash (a flag): ``sm90``;
- has capitals inside or two of them: ``FlashInfer``, ``KV``, ``TTFT``;
- or is one of the program's: models, devices, formats, caches, kinds of modules, engines,
  workloads; or of NAMES and ABBREVIATIONS below, or of the ``names`` that a test gives.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from html.parser import HTMLParser

SILENT = frozenset({"script", "style", "code", "pre", "kbd", "samp", "template"})
QUOTED = frozenset({"cite", "q"})
SHOWN = ("alt", "aria-label", "aria-description", "title", "placeholder", "data-l", "label")
"""Attributes that are read aloud or shown."""
VOID = frozenset(
    {
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "source",
        "track",
        "wbr",
    }
)
_ADDRESS = re.compile(r"(?:https?://|www\.|github\.com/|github )[^\s，；。）】]+")
_FLAG = re.compile(r"--[a-z][a-z-]*(?:[ =][A-Za-z0-9][\w.,-]*)?")
_WORD = re.compile(r"(?<![A-Za-z0-9])-{0,2}[A-Za-z][A-Za-z0-9]*(?:[-_.+/@:·^*=#'’][A-Za-z0-9]+)*")

_UNITS = "ms ns ln min nats token tokens/s token/s rank pt"
ABBREVIATIONS = frozenset(_UNITS.split())
"""Units and words of the field that Chinese texts write in Latin letters."""

_MAKERS = """nvidia llama meta google deepseek qwen mistral microsoft anthropic intel apple thireus
    anyscale unsloth kimi moonshot pypi github cohen allen cunneen bailey neuts poisson"""
_FIELD = """tp dp pp ep kl kv nats mtp eagle-3
    all-reduce all-gather reduce-scatter all-to-all custom-allreduce kda csa hca
    swa osl isl cpu tpu pcie gpu-gddr gpu-hbm unified"""
_CHIPS = """jetson ascend gaudi hopper blackwell ampere turing volta ada lovelace rubin xeon epyc
    orin thor graviton trainium geforce inferentia wgmma sve
    zen instinct ryzen arm blackwell-block-scaled"""
_SOFTWARE = """cuda flashinfer triton marlin humming cutlass machete deepgemm torch torchao
    cublas cudnn gloo nccl ray dask vulkan metal gguf ggml exllama quark petit mooncake nixl
    modelopt modelopt-mixed compressed-tensors bitsandbytes aiter trtllm gptq rocm xpu tpu-inference
    vllm-neuron habana transformers torch-neuronx vllm-graph kt-kernel sglang-kt neuron maxn
    safetensors neuralmagic gpt-oss llama-quantize vllm-bnb-plugin moe-torch-flow-min-latency
    precision-planner aiconfigurator aiconfigurator-core
    llama-cpp-python"""
NAMES = frozenset(f"{_MAKERS} {_FIELD} {_CHIPS} {_SOFTWARE}".split())
"""Proper names that have no digit and no capital inside."""


class _Reader(HTMLParser):
    """Collects what is seen or heard."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, bool]] = []
        self.texts: list[str] = []

    @property
    def hidden(self) -> bool:
        return any(hides for _, hides in self.open)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        hides = tag in SILENT or (tag in QUOTED and (values.get("lang") or "") == "en")
        if not self.hidden and not hides:
            self.texts += [values[name] or "" for name in SHOWN if name in values]
        if tag not in VOID:
            self.open.append((tag, hides))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        for n in range(len(self.open) - 1, -1, -1):
            if self.open[n][0] == tag:
                del self.open[n:]
                return

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.texts.append(data)


def seen_texts(html: str) -> list[str]:
    """What a reader of ``html`` sees or hears, piece by piece, without what is quoted; lines of a
    figure that break a name at its hyphen are one piece."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    pieces: list[str] = []
    for text in filter(str.strip, reader.texts):
        if pieces and re.search(r"[A-Za-z0-9]-$", pieces[-1]):
            pieces[-1] += text
        else:
            pieces.append(text)
    return pieces


def latin_words(html: str, names: Collection[str] = ()) -> list[str]:
    """Words of two or more Latin letters in what ``html`` shows that are neither names nor standing
    abbreviations, each once; ``names``: texts whose words are names on this page (a title, say).
    """
    own = {word.lower() for name in names for word in _words(name)}
    return list(
        dict.fromkeys(
            word
            for text in seen_texts(html)
            for word in _words(text)
            if word.lower() not in own and not is_name(word)
        )
    )


def latin_texts(html: str, names: Collection[str] = ()) -> list[str]:
    """The pieces of text with such words, whole: what a failing test shows."""
    return [
        text.strip() for text in seen_texts(html) if latin_words(f"<p>{_escaped(text)}</p>", names)
    ]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _words(text: str) -> Iterator[str]:
    for found in _WORD.finditer(_FLAG.sub(" ", _ADDRESS.sub(" ", text))):
        if sum(c.isalpha() for c in found.group()) > 1:
            yield found.group()


def is_name(word: str) -> bool:
    """Whether a word is a name or a standing abbreviation."""
    low = word.lower()
    if word.startswith("-") or low in ABBREVIATIONS or low in NAMES or low in known_names():
        return True
    if re.search(r"[0-9_/@=]|[A-Za-z]\.[A-Za-z]", word) or re.search(r"[A-Za-z][A-Z]", word):
        return True
    for joint in (r"[:·^*#]", r"[-+.'’]"):
        parts = re.split(joint, word)
        if len(parts) > 1 and all(len(part) < 2 or is_name(part) for part in parts):
            return True
    return False


@cache
def known_names() -> frozenset[str]:
    """The program's own names: models, devices, formats, caches, kinds, engines, workloads."""
    from planner.formats.kv import KV_KINDS, KV_LAYOUTS
    from planner.formats.schemes import SCHEMES
    from planner.hardware.catalog import device_ids
    from planner.memory.engines.catalog import engine_names
    from planner.models.catalog import catalog
    from planner.placement.modules import AS_RELEASED_KINDS, DRAFT, PLANNED_KINDS
    from planner.planning.question.policies import RULES
    from planner.workloads import workload_ids

    return frozenset(
        name.lower()
        for names in (
            SCHEMES,
            KV_LAYOUTS,
            KV_KINDS,
            device_ids(),
            engine_names(),
            catalog(),
            [
                name
                for entry in catalog().values()
                for name in re.findall(r"[^\s/]+", " ".join((entry.public_name, *entry.aliases)))
            ],
            PLANNED_KINDS,
            AS_RELEASED_KINDS,
            [DRAFT],
            RULES,
            workload_ids(),
        )
        for name in names
    )

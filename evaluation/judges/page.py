"""docs/evidence/judges.md: what the judges said, from their verdicts alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from evaluation.judges.manifests import ManifestVerdict
from evaluation.judges.verdicts import Judged, grouped

HEAD = """# Commands and files judged by the engines' own parsers

Each answer's printed command, and each command that its manifest has in a container, goes through
the engine's own argument parser and configuration classes; manifests go through the schemas of
Compose and Kubernetes. Written by

```console
$ make judges
```

(`evaluation/judges`: questions are drawn by seed, features and engines by turns; environments are
those of `.ci/engines/judge-*.in`.) vLLM: the parser of `vllm serve` and `create_engine_config`, on
a stand-in of the device's platform. SGLang: `prepare_server_args` and the resolution that a launch
runs, on a PyTorch that answers for the device. llama.cpp: `llama-server`'s parser, which refuses a
word before it opens the model. TensorRT-LLM: **not its code**; the package index has a stub of its
wheel alone, so words and options are held against a table of its fields
(`evaluation/judges/data/trtllm_fields.toml`: names, types, what must be given, how graph sizes
follow), read from its sources of the 1.2 era, which are pinned to no tag. Models are the bundled
configurations, without weights.

*differ*: of the cases whose values could be compared, those where the engine computes another
share of memory, number of sequences, prompt tokens of a step, context, rank count or size that a
full batch is replayed at (a tenth more is taken as equal) than the plan priced.
"""
TAIL = """
## What this does not show

- that weights load and kernels run: nothing is started, no device is there
- what FlashInfer, DeepGEMM and other packages of a GPU build would answer; where they decide a
  choice, the choice here is that of an installation without them
- TensorRT-LLM's own validators, and its fields at a tag
- replayed sizes of steps that verify drafted tokens: they are not compared
- the objects of LeaderWorkerSet, llm-d, the Gateway and Dynamo: their schemas are not in the
  package index, so only Kubernetes' own objects are judged
- EAGLE heads that are not published: their configuration is made up of the target's
"""


def page(
    judged: Sequence[Judged],
    manifests: Sequence[ManifestVerdict],
    answers: Mapping[str, Sequence[str]],
    unanswered: int,
) -> str:
    """The page; ``answers``: feature → the engine of each answer; ``unanswered``: questions that
    the planner refused."""
    refused = sum(bool(one.refused) for one in judged)
    differing = sum(bool(one.differing) for one in judged)
    total = sum(map(len, answers.values()))
    wrong = sum(bool(one.refused) for one in manifests)
    lines = [
        HEAD,
        f"**{total} answers, {len(judged)} commands: {len(judged) - refused} taken, {refused} "
        f"refused; computed otherwise than priced: {differing} of "
        f"{sum(one.compared for one in judged)} compared. {len(manifests)} manifests: {wrong} "
        "refused.**",
        "",
        *_engines(judged),
        *_refused(judged),
        *_differing(judged),
        *_manifests(manifests),
        *_answers(answers, unanswered),
        TAIL.strip(),
    ]
    return "\n".join(lines) + "\n"


def _engines(judged: Sequence[Judged]) -> list[str]:
    rows: dict[tuple[str, str, str], list[Judged]] = defaultdict(list)
    for one in judged:
        rows[one.case.engine, one.case.version, one.judge].append(one)
    out = [
        "## By engine",
        "",
        "| engine | plan for | judged by | commands | taken | refused | compared | differ |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for (engine, version, judge), own in sorted(rows.items()):
        refused = sum(bool(one.refused) for one in own)
        out.append(
            f"| {engine} | {version or '–'} | {judge} | {len(own)} | {len(own) - refused} | "
            f"{refused} | {sum(one.compared for one in own)} | "
            f"{sum(bool(one.differing) for one in own)} |"
        )
    return [*out, ""]


def _refused(judged: Sequence[Judged]) -> list[str]:
    groups = grouped(judged)
    if not groups:
        return []
    out = ["## Refused, by reason", "", "| engine | commands | reason | first question |"]
    out.append("|---|---:|---|---|")
    for (engine, why), own in groups.items():
        out.append(f"| {engine} | {len(own)} | {_cell(why)} | {_cell(own[0].case.text)} |")
    return [*out, ""]


def _differing(judged: Sequence[Judged]) -> list[str]:
    rows: dict[tuple[str, str], list[tuple[Judged, str, str]]] = defaultdict(list)
    for one in judged:
        for name, value, expected in one.differing:
            rows[one.case.engine, name].append((one, value, expected))
    if not rows:
        return []
    out = [
        "## Computed otherwise than priced",
        "",
        "| engine | value | commands | engine's | priced | first question |",
        "|---|---|---:|---|---|---|",
    ]
    for (engine, name), own in sorted(rows.items(), key=lambda item: (-len(item[1]), item[0])):
        first, value, expected = own[0]
        out.append(
            f"| {engine} | {name} | {len(own)} | {_cell(value)} | {_cell(expected)} | "
            f"{_cell(first.case.text)} |"
        )
    return [*out, ""]


def _manifests(manifests: Sequence[ManifestVerdict]) -> list[str]:
    if not manifests:
        return []
    out = [
        "## Manifests",
        "",
        "| target | judged by | answers | objects | taken | refused | not judged |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for target in sorted({one.target for one in manifests}):
        own = [one for one in manifests if one.target == target]
        refused = sum(bool(one.refused) for one in own)
        out.append(
            f"| {target} | {own[0].judge} | {len(own)} | {sum(one.objects for one in own)} | "
            f"{len(own) - refused} | {refused} | {sum(one.unjudged for one in own)} |"
        )
    why = Counter((one.target, one.refused) for one in manifests if one.refused)
    out += [""] + [f"- {target}: {text} ({count})" for (target, text), count in why.most_common()]
    return [*out, ""]


def _answers(answers: Mapping[str, Sequence[str]], unanswered: int) -> list[str]:
    engines = sorted({engine for own in answers.values() for engine in own})
    out = [
        "## Answers by feature",
        "",
        f"The planner refused {unanswered} further questions.",
        "",
        f"| feature | {' | '.join(engines)} |",
        "|---|" + "---:|" * len(engines),
    ]
    for feature, own in answers.items():
        out.append(f"| {feature} | {' | '.join(str(own.count(e) or '–') for e in engines)} |")
    return [*out, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

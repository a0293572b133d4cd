"""docs/evidence/judges.md: what the judges said, from their verdicts alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from evaluation.judges.manifests import ManifestVerdict
from evaluation.judges.verdicts import Judged, grouped
from evaluation.pages import moved

HEAD = """# Commands and manifests read by the engines' parsers

Each printed command, and each command in a manifest, goes through the engine's own argument parser
and configuration classes; manifests go through the schemas of Compose and Kubernetes. Questions
are drawn by seed; TensorRT-LLM's words are held against a table of its fields, as its wheel has no
code. *differ*: the engine computes another share of memory, number of sequences, prompt tokens of
a step, context, rank count or graph size (a tenth more counts as
equal) than the plan priced. Made by
`make judges`. Not shown: that weights load and kernels run, and what packages of a GPU build
choose.
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
    ]
    return "\n".join(lines).rstrip() + "\n"


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
    out = ["| engine | commands | reason | first question |", "|---|---:|---|---|"]
    for (engine, why), own in groups.items():
        out.append(f"| {engine} | {len(own)} | {_cell(why)} | {_cell(own[0].case.text)} |")
    return [moved("judges-refused", "Refused, by reason", out), ""]


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
        f"| feature | {' | '.join(engines)} |",
        "|---|" + "---:|" * len(engines),
    ]
    for feature, own in answers.items():
        out.append(f"| {feature} | {' | '.join(str(own.count(e) or '–') for e in engines)} |")
    every = moved("judges-features", "Answers by feature and engine", out)
    return [f"The planner refused {unanswered} further questions. {every}", ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

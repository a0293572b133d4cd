"""The view of ``plan train``: components of the fullest stage, other stages, the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from planner.base.units import GIB, format_bytes, format_count
from planner.memory.training import COMPONENTS, TrainingMemory, TrainingStage
from planner.report.phrases import Phrases
from planner.report.view.record import Fact, Items, Section, Table, View
from planner.report.view.verb_words import verb_phrases, word

VERB = "train"
SHOWN_STAGES = 4


def train_view(answer: TrainingMemory, lang: str) -> View:
    """The whole answer."""
    t = verb_phrases(VERB, lang)
    components = Section("", (_components(t, answer.fullest, answer.usable_bytes),))
    stages = Section("", (Items(tuple(_stages(t, answer))),)) if len(answer.stages) > 1 else None
    return View(
        _title(t, answer),
        tuple(_facts(t, answer)),
        (components, stages) if stages is not None else (components,),
    )


def overfull(t: Phrases, stage: TrainingStage, usable_bytes: int) -> str:
    """Which component overfills a device of ``usable_bytes``."""
    name = stage.largest
    alone = int(getattr(stage, name)) > usable_bytes
    return t("fits.alone" if alone else "fits.largest", name=t(f"component.{name}"))


def _title(t: Phrases, answer: TrainingMemory) -> str:
    la, setup = answer.layout, answer.setup
    shape = " ".join(
        f"{name}{getattr(la, name)}"
        for name in ("tp", "cp", "pp", "dp", "ep", "etp")
        if getattr(la, name) > 1
    )
    return t(
        "head.title",
        model=answer.model,
        mode=t("head.full") if setup.mode == "full" else t("head.lora", rank=setup.lora_rank),
        recipe=setup.recipe.id,
        devices=la.devices,
        device=answer.device,
        layout=t("head.layout", text=shape) if shape else "",
    )


def _facts(t: Phrases, answer: TrainingMemory) -> Iterator[Fact]:
    setup = answer.setup
    over = answer.fullest.total - answer.usable_bytes
    if over <= 0:
        yield Fact(t("fact.fits"), t("fits.yes", spare=format_bytes(-over)))
    else:
        why = overfull(t, answer.fullest, answer.usable_bytes)
        yield Fact(t("fact.fits"), t("fits.no", over=format_bytes(over), why=why))
        change = answer.change
        text = (
            t("fits.change", flags=change.flags, bytes=format_bytes(change.total_bytes))
            if change is not None
            else t("fits.nothing")
        )
        yield Fact(t("fact.instead"), text)
    yield Fact(
        t("fact.trained"),
        t(
            "trained.text",
            trained=format_count(answer.trained),
            parameters=format_count(answer.parameters),
            micro=setup.micro_batch,
            seq=f"{setup.seq:,}",
            zero=setup.zero,
            recompute=word(t, "recompute", setup.recompute),
        )
        + (t("trained.sequence") if setup.sequence_parallel else ""),
    )
    if len(answer.stages) == 1:
        yield Fact(
            t("fact.parameters"),
            t(
                "trained.device",
                dense=format_count(answer.fullest.dense_parameters),
                experts=format_count(answer.fullest.expert_parameters),
            ),
        )
    scaling = answer.loss_scaling
    if scaling is not None:
        yield Fact(
            t("fact.scale"),
            t(
                "scale.text",
                scale=scaling.scale,
                largest=f"{scaling.largest_gradient:.4g}",
                margin=f"{scaling.overflow_margin_bits:+.2f}",
                reference=f"{scaling.reference:g}",
                normal=f"{scaling.smallest_normal:.2g}",
                least=f"{scaling.smallest_subnormal / 2:.2g}",
            ),
        )


def _components(t: Phrases, stage: TrainingStage, usable_bytes: int) -> Table:
    rows = [
        (t(f"component.{name}"), f"{size / GIB:.2f}", f"{size / usable_bytes:.1%}")
        for name in COMPONENTS
        if (size := int(getattr(stage, name)))
    ]
    rows.append((t("table.total"), f"{stage.total / GIB:.2f}", f"{stage.total / usable_bytes:.1%}"))
    rows.append((t("table.usable"), f"{usable_bytes / GIB:.2f}", ""))
    heads = (t("table.stage", n=stage.stage), "GiB", t("table.share"))
    return Table(heads, tuple(rows))


def _stages(t: Phrases, answer: TrainingMemory) -> list[str]:
    chosen = sorted(answer.stages, key=lambda s: -s.total)[:SHOWN_STAGES]
    lines = [
        t(
            "stage.text",
            n=s.stage,
            bytes=format_bytes(s.total),
            parameters=format_count(s.dense_parameters + s.expert_parameters),
        )
        for s in sorted(chosen, key=lambda s: s.stage)
    ]
    hidden = len(answer.stages) - len(chosen)
    return lines + ([t("stage.hidden", n=hidden)] if hidden else [])

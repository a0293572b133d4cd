"""Changes of what is asked for, the limits kept: fewer users, smaller caches, shorter sequences,
another layout, more devices, more formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import scheme_ids
from planner.messages.message import LINKED, joined, message
from planner.planning.infeasible.case import LOOSE, Remedy, RemedyKind, State, Unserved
from planner.planning.infeasible.feasible import (
    any_plan,
    has_plan,
    largest_multiple,
    least_memory,
    steps,
)
from planner.planning.question.caches import DOMINATED_KV
from planner.planning.question.machine import MAX_DEVICES
from planner.planning.question.question import Question
from planner.planning.question.workload import DEFAULT_OSL
from planner.planning.space.candidates import possible_layouts
from planner.throughput.kernels import legal_schemes

SHORTEST = 16
"""A sequence is shortened to one part in so many at most: less is another service."""
AXES = ("tp", "dp", "pp", "ep")


def nearest_feasible(case: Unserved) -> list[RemedyKind]:
    """The kinds of change that the question admits, the nearest to it first."""
    kinds: list[RemedyKind] = [FewerUsers(case)] if case.first.is_batch_given else []
    if case.given.get("kv") not in (None, "auto"):
        kinds.append(OtherCache(case))
    if case.searched and case.given.get("drop_policies") is None:
        kinds.append(PlannedEmbedding(case))
    kinds.append(ShorterSequences(case))
    if any(case.typed.get(axis) is not None for axis in AXES):
        kinds.append(FreeLayout(case))
    return [*kinds, MoreDevices(case)]


@dataclass(frozen=True)
class FewerUsers:
    """The largest batch with a plan, or the most requests in flight."""

    case: Unserved

    @property
    def loosest(self) -> State:
        return {self._named: LOOSE}

    @property
    def _named(self) -> str:
        return "batch" if self.case.first.batch is not None else "concurrency"

    def nearest(self, state: State) -> Remedy | None:
        """Within the layouts of one dp·pp a smaller batch never needs more: each is bisected."""
        name = self._named
        given: int = getattr(self.case.first, name)
        ways = [way for way in self.case.at({**state, **self.loosest}) if has_plan(way)]

        def at(way: Question, users: int) -> Question:
            return replace(way, batch=users) if name == "batch" else replace(way, concurrency=users)

        options = [(way, step) for way in ways for step in steps(at(way, given))]
        most = largest_multiple(options, at, 1, given)
        if most is None:
            return None
        return Remedy(
            {name: most},
            message(
                "refusals.users_are_most_with_plan"
                if most > 1
                else "refusals.user_is_most_with_plan",
                n=most,
                flag=name,
                m=most,
            ),
        )


@dataclass(frozen=True)
class OtherCache:
    """The first cache layout of the catalogue with a plan, where another was named."""

    case: Unserved

    @property
    def loosest(self) -> State:
        return {"kv": "auto"}

    def nearest(self, state: State) -> Remedy | None:
        for name in KV_LAYOUTS:
            change = {"kv": name}
            if name not in (*DOMINATED_KV, self.case.given["kv"]) and any_plan(
                self.case.at({**state, **change})
            ):
                return Remedy(change, message("refusals.with_caches_in_there_is", x=name, y=name))
        return None


@dataclass(frozen=True)
class PlannedEmbedding:
    """Embedding and head planned too, which a rule keeps as released: on small devices they are
    what is too large."""

    case: Unserved

    @property
    def loosest(self) -> State:
        return {"drop_policies": ("embedding", "head")}

    def nearest(self, state: State) -> Remedy | None:
        if not any_plan(self.case.at({**state, **self.loosest})):
            return None
        return Remedy(
            self.loosest,
            message("refusals.embedding_and_head_in_fewer"),
        )


@dataclass(frozen=True)
class ShorterSequences:
    """The longest sequence with a plan, by the flag that sets it."""

    case: Unserved

    @property
    def _by_prompt(self) -> bool:
        return self.case.given.get("context") is None and self.case.given.get("isl") is not None

    @property
    def _given_length(self) -> int:
        work = self.case.first.workload
        return work.isl if self._by_prompt else work.context

    @property
    def _low(self) -> int:
        low = max(2, self._given_length // SHORTEST)
        return low if self._by_prompt else max(low, (self.case.given.get("osl") or 1) + 1)

    @property
    def loosest(self) -> State:
        return self.flags(min(self._low, self._given_length))

    def flags(self, tokens: int) -> dict[str, int]:
        """The flags of a sequence (of a prompt where the prompt alone was given) of so many
        tokens, the answer kept where it was given."""
        isl, osl = self.case.given.get("isl"), self.case.given.get("osl")
        answer = {} if osl is None or self.case.typed.get("osl") is not None else {"osl": osl}
        if self._by_prompt:
            return {"isl": tokens, **answer}
        room = tokens - (osl or 1)
        if isl is None:
            return {"context": tokens, **answer}
        if isl > room:
            isl = max(1, tokens - (osl or max(1, min(DEFAULT_OSL, tokens // 8))))
        elif self.case.typed.get("isl") is not None:
            return {"context": tokens, **answer}
        return {"context": tokens, "isl": isl, **answer}

    def nearest(self, state: State) -> Remedy | None:
        """Bisected to the token with the workload that the flags make."""
        count = len(self.case.at({**state, **self.loosest}))

        def at(way: int, tokens: int) -> Question | None:
            ways = self.case.at({**state, **self.flags(tokens)})
            return ways[way] if way < len(ways) else None

        most = largest_multiple(
            [(way, 1) for way in range(count)], at, self._low, self._given_length
        )
        if most is None:
            return None
        flags = self.flags(most)
        word = "prompt" if self._by_prompt else "context"
        typed = [f"--{name} {value}" for name, value in flags.items()]
        return Remedy(
            flags, message(f"refusals.longest_{word}_with_plan_is", n=most, f=joined(typed, LINKED))
        )


@dataclass(frozen=True)
class FreeLayout:
    """No axis of the layout given."""

    case: Unserved

    @property
    def loosest(self) -> State:
        return dict.fromkeys(self._named)

    @property
    def _named(self) -> list[str]:
        return [axis for axis in AXES if self.case.typed.get(axis) is not None]

    def nearest(self, state: State) -> Remedy | None:
        if not any_plan(self.case.at({**state, **self.loosest})):
            return None
        words = joined([f"--{axis}" for axis in self._named], LINKED)
        return Remedy(self.loosest, message("refusals.another_layout_has_plan_leave", words=words))


@dataclass(frozen=True)
class MoreDevices:
    """The fewest devices with a plan, of all counts that some layout uses."""

    case: Unserved

    @property
    def loosest(self) -> State:
        return {"devices": LOOSE}

    def nearest(self, state: State) -> Remedy | None:
        if not any_plan(self.case.at({**state, **self.loosest})):
            return None
        for count in self._counts(state):
            if any_plan(self.case.at({**state, "devices": count})):
                return Remedy(
                    {"devices": count},
                    message("refusals.devices_are_fewest_with_plan", n=count, m=count),
                )
        return None

    def _counts(self, state: State) -> Iterator[int]:
        """Counts above the given one (beside those searched) that admit a new size of replica."""
        ranks = {
            la.ranks
            for way in self.case.at({**state, **self.loosest})
            for la in possible_layouts(way)
        }
        sizes, given = self.case.first.sizes, self.case.first.devices_given
        tried = {r for r in ranks if any(size % r == 0 if given else size == r for size in sizes)}
        for count in range(1, MAX_DEVICES + 1):
            fresh = {r for r in ranks if count % r == 0} - tried
            if fresh and (not given or count > max(sizes)):
                tried |= fresh
                yield count


@dataclass(frozen=True)
class MoreFormats:
    """All schemes of the device where some were named; in an estimate another scheme."""

    case: Unserved

    @property
    def loosest(self) -> State:
        if self.case.searched:
            return {"schemes": None}
        format_names = [
            (least.total, i, name)
            for i, name in enumerate(self._names)
            if (least := least_memory(self.case.at({"scheme": name}))) is not None
        ]
        return {"scheme": min(format_names)[2]} if format_names else {}

    @property
    def _names(self) -> list[str]:
        """The device's schemes; the release's own goes first, FP32 last: nobody serves in it."""
        first = self.case.first
        return sorted(
            legal_schemes(first.device, scheme_ids())[0],
            key=lambda name: (name != first.spec.quantization, name == "fp32"),
        )

    def nearest(self, state: State) -> Remedy | None:
        changes: list[State] = (
            [{"schemes": None}]
            if self.case.searched
            else [{"scheme": name} for name in self._names]
        )
        for change in changes:
            if any_plan(self.case.at({**state, **change})):
                return Remedy(
                    change,
                    message(
                        "refusals.allow_more_formats",
                        x=message("refusals.leave_out_schemes")
                        if self.case.searched
                        else " ".join(("--scheme", str(change["scheme"]))),
                    ),
                )
        return None

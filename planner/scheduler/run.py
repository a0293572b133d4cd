"""Requests played through an engine's scheduler, pass by pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planner.base.errors import InputError
from planner.numerics.engines import Chosen, check_engine, numba_installed
from planner.requests.stream import RequestStream
from planner.scheduler import state as at
from planner.scheduler.costs import StepCosts
from planner.scheduler.events import play
from planner.scheduler.folded import FoldedPasses, PassFolder
from planner.scheduler.members import Members, members
from planner.scheduler.rules import LEAST_LOADED, ROUTERS, SchedulerRules
from planner.scheduler.served import ServedRequests
from planner.scheduler.setup import as_lists, new_state
from planner.scheduler.state import State
from planner.throughput.scheduling import Scheduling

Progress = Callable[[int], None]
PASSES = 1 << 16
"""Passes between two looks at the clock of a compiled kernel; a sixteenth of it otherwise."""
WORTH_COMPILING = 4_000_000
"""Tokens of answers from which compiling the kernel is soon repaid: of one run, or of all that this
process has interpreted; the results are the same to the bit."""


def run(
    stream: RequestStream,
    rules: SchedulerRules,
    costs: StepCosts,
    policy: Scheduling,
    *,
    ranks: int = 1,
    replicas: int = 1,
    router: str = LEAST_LOADED,
    seed: int = 0,
    progress: Progress | None = None,
    engine: Chosen = "auto",
    read_elsewhere: bool = False,
    record: Callable[[Members], None] | None = None,
    fold: bool = False,
) -> ServedRequests:
    """Serve a stream on ``replicas`` of ``ranks`` attention ranks that step together.

    ``progress`` is called now and then with the number of requests that are done. An interrupt ends
    the run early: what was served until then is returned, not ``complete``. ``engine``: ``numba``
    compiles the kernel, ``numpy`` runs it as it stands, with the same results. ``read_elsewhere``:
    prompts are read by other workers, their caches are here when they arrive. ``record`` is called
    with the members of each pass in order of their start; the kernel then runs as it stands.
    ``fold``: keep no row for each pass, but what they sum up to.

    Raises:
        InputError: no rank, a cache or budget that holds nothing, or an unknown router.
    """
    _check(rules, ranks, replicas, router)
    compiled = record is None and _compiles(stream, engine)
    room = PASSES if compiled else PASSES // 16
    if record is not None:
        room = 1
    tables = new_state(
        stream,
        rules,
        costs,
        policy,
        ranks=ranks,
        replicas=replicas,
        router=router,
        seed=seed,
        read_elsewhere=read_elsewhere,
        room=room,
        narrow=fold and compiled,
    )
    step: Callable[[State, int], bool] = play
    if compiled:
        from planner.scheduler.compiled import compiled_play

        step = compiled_play()
    else:
        tables = as_lists(tables)
    folder = PassFolder(float(stream.arrival_seconds[-1])) if fold and len(stream) else None
    return _played(tables, step, room, progress, record, folder)


def _check(rules: SchedulerRules, ranks: int, replicas: int, router: str) -> None:
    if ranks < 1 or replicas < 1:
        raise InputError(f"{replicas} replicas of {ranks} ranks", hint="each at least 1")
    if router not in ROUTERS:
        raise InputError(f"router {router!r}", hint=" or ".join(ROUTERS))
    if rules.token_budget <= rules.draft or rules.max_sequences < 1 or rules.block_tokens < 1:
        raise InputError(
            f"a pass of {rules.token_budget} tokens and {rules.max_sequences} sequences",
            hint="a pass holds at least the tokens of one sequence",
        )
    if rules.cache_tokens < rules.block_tokens:
        raise InputError(
            f"a cache of {rules.cache_tokens} tokens", hint="it holds at least one block"
        )


@dataclass
class _Interpreted:
    """Tokens of answers that this process has played by the kernel as it stands."""

    tokens: int = 0


_interpreted = _Interpreted()


def _compiles(stream: RequestStream, engine: Chosen) -> bool:
    check_engine(engine, 1)
    if engine != "auto":
        return engine == "numba"
    _interpreted.tokens += int(stream.output_tokens.sum())
    return _interpreted.tokens >= WORTH_COMPILING and numba_installed()


def _played(
    tables: State,
    step: Callable[[State, int], bool],
    room: int,
    progress: Progress | None,
    record: Callable[[Members], None] | None,
    folder: PassFolder | None,
) -> ServedRequests:
    """Run the kernel from record to record until all is served or somebody interrupts."""
    amounts, counts = [np.zeros((0, 3))], [np.zeros((0, 3), dtype=np.int32)]
    complete = False

    def keep() -> None:
        _keep(tables, amounts, counts)
        if folder is not None:
            _fold(folder, *_in_order(amounts.pop(), counts.pop()))

    try:
        while not complete:
            complete = step(tables, room)
            if record is not None and tables.marks[at.RECORDED]:
                record(members(tables))
            keep()
            if progress is not None:
                progress(int(tables.marks[at.SERVED_ALL] + tables.marks[at.REFUSED]))
    except KeyboardInterrupt:
        complete = False
        keep()
    every = _in_order(np.concatenate(amounts), np.concatenate(counts))
    amounts.clear()
    counts.clear()
    folded = None if folder is None else folder.folded()
    return _served(tables, *every, complete=complete, folded=folded)


def _keep(tables: State, amounts: list[np.ndarray], counts: list[np.ndarray]) -> None:
    """Move the passes that the kernel recorded."""
    recorded = int(tables.marks[at.RECORDED])
    amounts.append(np.array(tables.amounts[:recorded], dtype=np.float64).reshape(-1, 3))
    counts.append(np.array(tables.counts[:recorded], dtype=np.int32).reshape(-1, 3))
    tables.marks[at.RECORDED] = 0


def _in_order(amounts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Passes in order of their start; those that begin together on several replicas in that of what
    they hold."""
    if not np.any(amounts[1:, at.BEGIN] <= amounts[:-1, at.BEGIN]):
        return amounts, counts
    order = np.lexsort(
        (*counts.T, amounts[:, at.SHARE], amounts[:, at.LASTED], amounts[:, at.BEGIN])
    )
    return amounts[order], counts[order]


def _fold(folder: PassFolder, amounts: np.ndarray, counts: np.ndarray) -> None:
    begin, lasted, share = (amounts[:, i] for i in (at.BEGIN, at.LASTED, at.SHARE))
    folder.add(begin, lasted, share, counts[:, at.DECODED].astype(np.float64))


def _served(
    tables: State,
    amounts: np.ndarray,
    counts: np.ndarray,
    *,
    complete: bool,
    folded: FoldedPasses | None,
) -> ServedRequests:
    requests = np.asarray(tables.requests).reshape(-1, at.REQUEST_COLUMNS)
    times = np.asarray(tables.times, dtype=np.float64).reshape(-1, 3)
    return ServedRequests(
        first_seconds=times[:, at.FIRST],
        last_seconds=times[:, at.LAST],
        scheduled_seconds=times[:, at.SCHEDULED],
        preempted=requests[:, at.PREEMPTED].copy(),  # the table has three times as many columns
        hit_tokens=requests[:, at.HIT].copy(),
        rejected=requests[:, at.REJECTED] > 0,
        made_tokens=requests[:, at.MADE].copy(),
        start_seconds=amounts[:, at.BEGIN],
        pass_seconds=amounts[:, at.LASTED],
        decoding=counts[:, at.DECODED],
        prompt_tokens=counts[:, at.PROMPTED],
        cache_share=amounts[:, at.SHARE],
        waiting=counts[:, at.WAITED],
        complete=complete,
        folded=folded,
    )

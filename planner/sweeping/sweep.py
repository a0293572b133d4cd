"""The Python side of ``plan sweep``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.base.display import with_former_keywords
from planner.base.errors import InputError, needs
from planner.base.typed import typed
from planner.hardware.learned_runs import NOTHING_KEPT, kept_runs
from planner.jobs.cluster import where as place_of_work
from planner.jobs.journal import Journal
from planner.jobs.workers import own_version
from planner.planning.question.prices import checked_price
from planner.sweeping.columns import ANSWER, COLUMNS, SweepTable
from planner.sweeping.output import check_output, exists, finished, journal_path, write_table
from planner.sweeping.read import SweepFile, asks_of, read_sweep
from planner.sweeping.run import Progress, Sweep, run

if TYPE_CHECKING:
    import pandas as pd

Questions = str | os.PathLike[str] | Sequence[Mapping[str, Any]]


def _nothing(*_: object) -> None:
    """Tell nobody."""


@with_former_keywords(told="notify")
@typed
def sweep(
    questions: Questions,
    *,
    output: str | os.PathLike[str] | None = None,
    workers: int | None = 1,
    cluster: str | None = None,
    resume: bool = True,
    force: bool = False,
    price: float | Mapping[str, float] | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
    no_learned: bool = False,
    progress: Progress = _nothing,
    notify: Callable[[str], None] = _nothing,
) -> pd.DataFrame:
    """Answer many questions; one row each, in their order.

    Args:
        questions: a sweep file (TOML), or mappings with the arguments of :func:`planner.plan` or
            :func:`planner.estimate` and ``verb`` (``plan``, the default, or ``estimate``).
        output: a .csv or .parquet file to write too; ``output`` + ``.journal`` keeps answers until
            then, and a run that was interrupted goes on from it.
        workers: processes; 1 is this one.
        cluster: address of a Dask cluster, or ``local`` for one that is started here with
            ``workers`` processes.
        resume: False starts over where a journal is found.
        force: an output that exists may be replaced; without, a finished table of the same
            questions is read, and another file refused.
        price: USD a device-hour, of all devices or by device; before the file's own prices, those
            of a scenario and of profiles.
        hardware_dir: further device profiles.
        no_learned: without what `plan learn` measured here.
        progress, notify: called as the work goes on.
    Returns:
        A frame whose columns docs/guide/scale.md explains; questions without a plan have the
        binding limit, questions that cannot be asked the reason.
    Raises:
        InputError: an unknown name or key, a value out of range, an output that exists.
        DataError: a file that is not valid, a full disk, a journal of another sweep, a killed
            worker; what was answered stays in the journal.
        MissingPackageError: pandas is not installed.
    """
    needs("pandas", extra="frames")
    return frame(
        answers(
            questions,
            output=output,
            workers=workers,
            cluster=cluster,
            resume=resume,
            force=force,
            price=price,
            hardware_dir=hardware_dir,
            no_learned=no_learned,
            progress=progress,
            notify=notify,
        ).columns
    )


@dataclass(frozen=True, slots=True)
class AnsweredSweep:
    """The columns of a sweep by name, None where a cell is empty, and the title of its file."""

    columns: dict[str, list[Any]]
    title: str


def answers(
    questions: Questions,
    *,
    output: str | os.PathLike[str] | None = None,
    workers: int | None = 1,
    cluster: str | None = None,
    resume: bool = True,
    force: bool = False,
    price: float | Mapping[str, float] | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
    no_learned: bool = False,
    progress: Progress = _nothing,
    notify: Callable[[str], None] = _nothing,
) -> AnsweredSweep:
    """As :func:`sweep`, as columns.

    Raises:
        InputError: ``force`` or ``resume`` without a table that is written.
    """
    where = place_of_work(workers, cluster)
    target = None if output is None else Path(output)
    if target is None and (force or not resume):
        raise InputError(
            f"{'--force' if force else '--no-resume'} is about a table that is "
            "written, and none is",
            hint="add -o OUT.csv, or leave it out",
        )
    if target is not None:
        check_output(target)
        if target.exists() and not (force or resume or journal_path(target).exists()):
            raise exists(target)
    file = (
        read_sweep(Path(questions))
        if isinstance(questions, (str, os.PathLike))
        else SweepFile(asks_of(questions))
    )
    resolved = Sweep(
        file.asks,
        None if hardware_dir is None else os.fspath(hardware_dir),
        file.price if price is None else checked_price(price, "price"),
        NOTHING_KEPT if no_learned else kept_runs(),
    ).resolve()
    given = resolved.columns()
    _tell_prices(given, notify)
    if target is None:
        table = run(resolved, where=where, journal=None, progress=progress, notify=notify)
        return AnsweredSweep(_columns(given, table), file.title)
    if not force and (there := finished(target, given)) is not None:
        notify(
            f"{target} has the answers to all {len(resolved.asks):,} questions already; --force "
            "answers them again"
        )
        return AnsweredSweep(there, file.title)
    place = journal_path(target)
    if not resume:
        place.unlink(missing_ok=True)
    journal = Journal.open(place, resolved.header(), noun="parts answered", fits=resolved.fits)
    try:
        columns = _columns(
            given, run(resolved, where=where, journal=journal, progress=progress, notify=notify)
        )
        write_table(
            target,
            columns,
            {"title": file.title, "program": "precision-planner", "version": own_version()},
        )
        journal.remove()
    finally:
        journal.close()
    return AnsweredSweep(columns, file.title)


def _tell_prices(given: Mapping[str, list[Any]], notify: Callable[[str], None]) -> None:
    """Say of which devices no price is known, before the work begins."""
    names = dict.fromkeys(
        device
        for device, usd in zip(given["device"], given["usd_per_device_hour"], strict=True)
        if usd is None
    )
    if names:
        notify(
            f"no price is known of {', '.join(names)}: --price {next(iter(names))}=USD (a "
            "device-hour) adds what a million tokens cost"
        )


def _columns(given: Mapping[str, list[Any]], table: SweepTable) -> dict[str, list[Any]]:
    columns = {**given, **{name: table.column(name) for name, _ in ANSWER}}
    return {name: columns[name] for name, _ in COLUMNS}


def frame(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Columns as a frame: whole numbers that may be absent, and text, as pandas' own types."""
    import pandas as pd

    kinds: dict[str, Any] = {
        "whole": "Int64",
        "number": "float64",
        "text": "string",
        "truth": "boolean",
    }
    return pd.DataFrame(
        {name: pd.Series(list(columns[name]), dtype=kinds[kind]) for name, kind in COLUMNS}
    )

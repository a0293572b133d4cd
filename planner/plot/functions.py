"""What ``planner.plot`` offers: of each result its chart (planner/report/charts), drawn on axes."""

from __future__ import annotations

import os
from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING, Literal

from planner.base.errors import InputError, UnknownNameError
from planner.base.typed import typed
from planner.plot.draw import draw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from planner.lab.validation.records import Validation
    from planner.memory.answer import MemoryAnswer
    from planner.memory.training import TrainingMemory
    from planner.models.inventory import Inventory
    from planner.models.spec import ModelSpec
    from planner.planning.inspect.reprice import Repriced
    from planner.planning.plan.record import Plan
    from planner.planning.serving.deployment import ServingAnswer
    from planner.planning.serving.experts import ExpertUse
    from planner.planning.what_if.compared import Compared
    from planner.planning.what_if.frontier import Frontier
    from planner.quality.layer_error import LayerNumerics
    from planner.sizing.fleet.fleet_record import Fleet

PHASES = ("decode", "prefill")
NOTE = 84
"""Characters of a line of the note below an axis."""


@typed
def formats(plan: Plan, ax: Axes | None = None) -> Axes:
    """A plan's layers × modules, coloured by format; a format's name stands in its run where it
    fits.

    Raises:
        InputError: not a plan.
    """
    from planner.report.charts.plan_charts import formats_chart

    return draw(formats_chart(plan), ax)


@typed
def time(plan: Plan, phase: str = "decode", ax: Axes | None = None) -> Axes:
    """Each module's time in one ``decode`` step of a plan or one prompt (``prefill``), end to end,
    and the 80 % interval of the end.

    Raises:
        InputError: not a plan, or another phase.
    """
    from planner.report.charts.plan_charts import time_chart

    if phase not in PHASES:
        raise InputError(
            f"phase {phase!r} is not one of {', '.join(PHASES)}",
            hint=f"for example phase={PHASES[0]!r}",
        )
    return draw(time_chart(plan, phase), ax)


@typed
def uniform(plan: Plan, ax: Axes | None = None) -> Axes:
    """What a plan's objective compares, of it with its 80 % interval and of every uniform format
    that fits; pale ones lose over 5 % more than the plan, or take over 5 % longer a token.

    Raises:
        InputError: not a plan.
    """
    from planner.report.charts.plan_charts import uniform_chart

    return draw(uniform_chart(plan), ax)


@typed
def memory(result: Plan | MemoryAnswer | TrainingMemory, ax: Axes | None = None) -> Axes:
    """What fills memory, against what may be used: of a plan the fullest device, of
    ``planner.memory_use`` and ``planner.train`` a device of every pipeline stage.

    Raises:
        InputError: another kind of result.
    """
    from planner.planning.plan.record import Plan
    from planner.report.charts.plan_charts import memory_chart
    from planner.report.charts.size_charts import stage_memory_chart

    chart = memory_chart(result) if isinstance(result, Plan) else stage_memory_chart(result)
    return draw(chart, ax)


@typed
def alternatives(plan: Plan, ax: Axes | None = None) -> Axes:
    """The recommended plan beside the alternatives that the report tells, with 80 % intervals of
    the difference: the chart of the report.

    Raises:
        InputError: not a plan, or one beside which nothing was weighed.
    """
    from planner.report.charts.dots_svg import dots_chart
    from planner.report.phrases import phrases
    from planner.report.view.rival_plans import rivals_view

    shown = rivals_view(phrases("en"), plan)
    if shown is None:
        raise InputError(
            "no other plan was weighed beside this one",
            hint="planner.plan weighs them; planner.estimate prices what was given",
        )
    chart = dots_chart(shown.chart)
    across = replace(chart.x, label=f"{chart.x.label}\n{fill(shown.note, NOTE)}")
    return draw(replace(chart, x=across, size=(7.8, 1.7 + 0.5 * len(shown.chart.rows))), ax)


@typed
def roofline(
    plan: Plan, ax: Axes | None = None, *, hardware_dir: str | os.PathLike[str] | None = None
) -> Axes:
    """Every operator of a plan under the device's roofs: filled a decode step, hollow one prompt.

    Raises:
        InputError: not a plan, or one that cannot be priced again from its file alone.
    """
    from planner.planning.inspect.roofline import operators
    from planner.report.charts.priced_charts import plan_roofline_chart

    return draw(
        plan_roofline_chart(plan, operators(_repriced(plan, hardware_dir).question, plan)), ax
    )


@typed
def users(
    plan: Plan, ax: Axes | None = None, *, hardware_dir: str | os.PathLike[str] | None = None
) -> Axes:
    """Users that fit at every length of context, with a plan's caches and with BF16 ones.

    Raises:
        InputError: not a plan, or one that cannot be priced again from its file alone.
    """
    from planner.planning.inspect.users import users_that_fit
    from planner.report.charts.priced_charts import plan_users_chart

    return draw(plan_users_chart(plan, users_that_fit(_repriced(plan, hardware_dir))), ax)


@typed
def sensitivity(
    result: Plan | pd.DataFrame | ModelSpec | str,
    ax: Axes | None = None,
    *,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Axes:
    """What an error in each matrix costs, layers by kinds on a logarithmic scale of colours, of a
    model or of the frame of ``planner.sensitivity``; of a plan what its premises are worth: its
    rate (TPOT where the objective is latency) with each a fifth less and more.

    The embedding stands before the first layer, the head behind the last, with their α in nats.
    Percentages are shares of all that was measured. Hatched bars of a plan would not fit memory.

    Raises:
        InputError: another kind of result, a frame without the columns, a plan that cannot be
            priced again from its file alone, or ``hardware_dir`` for anything but a plan.
    """
    from planner.models.catalog import resolve_model
    from planner.models.spec import ModelSpec
    from planner.planning.inspect.sensitivity import sensitivity as priced_around
    from planner.planning.plan.record import Plan
    from planner.quality.sensitivity.alpha_table import alpha_table
    from planner.report.charts.loss_map import loss_map_of_frame, loss_map_of_table
    from planner.report.charts.priced_charts import premises_chart

    if isinstance(result, Plan):
        return draw(premises_chart(result, priced_around(_repriced(result, hardware_dir))), ax)
    if hardware_dir is not None:
        raise InputError(
            "hardware_dir is for a plan: a sensitivity is of no device",
            hint="leave hardware_dir out",
        )
    if isinstance(result, (str, ModelSpec, os.PathLike)):
        spec = result if isinstance(result, ModelSpec) else resolve_model(str(result))
        return draw(loss_map_of_table(alpha_table(spec)), ax)
    return draw(loss_map_of_frame(result), ax)


@typed
def frontier(
    result: Plan | Frontier,
    ax: Axes | None = None,
    *,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Axes:
    """What more or less loss buys: of a plan on its own devices and layout, priced again, beside
    the uniform formats; of ``planner.frontier`` on every layout, memory as colour, the knee named.

    Raises:
        InputError: another kind of result, a plan that cannot be priced again from its file alone,
            or ``hardware_dir`` for a frontier, which is priced.
    """
    from planner.planning.inspect.layout_frontier import own_frontier
    from planner.planning.plan.record import Plan
    from planner.report.charts.priced_charts import plan_reach_chart
    from planner.report.charts.tradeoff_charts import frontier_chart

    if isinstance(result, Plan):
        return draw(plan_reach_chart(result, own_frontier(_repriced(result, hardware_dir))), ax)
    if hardware_dir is not None:
        raise InputError(
            "hardware_dir is for a plan: this frontier is priced already",
            hint="give hardware_dir to planner.frontier",
        )
    return draw(frontier_chart(result), ax)


def _repriced(plan: Plan, hardware_dir: str | os.PathLike[str] | None) -> Repriced:
    from planner.hardware.catalog import hardware_folders
    from planner.planning.inspect.reprice import reprice

    return reprice(plan, folders=hardware_folders(hardware_dir))


@typed
def phase_map(result: Frontier, ax: Axes | None = None) -> Axes:
    """What a decode step is spent on by context and batch, and the number of the best plan.

    Raises:
        InputError: not the answer of ``planner.frontier``, or one made without ``map=True``.
    """
    from planner.report.charts.tradeoff_charts import phase_map_chart

    if result.map is None:
        raise InputError("this frontier has no map", hint="ask for it with map=True")
    return draw(phase_map_chart(result, result.map), ax)


@typed
def compare(
    result: Compared, ax: Axes | None = None, *, by: Literal["format", "loss"] = "format"
) -> Axes:
    """Output tokens/s per device with 80 % intervals, a panel for each model and device: the rows
    that no other beats, as on the page of ``plan compare --report``. The recommended plan is a
    diamond, as released a square; hollow does not keep the limits on time.

    ``by="loss"``: every row's rate against its loss with the intervals of both, a colour for each
    model and device.

    Raises:
        InputError: another kind of result, or a comparison in which nothing runs.
    """
    from planner.report.charts.compared import LANGUAGE_FOLDER, compared_panels
    from planner.report.charts.dots_svg import panels_chart
    from planner.report.charts.tradeoff_charts import loss_and_rate_chart
    from planner.report.phrases import phrases

    if not any(row.feasible for row in result.rows):
        raise InputError("nothing of this comparison runs", hint="see the reasons in its rows")
    if by == "loss":
        return draw(loss_and_rate_chart(result), ax)
    return draw(panels_chart(compared_panels(result, phrases("en", LANGUAGE_FOLDER))), ax)


@typed
def sweep(
    result: pd.DataFrame,
    ax: Axes | None = None,
    *,
    measure: str = "rate",
    by: Literal["map", "bars"] = "map",
    view: int = 0,
) -> Axes:
    """A measure of ``planner.sweep`` by model and device, or whatever varies: a map whose hatched
    cells have no plan and say why, or ``by="bars"`` with 80 % intervals, as on the page of ``plan
    sweep --report``.

    ``measure`` is one of rate, total, usd, tpot, ttft, joules, loss, users, gib. Where more than
    two things vary there is a ``view`` for each value of the others, from 0.

    Raises:
        InputError: another frame, one in which nothing varies, a measure without a value, no such
            view. UnknownNameError: no such measure.
    """
    from planner.report.charts.bars_svg import bars_chart
    from planner.report.charts.heat_svg import heat_chart
    from planner.report.sweep_axes import axes, columns_of, grid
    from planner.report.view.sweep_charts import BY_NAME, bars, heat_map, shown_measures
    from planner.report.view.sweep_words import sweep_phrases

    columns, say = columns_of(result), sweep_phrases("en")
    if not axes(columns):
        raise InputError("nothing varies in this sweep", hint="ask about two models or devices")
    if measure not in BY_NAME:
        raise UnknownNameError("measure", measure, tuple(BY_NAME))
    shown = BY_NAME[measure]
    if shown not in shown_measures(columns):
        raise InputError(
            f"no row of this sweep has a value of {measure}",
            hint="a measure that some have: " + ", ".join(m.name for m in shown_measures(columns)),
        )
    place = grid(columns)
    if not 0 <= view < len(place.views):
        raise InputError(
            f"view {view} is not one of 0 to {len(place.views) - 1}",
            hint="a view is a value of what is neither row nor column, from 0",
        )
    if by == "bars" or place.columns is None:
        return draw(bars_chart(bars(say, columns, place, place.views[view], shown)), ax)
    return draw(heat_chart(heat_map(say, columns, place, place.views[view], shown)), ax)


@typed
def fleet(result: Fleet, ax: Axes | None = None) -> Axes:
    """Devices of each kind by model, and those that are left; the numbers are those of the page.

    Raises:
        InputError: another kind of result.
    """
    from planner.report.charts.fleet_svg import devices_chart
    from planner.report.view.fleet import VERB
    from planner.report.view.verb_words import verb_phrases

    chart = devices_chart(verb_phrases(VERB, "en"), result)
    return draw(replace(chart, title=result.title), ax)


@typed
def serving(result: ServingAnswer, ax: Axes | None = None) -> Axes:
    """Output tokens/s of a device against those of a user at every concurrency: the frontier
    joined, the asked concurrency ringed, with the 80 % interval of a user's rate.

    Raises:
        InputError: not the answer of ``planner.serve``.
    """
    from planner.report.charts.tradeoff_charts import serving_chart

    return draw(serving_chart(result), ax)


@typed
def residency(result: ExpertUse, ax: Axes | None = None) -> Axes:
    """Where experts live: shares by place of all experts, of those a step touches, of picks.

    Raises:
        InputError: not the answer of ``planner.experts``.
    """
    from planner.report.charts.size_charts import residency_chart

    return draw(residency_chart(result), ax)


@typed
def tensor_bytes(result: Inventory, ax: Axes | None = None) -> Axes:
    """Stored bytes of an inventory by module kind in GiB, one colour a checkpoint type; the axis is
    logarithmic, so that scales and norms stand beside experts.

    Raises:
        InputError: not the answer of ``planner.inventory``.
    """
    from planner.report.charts.size_charts import tensor_bytes_chart

    return draw(tensor_bytes_chart(result), ax)


@typed
def layer_errors(result: LayerNumerics, ax: Axes | None = None) -> Axes:
    """Relative errors of a layer under each scheme: rounding of weights, inputs and both, and what
    each matrix unit adds.

    Raises:
        InputError: not the answer of ``planner.layer_error``.
    """
    from planner.report.charts.error_charts import layer_errors_chart

    return draw(layer_errors_chart(result), ax)


@typed
def validation_errors(result: Validation, ax: Axes | None = None) -> Axes:
    """The signed error [%] of every predicted row that counts, a strip a table and metric; at the
    right the median of their size.

    Raises:
        InputError: not the answer of ``planner.validate``.
    """
    from planner.report.charts.error_charts import validation_errors_chart

    return draw(validation_errors_chart(result.outcomes), ax)

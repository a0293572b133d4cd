"""What 0.1 called a result's methods works until 0.3, and says what it is called now."""

import copy
import inspect
import pickle

import matplotlib.axes
import pytest

import planner
from planner.base.display import FORMER
from planner.planning.plan.record import Plan

INVENTORY = planner.inventory("qwen2.5-0.5b")


def records() -> dict[str, type]:
    """Classes of results by name."""
    from planner.lab.validation.records import Validation
    from planner.memory.answer import MemoryAnswer
    from planner.memory.training import TrainingMemory
    from planner.models.inventory import Inventory
    from planner.planning.serving.deployment import ServingAnswer
    from planner.planning.serving.experts import ExpertUse
    from planner.planning.what_if.frontier import Frontier
    from planner.quality.layer_error import LayerNumerics

    return {
        c.__name__: c
        for c in (
            Plan,
            MemoryAnswer,
            TrainingMemory,
            Inventory,
            ServingAnswer,
            ExpertUse,
            Frontier,
            LayerNumerics,
            Validation,
        )
    }


@pytest.mark.parametrize(("owner", "former"), [(c, m) for c in FORMER for m in FORMER[c]])
def test_every_former_method_is_a_figure_of_its_class(owner: str, former: str) -> None:
    result = object.__new__(records()[owner])
    with pytest.warns(DeprecationWarning, match="since 0.2") as told:
        method = getattr(result, former)
    drawing = FORMER[owner][former]
    assert method.func is getattr(planner.plot, drawing)
    assert method.args == (result,)
    assert str(told[0].message) == (
        f"{owner}.{former}() is planner.plot.{drawing}"
        f"({owner.lower()}) since 0.2; the old name goes with 0.3"
    )
    assert told[0].filename == __file__


@pytest.mark.parametrize("verb", ["measure", "profile", "sweep", "what_if"])
def test_a_former_keyword_is_taken(verb: str) -> None:
    """Whatever else is wrong is found by the function itself, under the name of today."""
    function = getattr(planner, verb)
    assert "notify" in inspect.signature(function).parameters
    with (
        pytest.warns(DeprecationWarning, match=rf"{verb}\(notify=…\) since 0.3") as caught,
        pytest.raises(TypeError, match="unheard"),
    ):
        function(told=print, unheard=1)
    assert caught[0].filename == __file__


def test_a_former_method_draws() -> None:
    with pytest.warns(DeprecationWarning, match="planner.plot.tensor_bytes"):
        drawn = INVENTORY.plot_bytes()  # type: ignore[attr-defined]
    assert isinstance(drawn, matplotlib.axes.Axes)
    assert drawn.get_title(loc="left") == "qwen2.5-0.5b: stored bytes by module"


def test_what_never_was_a_method_is_missing_as_anywhere() -> None:
    with pytest.raises(AttributeError) as told:
        INVENTORY.plot_everything  # type: ignore[attr-defined]  # noqa: B018
    assert str(told.value) == "'Inventory' object has no attribute 'plot_everything'"
    assert not hasattr(INVENTORY, "to_fram")


def test_a_class_that_somebody_derived_lacks_what_it_lacks() -> None:
    derived = type("Derived", (type(INVENTORY),), {})
    assert not hasattr(object.__new__(derived), "plot_everything")


def test_results_are_copied_and_pickled_as_before() -> None:
    assert copy.deepcopy(INVENTORY) == INVENTORY
    assert pickle.loads(pickle.dumps(INVENTORY)) == INVENTORY


def test_a_plan_is_still_read_by_its_former_name() -> None:
    plan = planner.estimate("qwen2.5-0.5b", "l40s", scheme="bf16", engine="any")
    with pytest.warns(DeprecationWarning, match=r"^Plan\.from_dict\(data\) is planner\.read_plan"):
        again = Plan.from_dict(plan.to_dict())  # type: ignore[attr-defined]
    assert again == plan
    with pytest.warns(DeprecationWarning, match="read_plan"), pytest.raises(planner.DataError):
        Plan.from_dict({**plan.to_dict(), "objectif": 1})  # type: ignore[attr-defined]


def test_errors_where_they_were() -> None:
    with pytest.deprecated_call(match=r"planner\.errors\.DataError is planner\.DataError"):
        from planner.errors import DataError
    assert DataError is planner.DataError
    with pytest.raises(AttributeError):
        planner.errors.NoSuchError  # noqa: B018

"""Records behave as the dataclasses that they stand for."""

import copy
import dataclasses
import inspect
import math
import pickle
from dataclasses import dataclass, field
from functools import cached_property

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.records import cached_record, record


class _Point:
    """Plain text, for both kinds."""

    x: float
    name: str = "none"
    tags: tuple[int, ...] = ()
    shown: dict[str, int] = field(default_factory=dict, compare=False)
    hidden: int = field(default=0, repr=False)

    def far(self) -> bool:
        return abs(self.x) > 1.0


def _own(base: type) -> type:
    """A class of its own with the body of ``base``, since decorators change what they are given."""
    body = {
        name: value for name, value in vars(base).items() if name not in ("__dict__", "__weakref__")
    }
    return type(base.__name__, (), body)


Record, Dataclass = record(_own(_Point)), dataclass(frozen=True, slots=True)(_own(_Point))


@record
class Pickled:
    """A record that pickle finds by name."""

    x: float
    rest: tuple[int, ...] = ()


@cached_record
class Cached:
    """A record with something computed once."""

    x: int

    @cached_property
    def counted(self) -> list[int]:
        return [self.x]


ARGUMENTS = st.tuples(
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=2).map(tuple),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.integers(0, 2),
)


@given(ARGUMENTS, ARGUMENTS)
def test_equality_hash_and_text_are_those_of_a_dataclass(one: tuple, two: tuple) -> None:
    ours, theirs = (Record(*one), Record(*two)), (Dataclass(*one), Dataclass(*two))
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])
    assert repr(ours[0]) == repr(theirs[0])
    assert dataclasses.asdict(ours[0]).keys() == dataclasses.asdict(theirs[0]).keys()
    assert ours[0] == dataclasses.replace(ours[0], shown={})
    assert hash(ours[0]) == hash(dataclasses.replace(ours[0], shown={})) == hash(theirs[0])
    assert ours[0] != theirs[0]


def test_calls_are_checked_and_defaults_filled() -> None:
    assert (
        inspect.signature(Record).parameters.keys()
        == inspect.signature(Dataclass).parameters.keys()
    )
    assert inspect.get_annotations(Record.__init__) == inspect.get_annotations(Dataclass.__init__)
    made = Record(2.0)
    assert (made.name, made.tags, made.shown, made.hidden) == ("none", (), {}, 0)
    assert made.shown is not Record(2.0).shown
    assert made.far()
    with pytest.raises(TypeError, match=r"_Point.__init__\(\) missing 1 required"):
        Record()
    with pytest.raises(TypeError, match="unexpected keyword"):
        Record(1.0, colour="red")


@pytest.mark.parametrize("made", [Record(1.0), Pickled(1.0), Cached(1)], ids=lambda m: repr(m))
def test_nothing_is_assigned_or_deleted(made: object) -> None:
    for name in ("x", "colour"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"assign to field .{name}."):
            setattr(made, name, 3)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del made.x  # type: ignore[attr-defined]
    assert made.x == 1  # type: ignore[attr-defined]


def test_a_record_without_a_text_names_its_fields() -> None:
    @record
    class Pair:
        first: int
        second: int = 0

    assert Pair.__doc__ == "Pair(first, second)"
    assert Pickled.__doc__ == "A record that pickle finds by name."


def test_slots_leave_no_dict_and_caches_need_one() -> None:
    assert not hasattr(Record(1.0), "__dict__")
    made = Cached(4)
    assert made.counted is made.counted == [4]
    assert made == Cached(4)


@pytest.mark.parametrize("made", [Pickled(1.5, (1, 2)), Cached(3)], ids=lambda m: repr(m))
def test_records_are_pickled_and_copied(made: object) -> None:
    for again in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert again == made
        assert again is not made
        assert hash(again) == hash(made)


def test_records_are_matched_by_place() -> None:
    match Pickled(1.0, (2,)):
        case Pickled(x, rest):
            assert (x, rest) == (1.0, (2,))


def test_a_record_that_is_not_equal_to_itself_field_by_field_is_one_object() -> None:
    nan = Pickled(math.nan)
    assert nan == nan
    assert nan != Pickled(float("nan"))


def test_after_all_fields_are_set_a_record_may_check_itself() -> None:
    @record
    class Positive:
        """A record with a rule."""

        x: int

        def __post_init__(self) -> None:
            if self.x <= 0:
                raise ValueError("not positive")

    assert Positive(1).x == 1
    with pytest.raises(ValueError, match="not positive"):
        Positive(0)


def test_what_a_record_does_not_do_is_refused() -> None:
    class Compared:
        x: int

        def __eq__(self, other: object) -> bool:
            return True

    class Named:
        x: int = field(kw_only=True)

    class Derived:
        x: int = field(init=False)

    with pytest.raises(TypeError, match="Compared has its own __eq__"):
        record(Compared)
    for kind in (Named, Derived):
        with pytest.raises(TypeError, match="x: no plain field"):
            cached_record(kind)

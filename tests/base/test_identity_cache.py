"""Results kept by identity: once for the same arguments, again for others."""

import weakref
from collections.abc import Iterator
from typing import Any

from planner.base.identity_cache import cached_by_identity, drop_oldest


class Thing:
    """Compared by identity alone."""


def test_the_same_arguments_are_computed_once() -> None:
    calls: list[tuple[object, ...]] = []

    @cached_by_identity(4)
    def made(*args: object) -> int:
        calls.append(args)
        return len(calls)

    one, other = Thing(), Thing()
    assert made(one, "a", (1, 2)) == made(one, "a", (1, 2)) == 1
    assert made(other, "a", (1, 2)) == 2
    assert made(one, "b", (1, 2)) == 3
    assert made(one, "a", (1, 3)) == 4
    assert made(one, "a", (1, 2)) == 1


def test_a_number_is_not_another_that_equals_it() -> None:
    @cached_by_identity(4)
    def made(value: object) -> str:
        return repr(value)

    assert [made(1), made(1.0), made(True)] == ["1", "1.0", "True"]


def test_the_oldest_is_forgotten_and_no_address_is_taken_for_another() -> None:
    kept = [0]

    @cached_by_identity(2)
    def made(thing: Thing) -> int:
        kept[0] += 1
        return kept[0]

    found = [made(Thing()) for _ in range(20)]
    assert found == list(range(1, 21))


def test_what_a_result_depends_on_may_be_named() -> None:
    @cached_by_identity(2, of=lambda first, second: (first,))
    def made(first: Thing, second: Thing) -> Thing:
        return second

    one, two = Thing(), Thing()
    assert made(one, two) is two
    assert made(one, Thing()) is two


def test_what_is_forgotten_is_made_again_and_its_arguments_are_let_go() -> None:
    @cached_by_identity(4)
    def made(thing: Thing) -> list[int]:
        return []

    thing = Thing()
    gone, first = weakref.ref(thing), made(thing)
    made.forget()
    assert made(thing) is not first
    made.forget()
    del thing
    assert gone() is None


class Shared(dict[Any, Any]):
    """Another thread adds an entry while this one looks for the oldest."""

    def __iter__(self) -> Iterator[Any]:
        found = super().__iter__()
        self[len(self)] = None
        return found


def test_an_entry_may_be_added_or_dropped_by_another_thread_meanwhile() -> None:
    known, emptied = Shared({"oldest": 1}), dict[Any, Any]()
    drop_oldest(known)
    drop_oldest(emptied)
    assert list(dict.keys(known)) == ["oldest", 1]
    assert emptied == {}

"""Large results count for several of those that are kept."""

from planner.base.identity_cache import cached_by_identity


def test_large_results_leave_room_for_fewer() -> None:
    made: list[int] = []

    @cached_by_identity(4, size_of=float)
    def sized(size: int) -> int:
        made.append(size)
        return size

    for size in (1, 2, 1, 2):
        assert sized(size) == size
    assert made == [1, 2]
    sized(3)  # 1 goes, then 2: nothing else fits beside it
    made.clear()
    for size in (3, 2, 3):
        sized(size)
    assert made == [2, 3]
    made.clear()
    sized(9)  # larger than all that is kept, and kept alone
    sized(9)
    assert made == [9]

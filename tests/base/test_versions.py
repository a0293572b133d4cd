"""The order of versions is that of Python packages; tables have empty ends."""

import pytest

from planner.base.versions import EARLIEST, Version, end_of, holds_at, version_in, version_of

ASCENDING = (
    "0.4.10.post2", "0.5.8", "0.5.8.post1", "0.5.10rc0", "0.5.10", "1.0.0rc3", "1.0.0",
    "1.2.0.dev1", "1.2.0rc6", "1.2.0rc6.post2", "1.2", "1.2.0.post1", "1.2.1",
)  # fmt: skip


def test_candidates_come_before_their_release_and_posts_after() -> None:
    versions = [version_of(text) for text in ASCENDING]
    assert versions == sorted(versions)
    assert len(set(versions)) == len(versions)
    assert version_of("1.2") == version_of("1.2.0") == version_of("v1.2.0")


def test_empty_ends_of_a_row_hold_for_all() -> None:
    assert version_of("") == EARLIEST < Version("0.0.1rc1")
    assert end_of("") is None
    for text in ASCENDING:
        assert holds_at(version_of(""), end_of(""), version_of(text))


@pytest.mark.parametrize(
    ("version", "holds"),
    [("1.2.0rc6", False), ("1.2", True), ("1.2.9.post1", True), ("1.3rc1", True), ("1.3.0", False)],
)
def test_a_row_holds_from_its_first_version_to_before_its_last(version: str, holds: bool) -> None:
    assert holds_at(version_of("1.2"), end_of("1.3"), version_of(version)) is holds


@pytest.mark.parametrize("text", ["", "b9775", "abc", "1!2.0", " 1.0", "1.0 ", "1" * 65, "1.0;x"])
def test_what_is_no_version_or_cannot_be_written_is_none(text: str) -> None:
    assert version_in(text) is None


def test_what_people_write_is_read() -> None:
    assert version_in("v0.11.0") == version_in("0.11")
    assert version_in("0.19.0.dev12+gabc") == Version("0.19.0.dev12+gabc")

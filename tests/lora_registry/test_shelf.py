"""Which files go when there is no room, whatever lies there and whoever holds what."""

import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lora_registry._shelf import Shelf

files = st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=6)
"""Size of each file, the least recently used first, and whether it is held."""


@given(files, st.integers(0, 150), st.integers(0, 300))
def test_room_is_made_by_the_oldest_that_nobody_holds_and_no_more_than_needed(
    files: list[tuple[int, bool]], size: int, quota: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder))
        names = [f"{number:064x}" for number in range(len(files))]
        for name, (length, _) in zip(names, files, strict=True):
            shelf.path(name).write_bytes(bytes(length))
        loans = [shelf.borrow(n) for n, (_, held) in zip(names, files, strict=True) if held]
        for number, name in enumerate(names):
            os.utime(shelf.path(name), (number, number))
        fits = shelf.make_room(size, quota=quota, min_free=0)
        left = {file.sha256: file.size for file in shelf.files()}
        gone = [name for name in names if name not in left]
        loose = [n for n, (_, held) in zip(names, files, strict=True) if not held]
        assert fits == (sum(left.values()) + size <= quota)
        assert gone == loose[: len(gone)]
        if gone and fits:
            last = files[names.index(gone[-1])][0]
            assert sum(left.values()) + size + last > quota
        if not fits:  # everything was tried, or nothing because all of it would not do
            assert gone in (loose, [])
        for loan in loans:
            assert loan is not None
            loan.release()


def test_a_file_that_is_held_twice_stays_until_both_have_released_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.path("0" * 64).write_bytes(b"x")
    first = shelf.borrow("0" * 64)
    assert first is not None
    second = first.again()
    first.release()
    first.release()
    assert not shelf.throw_away("0" * 64)
    second.release()
    assert shelf.throw_away("0" * 64)
    assert shelf.borrow("0" * 64) is None
    assert shelf.throw_away("0" * 64)

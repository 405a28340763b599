"""Files that are read as they grow, across rotation and restarts."""

import threading
from codecs import BOM_UTF8
from threading import Event

from threat_scorer.run.inputs.files import FollowedFile
from threat_scorer.scoring.lines import LONGEST_LINE_BYTES, TooLong


def lines_of(file, count):
    """Read `count` lines; return them with the place after the last one."""
    got, last = [], []

    def put(number, line, place, position):
        got.append(line)
        last.append(position)
        return len(got) < count

    stop = threading.Event()
    timer = threading.Timer(10, stop.set)
    timer.start()
    file.follow(put, stop)
    timer.cancel()
    assert len(got) == count
    return got, last[-1]


def test_a_file_is_read_on_where_it_was_left_across_a_restart(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"one\ntwo\nthree\nfou")
    got, place = lines_of(FollowedFile(path, None), 2)
    assert got == [b"one", b"two"]
    with path.open("ab") as file:
        file.write(b"r\n")
    assert lines_of(FollowedFile(path, place), 2)[0] == [b"three", b"four"]


def test_a_file_that_was_renamed_while_nobody_read_is_finished_first(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"one\ntwo\n")
    _, place = lines_of(FollowedFile(path, None), 1)
    path.rename(tmp_path / "in.jsonl.1")
    path.write_bytes(b"three\n")
    assert lines_of(FollowedFile(path, place), 2)[0] == [b"two", b"three"]


def test_a_file_is_followed_across_rotation(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"one\n")
    got, seen = [], threading.Event()
    stop = threading.Event()

    def put(number, line, place, position):
        got.append(line)
        seen.set()
        return line != b"end"

    thread = threading.Thread(target=FollowedFile(path, None).follow, args=(put, stop), daemon=True)
    thread.start()
    assert seen.wait(10)
    with path.open("ab") as file:
        file.write(b"two")  # its end never comes: the writer was cut off
    path.rename(tmp_path / "old")
    path.write_bytes(b"three\nend\n")
    thread.join(10)
    stop.set()
    assert got == [b"one", b"two", b"three", b"end"]


def test_another_file_with_the_same_name_is_read_from_its_start(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"one\ntwo\n")
    _, place = lines_of(FollowedFile(path, None), 2)
    status = path.stat()
    with path.open("r+b") as file:  # the same inode, as after deleting and making anew
        file.write(b"uno\ndos\ntres\n")
    assert path.stat().st_ino == status.st_ino
    assert lines_of(FollowedFile(path, place), 3)[0] == [b"uno", b"dos", b"tres"]


def test_a_line_without_measure_is_passed_over_and_reported(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"x" * (2 * LONGEST_LINE_BYTES) + b"\nlast\n")
    got, _ = lines_of(FollowedFile(path, None), 2)
    assert isinstance(got[0], TooLong)
    assert got[1] == b"last"


def test_a_mark_at_the_head_and_blank_lines_are_passed_over_and_the_numbers_stay(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(BOM_UTF8 + b"one\n\n \r\ntwo\n" + BOM_UTF8 + b"\n")
    got = []
    FollowedFile(path, None).follow(lambda number, line, *_: got.append((number, line)) or len(got) < 3, Event())
    assert got == [(1, b"one"), (4, b"two"), (5, BOM_UTF8)], "a mark elsewhere is a fault of the record"

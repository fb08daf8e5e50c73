"""Plain values become dataclasses of exactly these types, and files are whole or not there."""

from __future__ import annotations

import errno
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pixelbayes.errors import PixelBayesError
from pixelbayes.io import (
    FormatError,
    FormatWarning,
    Reading,
    plain,
    read_json,
    replacing,
    structure,
    to_json,
    write_json,
    write_together,
    write_whole,
)


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int
    rate: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    on: bool = False
    inner: Inner = field(default_factory=lambda: Inner(width=1))
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, int] | None = None
    anything: Any = None

    def __post_init__(self) -> None:
        if self.name == "forbidden":
            raise ValueError("the name is not accepted")


WHOLE = Outer(name="x", on=True, inner=Inner(width=3, rate=0.25), sizes=(4,), pair=(5, 6))


@pytest.mark.parametrize("reading", Reading)
def test_what_was_made_plain_becomes_equal_again(reading: Reading) -> None:
    content = json.loads(to_json(plain(WHOLE)))

    assert structure(Outer, content, "file", reading) == WHOLE


def refused(content: Any, reading: Reading = Reading.CONFIGURATION) -> str:
    with pytest.raises(FormatError) as error:
        structure(Outer, content, "my.yaml", reading)
    return str(error.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1e3", "a number is wanted, got '1e3'; in YAML a number has a point"),
        ("0.5", "a number is wanted, got '0.5'"),
        (True, "a number is wanted, got True"),
        (None, "a number is wanted, got None"),
        ([0.5], "a number is wanted, got [0.5]"),
    ],
)
def test_what_is_no_number_is_not_made_one(value: Any, words: str) -> None:
    message = refused({"name": "x", "inner": {"width": 1, "rate": value}})

    assert words in message
    assert "my.yaml.inner.rate" in message


@pytest.mark.parametrize("value", ["no", "false", "", 0, 1, None, 1.0])
def test_only_true_and_false_are_truth_values(value: Any) -> None:
    message = refused({"name": "x", "on": value})

    assert f"true or false is wanted, got {value!r}" in message
    assert "my.yaml.on" in message


@pytest.mark.parametrize("value", [1.0, 1.5, "1", True, None])
def test_only_whole_numbers_are_whole_numbers(value: Any) -> None:
    message = refused({"name": "x", "inner": {"width": value}})

    assert f"a whole number is wanted, got {value!r}" in message


@pytest.mark.parametrize("value", [1, True, None, ["x"]])
def test_only_a_text_is_a_text(value: Any) -> None:
    assert f"a text is wanted, got {value!r}" in refused({"name": value})


def test_a_whole_number_is_a_number_and_becomes_a_float() -> None:
    found = structure(Inner, {"width": 1, "rate": 2}, "file", Reading.CURRENT)

    assert type(found.rate) is float


@pytest.mark.parametrize("value", ["12", 12, {"a": 1}])
def test_only_a_list_is_a_list(value: Any) -> None:
    assert f"sizes is a list, got {value!r}" in refused({"name": "x", "sizes": value})


def test_the_place_of_a_wrong_item_of_a_list_is_named() -> None:
    message = refused({"name": "x", "sizes": [1, "2"]})

    assert "a whole number is wanted, got '2'" in message
    assert "my.yaml.sizes[1]" in message


def test_every_mistake_is_named_at_once() -> None:
    message = refused({"name": 1, "on": 2})

    assert "my.yaml.name" in message
    assert "my.yaml.on" in message


def test_what_the_dataclass_refuses_is_told_with_its_place() -> None:
    assert refused({"name": "forbidden"}) == "the name is not accepted @ my.yaml"


@pytest.mark.parametrize("content", [None, 3, "x", [1]])
def test_what_holds_no_names_and_values_is_refused(content: Any) -> None:
    assert "names and values (name, on, inner" in refused(content)


MISSING_INNER = {"name": "x", "inner": {"width": 1}}
COMPLETE = plain(WHOLE)


def test_a_configuration_may_leave_out_what_has_a_default() -> None:
    assert structure(Outer, {"name": "x"}, "c", Reading.CONFIGURATION) == Outer(name="x")


def test_an_older_file_may_lack_what_has_a_default() -> None:
    assert structure(Outer, {"name": "x"}, "c", Reading.OLDER) == Outer(name="x")


@pytest.mark.parametrize("lost", list(COMPLETE))
def test_a_current_file_lacks_nothing(lost: str) -> None:
    content = {name: value for name, value in COMPLETE.items() if name != lost}

    message = refused(content, Reading.CURRENT)

    assert f"{lost} missing: the file is damaged" in message


def test_a_current_file_lacks_nothing_inside_either() -> None:
    message = refused({**COMPLETE, "inner": {"width": 1}}, Reading.CURRENT)

    assert "rate missing: the file is damaged" in message
    assert "my.yaml.inner" in message


@pytest.mark.parametrize("reading", [Reading.CONFIGURATION, Reading.OLDER])
def test_what_has_no_default_is_missed_in_every_reading(reading: Reading) -> None:
    assert "name is missing" in refused({}, reading)


def test_a_configuration_with_an_unknown_key_is_refused_by_name() -> None:
    message = refused({"name": "x", "innr": {}})

    assert message == (
        "unknown key innr; known: name, on, inner, sizes, pair, anything; did you mean inner? "
        "@ my.yaml"
    )


@pytest.mark.parametrize("reading", [Reading.CURRENT, Reading.OLDER])
def test_a_file_with_more_than_is_known_is_read_and_names_it(reading: Reading) -> None:
    with pytest.warns(FormatWarning, match="left aside: later, newer"):
        found = structure(Outer, {**COMPLETE, "later": 1, "newer": 2}, "file", reading)

    assert found == WHOLE


def test_a_format_error_is_one_that_a_user_can_mend() -> None:
    assert issubclass(FormatError, PixelBayesError)
    assert issubclass(PixelBayesError, ValueError)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_no_word_for_are_not_written(number: float, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")

    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": [number]})

    assert path.read_text() == "{}"


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_has_no_word_for_are_not_read(word: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(f'{{"a": {word}}}')

    with pytest.raises(FormatError, match=rf"cannot read .*x\.json: {word} is no number"):
        read_json(path, "a run")


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", "\udc80"])
def test_what_is_no_json_of_names_and_values_is_refused_by_file_name(
    content: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(FormatError, match=r"x\.json"):
        read_json(path, "a run")


def test_a_missing_json_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "x.json", "a run")


def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_whole(path, "before")

    def interrupted() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            assert path.read_text() == "before"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["x"]
    write_whole(path, "after\n")
    assert path.read_bytes() == b"after\n"


def test_content_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = tmp_path / "report.json", []
    file.write_text("before")
    monkeypatch.setattr(
        os, "fsync", lambda opened: seen.append((os.fstat(opened).st_size, file.read_text()))
    )

    write_whole(file, "afterwards")

    assert seen == [(len("afterwards"), "before")]
    assert file.read_text() == "afterwards"


@pytest.mark.parametrize("byte", range(0x80, 0x100))
def test_json_keeps_each_byte_of_a_file_name_and_is_utf8(byte: int, tmp_path: Path) -> None:
    name = b"caf" + bytes([byte]) + "\u65e5.png".encode()
    path = tmp_path / "x.json"

    write_json(path, {"file": name.decode("utf-8", "surrogateescape")})

    assert path.read_text("utf-8")
    assert read_json(path, "a file")["file"].encode("utf-8", "surrogateescape") == name


def test_text_with_a_name_that_is_no_utf8_is_written_as_utf8(tmp_path: Path) -> None:
    write_whole(tmp_path / "x.md", "caf\udce9.png")

    assert (tmp_path / "x.md").read_text("utf-8") == "caf\\udce9.png"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_keeps_its_place_and_gets_the_content(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    got: list[str] = []
    os.mkfifo(pipe)
    reader = Thread(target=lambda: got.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    write_whole(pipe, "content")
    reader.join(timeout=20)
    assert got == ["content"]
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    write_whole(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "after"


CODES = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("place", ["open", "write", "replace"])
def test_a_failed_write_names_the_file_that_was_asked_for_and_leaves_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, code: int
) -> None:
    path = tmp_path / "x"
    write_whole(path, "before")
    partial = str(tmp_path / "x.partial")

    def fail(*_: object) -> int:
        if place == "write":
            raise OSError(code, os.strerror(code))
        raise OSError(code, os.strerror(code), partial)

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:2])
        return fail()

    if place == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr(Path, "write_bytes", fail if place == "open" else half)
    with pytest.raises(OSError, match=os.strerror(code)) as error:
        write_whole(path, "after")

    assert error.value.filename == str(path)
    assert error.value.errno == code
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_says_how_much_was_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        with replacing(tmp_path / "x") as partial:
            partial.write_bytes(bytes(1234))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="it needs more than 1,234 bytes; free some space"):
        full()


def test_what_goes_wrong_with_another_file_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    def read_elsewhere() -> None:
        with replacing(tmp_path / "x"):
            (tmp_path / "input").read_bytes()

    with pytest.raises(FileNotFoundError) as error:
        read_elsewhere()

    assert error.value.filename == str(tmp_path / "input")


def test_a_full_disk_says_how_much_a_file_needs_of_which_nothing_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="it needs 1,234 bytes; free some space and try again"):
        write_whole(tmp_path / "x", "a" * 1234)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full is Linux's")
def test_files_that_belong_together_are_replaced_together_or_not_at_all(tmp_path: Path) -> None:
    write_together({tmp_path / name: "before" for name in "abc"})
    (tmp_path / "c.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="it needs 5 bytes") as error:
        write_together({tmp_path / name: "after" for name in "abc"})
    assert error.value.filename == str(tmp_path / "c")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        "abc", "before"
    )

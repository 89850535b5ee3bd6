"""The safe door: names to paths, atomic writes, reads with a cap, one run per folder."""

import csv
import errno
import functools
import io
import json
import os
import re
import secrets
import shutil
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Never

from wtal_features.errors import FeatureError, Finding
from wtal_features.npy import FeatureArray, npy_shape, open_regular, read_npy

try:
    import fcntl
except ImportError:  # Windows has none; see `lock`
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "SEPARATORS",
    "FeatureArray",
    "FeatureError",
    "Finding",
    "atomic_write",
    "check_name",
    "csv_rows",
    "lock",
    "make_folder",
    "no_follow",
    "npy_shape",
    "path_in",
    "read_json",
    "read_npy",
    "read_rows",
    "read_text",
    "remove_folder",
    "sweep",
    "sync_folder",
    "write_failed",
    "write_json",
]

# Half-written files carry this prefix; a listing skips every name that starts with a dot.
TEMPORARY_PREFIX = ".wtal-tmp-"

# The longest name of one file on ext4, XFS, APFS and NTFS.
_MAX_NAME_BYTES = 255
_SEPARATORS = frozenset("/\\")
_WINDOWS_CHARACTERS = frozenset('<>:"|?*')
_WINDOWS_NAMES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])", re.IGNORECASE)
# An annotation file with 1e6 segments is about 100 MB.
_MAX_TEXT_BYTES = 1 << 30
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}  # between the cells of a CSV file


# Names -------------------------------------------------------------------------------------------


def check_name(name: str, suffix: str = "") -> None:
    """Refuse a video id that cannot be one file name on every common file system.

    An id is one path component: `a/b` is refused, because the folders of a store are its streams.

    Args:
        name: The video id.
        suffix: What the file name adds to it, for example `.npy`.

    Raises:
        FeatureError: Naming the id and the reason.
    """
    reason = _name_fault(name, suffix)
    if reason:
        raise FeatureError(
            f"The video name {name[:80]!r} {reason}; expected a plain file name.",
            "Rename the video, in the tags and annotations too.",
            code="name",
        )


def _name_fault(name: str, suffix: str) -> str | None:
    """Why `name` is refused; None when it is not."""
    categories = {unicodedata.category(character) for character in name}
    faults = {
        "is empty": not name,
        "contains a path separator": not _SEPARATORS.isdisjoint(name),
        "contains a control character": not categories.isdisjoint({"Cc", "Zl", "Zp"}),
        "is not valid Unicode": "Cs" in categories,
        "starts with a dot": name.startswith("."),
        "starts or ends with a space or ends with a dot": name != name.strip().rstrip("."),
        'contains one of < > : " | ? *': not _WINDOWS_CHARACTERS.isdisjoint(name),
        "is a device name on Windows": _WINDOWS_NAMES.fullmatch(name.split(".")[0].rstrip()),
        # Two ways to write one letter are one file on macOS and two on Linux.
        "is not in Unicode form NFC": not unicodedata.is_normalized("NFC", name),
        f"is longer than {_MAX_NAME_BYTES} bytes": (
            len((name + suffix).encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES
        ),
    }
    return next((reason for reason, present in faults.items() if present), None)


def path_in(root: str | Path, name: str, suffix: str = "") -> Path:
    """The file of a video inside a folder; never outside, and never shared by two ids.

    Args:
        root: The folder.
        name: The video id, one path component.
        suffix: Appended to the id, for example `.npy`.

    Returns:
        `root / (name + suffix)`.

    Raises:
        FeatureError: If `name` has a separator, is absolute, `.` or `..`, holds control or
            Windows-reserved characters, is a Windows device, is not in NFC, or is too long.
    """
    check_name(name, suffix)
    return Path(root) / (name + suffix)


# Writing -----------------------------------------------------------------------------------------


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Write a file whole or not at all.

    The bytes go to a temporary file in the same folder, reach the disk, and replace `path` in
    one step. When the block raises, the temporary file goes and `path` stays as it was.

    Args:
        path: The file to write; its folder must exist.

    Yields:
        A binary file open for writing.

    Raises:
        FeatureError: If the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    tried: list[Path] = []
    try:
        with _begin(path, tried) as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        _replace(tried[-1], path)
    except BaseException as error:
        for temporary in tried:
            with suppress(OSError):
                temporary.unlink()
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            write_failed(path, error)
        raise
    sync_folder(path.parent)


def _begin(path: Path, tried: list[Path]) -> IO[bytes]:
    """A new file beside `path`, held as long as it is open: `sweep` leaves it alone.

    Args:
        path: The file that is wanted.
        tried: Told each name before there is a file: Ctrl-C may come at any moment.
    """
    while True:
        tried.append(path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
        try:
            handle = tried[-1].open("xb")
        except OSError as error:
            write_failed(path, error)
        try:
            if _held(handle) and tried[-1].exists():
                return handle
        except BaseException:
            handle.close()
            raise
        handle.close()  # swept away before it was held: another one


def _held(handle: IO[bytes], *, where_unknown: bool = True) -> bool:
    """Hold a file; False if another process does.

    Args:
        handle: Of the file.
        where_unknown: The answer on systems that cannot say.
    """
    if fcntl is None:
        return where_unknown
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have no locks
        return where_unknown
    return True


def sweep(*folders: Path) -> None:
    """Remove what killed runs left half-written; what a living process is writing stays.

    Args:
        folders: Where `atomic_write` and `remove_folder` were at work; those that are missing, or
            not ours to change, are left out.
    """
    for folder in folders:
        for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
                continue
            with suppress(OSError), path.open("rb") as handle:
                if _held(handle, where_unknown=False):
                    path.unlink()


def remove_folder(folder: Path) -> None:
    """Remove a folder so that a kill leaves all of it or nothing under its name."""
    if folder.exists():
        waste = folder.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            os.replace(folder, waste)
            shutil.rmtree(waste, ignore_errors=True)
        except BaseException:  # Ctrl-C comes once
            shutil.rmtree(waste, ignore_errors=True)
            raise


def _replace(temporary: Path, path: Path) -> None:
    """Rename; an error names the file that was wanted, not the temporary one."""
    try:
        os.replace(temporary, path)
    except OSError as error:
        write_failed(path, error)


def make_folder(path: Path) -> None:
    """Make a folder, and those it lies in.

    Raises:
        FeatureError: If it cannot be made, or a file is in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        write_failed(path, error)


_NO_SPACE = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


def write_failed(path: Path, error: OSError) -> Never:
    """Say what stopped the writing of `path`.

    Raises:
        FeatureError: Always.
    """
    if error.errno in _NO_SPACE:
        raise FeatureError(
            f"No space is left for {path}; nothing there was changed.",
            "Free some space and run the same command again: it goes on where it stopped.",
            code="disk-full",
        ) from error
    raise FeatureError(
        f"{path} cannot be written: {error.strerror or error}.",
        "Choose a place that is yours to write.",
        code="unwritable",
    ) from error


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets a folder be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as JSON, atomically; NaN and infinity are refused, JSON has none.

    Raises:
        FeatureError: As `atomic_write`.
        ValueError: If a number is not finite.
    """
    with atomic_write(path) as handle:
        for piece in _pieces(value, levels=2):
            # A lone surrogate cannot be UTF-8; `\udXXX` keeps it readable by every JSON parser.
            handle.write(piece.encode("utf-8", "backslashreplace"))
        handle.write(b"\n")


def _pieces(value: object, levels: int) -> Iterator[str]:
    """The text of `json.dumps`, member by member: that of 100,000 videos as a whole is 100 MB."""
    dumps = functools.partial(json.dumps, ensure_ascii=False, allow_nan=False)
    if not levels or type(value) is not dict or not all(type(key) is str for key in value):
        yield dumps(value)
        return
    yield "{"
    for i, (key, member) in enumerate(value.items()):
        yield f"{', ' if i else ''}{dumps(key)}: "
        yield from _pieces(member, levels - 1)
    yield "}"


# Reading -----------------------------------------------------------------------------------------


def read_text(path: str | Path, *, max_bytes: int = _MAX_TEXT_BYTES) -> str:
    """Read a text file: UTF-8, or UTF-16 when a byte order mark says so.

    Args:
        path: The file.
        max_bytes: Larger files are refused before they are read.

    Returns:
        The text, without byte order mark, line ends as they are.

    Raises:
        FeatureError: If the file is missing, too large, or in another encoding.
    """
    path = Path(path)
    with open_regular(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size > max_bytes:
            raise FeatureError(
                f"{path} has {size} bytes; expected at most {max_bytes}.",
                "Split it, or pass a higher max_bytes.",
                code="too-large",
            )
        data = handle.read(max_bytes)
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise FeatureError(
            f"{path} is not UTF-8 text: byte {error.start} cannot be read.",
            "Save it as UTF-8.",
            code="encoding",
        ) from error


def read_json(path: str | Path, *, max_bytes: int = _MAX_TEXT_BYTES) -> object:
    """Read a JSON file of bounded size and depth.

    Args:
        path: The file.
        max_bytes: Larger files are refused before they are read.

    Returns:
        The parsed value.

    Raises:
        FeatureError: If the file cannot be read, is no JSON (with the byte where it stops being
            JSON), is nested too deep, or holds NaN or infinity.
    """
    text = read_text(path, max_bytes=max_bytes)
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode("utf-8", "surrogatepass"))
        raise FeatureError(
            f"{path} is no JSON: {error.msg} at byte {offset} (line {error.lineno}).",
            "It may be cut short; write or copy it again.",
            code="json",
        ) from error
    except RecursionError as error:
        raise FeatureError(f"{path} is nested too deep to be read.", code="json") from error
    except ValueError as error:  # an integer of thousands of digits, or NaN
        raise FeatureError(f"{path} holds a bad number: {error}.", code="json") from error
    return value


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def read_rows(
    path: str | Path, *, max_bytes: int = _MAX_TEXT_BYTES
) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV file with commas, whatever its line ends and byte order mark.

    Args:
        path: The file.
        max_bytes: Larger files are refused before they are read.

    Yields:
        As `csv_rows`.

    Raises:
        FeatureError: If the file cannot be read or its quotes do not match, with the line.
    """
    yield from csv_rows(read_text(path, max_bytes=max_bytes), path)


def csv_rows(text: str, path: str | Path, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Rows of the text of a CSV file.

    Args:
        text: As `read_text` gives it.
        path: The file, for messages.
        separator: One of `SEPARATORS`.

    Yields:
        The number of the row's last line, from 1, and its cells without outer spaces. Empty
        lines are left out.

    Raises:
        FeatureError: If its quotes do not match, with the line.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise FeatureError(
            f"{path} line {reader.line_num} is no CSV: {error}.",
            f'Put cells that hold {SEPARATORS[separator]} or quotes into "...".',
            code="csv",
        ) from error


# One run per folder ------------------------------------------------------------------------------


def no_follow(path: str, flags: int) -> int:
    """For `open`: refuse a symbolic link, which could lead a file of ours to one of the user's."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextmanager
def lock(folder: str | Path, file: str = "") -> Iterator[None]:
    """Hold a folder against a second run; the lock goes when the process ends, however it ends.

    Windows has no `flock`: there two runs are not kept apart.

    Args:
        folder: An existing folder; a small file `.lock` stays in it.
        file: Hold this file of it alone; what stays is `.NAME.lock`.

    Raises:
        FeatureError: If another run holds the folder; its process number is named.
    """
    path = Path(folder) / (f".{file}.lock" if file else ".lock")
    try:
        handle = open(path, "a+b", opener=no_follow)  # noqa: SIM115 (closed by the `with` below)
    except OSError as error:
        write_failed(path, error)
    with handle:
        if fcntl is not None:
            _acquire(handle, path.parent / file)
        handle.truncate(0)
        handle.write(str(os.getpid()).encode())
        handle.flush()
        yield
        handle.truncate(0)


def _acquire(handle: IO[bytes], held: Path) -> None:
    """Take the lock at once or say who has it; `held` is what it guards."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.seek(0)
        owner = handle.read(20).decode("ascii", "replace") or "unknown"
        raise FeatureError(
            f"{held} is in use by another run (process {owner}).",
            "Wait for it to end, or choose another folder.",
            code="locked",
        ) from error
    except OSError as error:  # some network file systems have no locks
        warnings.warn(
            f"{held} cannot be locked ({error.strerror}): start only one run there.",
            stacklevel=4,
        )

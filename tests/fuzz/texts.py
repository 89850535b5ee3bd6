"""Damage to the bytes of a text: cut, doubled, and with tokens where they do not belong."""

from __future__ import annotations

from tests.fuzz.trees import Draw

# Text for any place of the file.
TOKENS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e308", b"9" * 400, b"9" * 5000,
    b"-", b"+1", b"01", b".5", b"1.", b"0x10", b"null", b"true", b'"', b'""', b"'", b"\\", b"\\u",
    b"\\ud800", b"\\u2028", b"\\x", b"{", b"}", b"[", b"]", b"{}", b"[]", b",", b":", b",,", b"//",
    b"\x00", b"\x0b", b"\x1b", b"\x85", b"\xa0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xa8",
    b"\xef\xbb\xbf", b"\r\n", b"\r", b"\t", b" ", b"\xc2\xa0", b"[" * 300, b"[" * 100_000,
    b'{"a":' * 300, b'{"a":' * 50_000, b"]" * 300, b"PK\x03\x04", b'"label": "run", ', b"1 2",
)  # fmt: skip


def mutate_bytes(data: bytes, draw: Draw) -> bytes:
    for _ in range(int(draw.choice([1, 1, 1, 2, 4]))):
        low, high = sorted(draw.integers(len(data) + 1, size=2).tolist())
        kind = draw.choice(7, p=[0.15, 0.1, 0.1, 0.1, 0.1, 0.15, 0.3])
        if kind == 0:  # one bit
            byte = min(low, len(data) - 1)
            flipped = bytes([data[byte] ^ (1 << int(draw.integers(8)))]) if data else b""
            data = data[:byte] + flipped + data[byte + 1 :]
        elif kind == 1:  # one byte
            data = data[:low] + draw.bytes(1) + data[low + 1 :]
        elif kind == 2:  # the end is missing
            data = data[:low]
        elif kind == 3:  # a part is missing
            data = data[:low] + data[min(high, low + 20) :]
        elif kind == 4:  # a part is there twice
            data = data[:high] + data[low:]
        elif kind == 5:  # a token in between
            data = data[:low] + TOKENS[draw.integers(len(TOKENS))] + data[low:]
        else:  # a token in the place of a digit or mark
            at = [k for k, byte in enumerate(data[:4000]) if byte in b'0123456789"[]{}:,']
            spot = at[draw.integers(len(at))] if at else 0
            digit = data[spot : spot + 1].isdigit() and draw.random() < 0.7
            token = b"%d" % draw.integers(10) if digit else TOKENS[draw.integers(len(TOKENS))]
            data = data[:spot] + token + data[spot + 1 :]
    return data

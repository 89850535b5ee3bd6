"""How many earlier pictures an H.264 stream may refer to: more than one, and vectors lose meaning.

The decoder does not say which picture a vector points to. With one reference it is the last.
"""

# Profiles whose parameter set has the fields on chroma and scaling (ITU-T H.264, 7.3.2.1.1).
_HIGH = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_SEQUENCE_PARAMETER_SET = 7
_START = b"\0\0\1"
_LONGEST = 1024  # bytes; what is asked for comes long before


def h264_references(extradata: bytes) -> int | None:
    """`max_num_ref_frames` of an H.264 stream.

    Args:
        extradata: Of the codec context: an avcC box (mp4, mkv) or NAL units behind start codes.

    Returns:
        The number, 0 in a stream of I-frames alone; None if no parameter set can be read.

    Source: ITU-T H.264, 7.3.1, 7.3.2.1.1 and 9.1; ISO/IEC 14496-15, 5.3.3.1 (avcC).
    """
    unit = _parameter_set(extradata)
    # A 3 after two zeros only keeps the pair from looking like a start code.
    bits = _Bits(unit[:_LONGEST].replace(b"\0\0\3", b"\0\0"))
    try:
        return _max_num_ref_frames(bits) if unit else None
    except EOFError:
        return None


def _parameter_set(extradata: bytes) -> bytes:
    """The first sequence parameter set, behind its one byte of header; empty if there is none."""
    if extradata[:1] == b"\1":  # avcC
        length = int.from_bytes(extradata[6:8], "big")
        return extradata[9 : 8 + length]
    for unit in extradata.split(_START)[1:]:
        if unit and unit[0] & 31 == _SEQUENCE_PARAMETER_SET:
            return unit[1:]
    return b""


class _Bits:
    """Reads numbers of any number of bits, the highest first."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, n: int) -> int:
        """The next n bits; u(n) of the standard."""
        if n > self.left:
            raise EOFError
        self.left -= n
        return self.value >> self.left & ((1 << n) - 1)

    def golomb(self) -> int:
        """The next number in Exp-Golomb code: ue(v), or se(v) where only its length matters."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v)."""
        k = self.golomb()
        return (k + 1) // 2 if k % 2 else -(k // 2)


def _max_num_ref_frames(bits: _Bits) -> int:
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    bits.golomb()  # id
    if profile in _HIGH:
        _skip_chroma_and_scaling(bits)
    bits.golomb()  # log2_max_frame_num_minus4
    order = bits.golomb()  # pic_order_cnt_type
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.golomb(), bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    return bits.golomb()


def _skip_chroma_and_scaling(bits: _Bits) -> None:
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    bits.golomb(), bits.golomb()  # depths
    bits.take(1)
    if not bits.take(1):  # seq_scaling_matrix_present_flag
        return
    for i in range(12 if chroma == 3 else 8):
        if bits.take(1):
            _skip_scaling_list(bits, 16 if i < 6 else 64)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """Entries are differences; a next entry of 0 ends the list early (7.3.2.1.1.1)."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last

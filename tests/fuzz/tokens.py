"""What damage is made of: numbers, instructions, headers and marks that no sound file holds."""

from __future__ import annotations

# Numbers at the edges of the types that headers are made of.
EDGES = (
    0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
# A file that hostile pickles and YAML would make in the working folder.
MARKER = "code-was-run"
# Programs for the machine that reads pickles: they call, copy themselves, or ask for much memory.
OPCODES = (
    f"cos\nsystem\n(S'touch {MARKER}'\ntR.".encode(),
    f"cbuiltins\nopen\n(V{MARKER}\nVw\ntR.".encode(),
    f"\x8c\x02os\x8c\x06system\x93\x8c\x12touch {MARKER}\x85R".encode("latin-1"),
    b"cnumpy\nndarray\n(I99999999\ntR", b"cnumpy.core.multiarray\nscalar\n(I1\ntR",
    b"ccopyreg\n_reconstructor\n", b"]q\x00(h\x00h\x00e", b"2222", b"0000", b"(", b"t", b"R", b"b",
    b"u", b"s", b"a", b"e", b"1", b"\x81", b"\x85", b"\x8a\xff", b"\x8b\xff\xff\xff\x7f",
    b"B\xff\xff\xff\xff", b"X\xff\xff\xff\x7f", b"T\xff\xff\xff\xff",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x96\xff\xff\xff\xff\x00\x00\x00\x00",
    b"r\xff\xff\xff\xff", b"I999999999999999999999999\n", b"F1e999\n", b"Fnan\n", b"S'\\x'\n",
    b"V\\ud800\n", b"\x97", b"P0\n", b"Q", b".",
)  # fmt: skip
# Types of a .npy header.
DESCRS = (
    "|O", "<f2", "<f4", "<f8", "<f16", "<i8", "|S9999999", "<U999999999", "|V8", "<M8[s]", "<c16",
    "?", "", ">f4", "f", "O", "<f0", "<f3", "|S0", "<f4, <f4", "<u1",
)  # fmt: skip
# Shapes of a .npy header.
SHAPES = (
    "()", "(0, 4)", "(1,)", "(3, 4)", "(4, 3)", "(-1, 4)", "(1099511627776, 4)", f"({2**63}, 2)",
    f"({2**40}, 0)", "(12,)", "(1, 3, 4)", "[3, 4]", "(True, 4)", "(3.0, 4)", "(10L, 4)", "None",
    "(" * 300, "(1," * 90 + ")" * 90, "(" + "1," * 40 + ")", f"({10**300},)", "(3, 4", "'x'",
    "(3, 4), 'more': (1,)",
)  # fmt: skip
# Values and marks of YAML.
YAML = (
    b"&a [1]", b"*a", b"<<: *a", f"!!python/object/apply:os.system ['touch {MARKER}']".encode(),
    b"!!binary |\n  x", b"!!set {a}", b"? [a]\n: 1", b"{" * 400, b"[" * 30_000, b"- " * 2000,
    b"!!float nan", b".inf", b"-.inf", b"1e999", b"0x10", b"0o7", b"1_000", b"190:20:30",
    b"2001-01-01", b"2001-99-01", b"2001-01-01T99:99:99Z", b"~", b"on", b"yes", b"null", b"---\n",
    b"...\n", b"%YAML 9.9\n---\n", b"%TAG ! x\n", b"| \n", b">-\n", b"'", b'"\\xZZ"', b'"\\ud800"',
    b"\t", b": ", b"? ", b"!", b"!!int x", b"!!int 0x", b"!!timestamp x", b"9" * 5000, b"-9" * 9,
    b"#", b"\xef\xbb\xbf", b"!!int ''", b"!!bool x", b"!!float x", b"=", b"<<: 1", b"<<: [1]",
    b"0b", b"0b2", b"1:99:x", b"@", b"`", b"\x85",
)  # fmt: skip
# Cells of a table.
CELLS = (
    "", '"', "=1+1", "'=1", "a,b", "nan", "inf", "1e999", "-1", "1e39", "x" * 5000, "\x00",
    "\x1b[31m", "../../x", "CON", "a\u0301", "\u2028", '"a\nb"', ";", ";;a;", "0.5", "1e-400",
    "0x1p5", "१२", "test", "video", "<script>",
)  # fmt: skip

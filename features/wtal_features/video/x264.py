"""What x264 needs so that the same pictures become the same bytes, each time and on any machine."""

from collections.abc import Mapping

# Frames are shared out to threads, whose number is that of the cores, with other decisions for each
# number. Macroblock-tree rate control gives other bits from run to run where the CPU has AVX-512
# (x264 of PyAV 18: twelve encodings of one video, up to nine results; without it one).
REPEATABLE: Mapping[str, str] = {"threads": "1", "x264-params": "mbtree=0"}

"""The registry of compressors: one module per kind, one line here.

A compressor joins every law, benchmark and golden test by its line in ``COMPRESSORS``.
"""

from headroom.core.protocols import Compressor

COMPRESSORS: tuple[Compressor, ...] = ()

"""The registry of compressors: one module per kind, one line here.

A compressor joins every law, benchmark and golden test by its line in ``COMPRESSORS``.
Where two are equally sure of a text, the one that stands first is asked first.
"""

from headroom.core.compressors import (
    diff,
    listing,
    log,
    read_gutter,
    search_results,
    table_text,
)
from headroom.core.protocols import Compressor

COMPRESSORS: tuple[Compressor, ...] = (
    read_gutter.COMPRESSOR,
    diff.COMPRESSOR,
    search_results.COMPRESSOR,
    table_text.COMPRESSOR,
    listing.COMPRESSOR,
    log.COMPRESSOR,
)

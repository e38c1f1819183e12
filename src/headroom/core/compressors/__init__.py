"""The registry of compressors: one module per kind, one line here.

A compressor joins every law, benchmark and golden test by its line in ``COMPRESSORS``.
Where two are equally sure of a text, the one that stands first is asked first.
"""

from headroom.core.compressors import (
    build_output,
    diff,
    json_table,
    listing,
    log,
    read_gutter,
    search_results,
    table_text,
    trace,
)
from headroom.core.protocols import Compressor

COMPRESSORS: tuple[Compressor, ...] = (
    read_gutter.COMPRESSOR,
    json_table.COMPRESSOR,
    diff.COMPRESSOR,
    search_results.COMPRESSOR,
    table_text.COMPRESSOR,
    listing.COMPRESSOR,
    build_output.COMPRESSOR,
    trace.COMPRESSOR,
    log.COMPRESSOR,
)

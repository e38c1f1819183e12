"""The registry of compressors: one module per kind, one line here.

A compressor joins every law, benchmark and golden test by its line in ``COMPRESSORS``.
One that is sure of a text is asked before those behind it have looked at it.
"""

from headroom.core.compressors import (
    alike,
    build_output,
    clean,
    config_text,
    diff,
    html,
    json_table,
    listing,
    log,
    outline,
    prose,
    read_gutter,
    search_results,
    table_text,
    trace,
)
from headroom.core.protocols import Compressor

COMPRESSORS: tuple[Compressor, ...] = (
    outline.COMPRESSOR,
    read_gutter.COMPRESSOR,
    diff.COMPRESSOR,
    search_results.COMPRESSOR,
    json_table.COMPRESSOR,
    listing.COMPRESSOR,
    build_output.COMPRESSOR,
    trace.COMPRESSOR,
    config_text.COMPRESSOR,
    html.COMPRESSOR,
    log.COMPRESSOR,
    table_text.COMPRESSOR,
    prose.COMPRESSOR,
    alike.COMPRESSOR,
    clean.COMPRESSOR,
)

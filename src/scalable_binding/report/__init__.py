"""HTML reports: one self-contained page of sections with pictures, videos and tables."""

from scalable_binding.report.page import (
    Chapter,
    Section,
    code,
    columns,
    note,
    paragraph,
    pictures,
    swatch,
    table,
    video,
    write,
)

__all__ = [
    "Chapter",
    "Section",
    "code",
    "columns",
    "note",
    "paragraph",
    "pictures",
    "swatch",
    "table",
    "video",
    "write",
]

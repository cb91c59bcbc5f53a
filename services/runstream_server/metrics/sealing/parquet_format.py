"""What the Parquet object of a sealed run looks like; docs/parquet.md describes it to those who read it.

Imported together with pyarrow, which takes a tenth of a second and 45 MB: only when something is sealed, or read again.
"""

from typing import Any

import pyarrow as pa
from pyarrow import parquet

from runstream_server.metrics.model import Kind

VERSION = b"1"
_VERSION_KEY = b"runstream.metrics.version"

KINDS = {
    Kind.DOUBLE: "double",
    Kind.INT64: "int64",
    Kind.BOOL: "bool",
    Kind.STRING: "string",
    Kind.NULL: "null",
    Kind.TABLE: "row",
}
KIND_OF_NAME = {name: kind for kind, name in KINDS.items()}

ARTIFACT_KINDS = {1: "image", 2: "confusion_matrix", 3: "accuracy_table", 4: "residuals", 5: "predictions"}
"""By number of the contract."""

ARTIFACT_KIND_OF_NAME = {name: number for number, name in ARTIFACT_KINDS.items()}

VALUE_COLUMNS = {
    Kind.DOUBLE: "double_value",
    Kind.INT64: "int64_value",
    Kind.BOOL: "bool_value",
    Kind.STRING: "string_value",
}

NAMES = pa.dictionary(pa.int32(), pa.string())

CELL = pa.struct(
    [
        pa.field("column", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("double_value", pa.float64()),
        pa.field("int64_value", pa.int64()),
        pa.field("bool_value", pa.bool_()),
        pa.field("string_value", pa.string()),
    ]
)
CELLS = pa.list_(pa.field("element", CELL, nullable=False))

SCHEMA = pa.schema(
    [
        pa.field("metric", NAMES, nullable=False),
        pa.field("index", pa.int64(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("kind", NAMES, nullable=False),
        pa.field("double_value", pa.float64()),
        pa.field("int64_value", pa.int64()),
        pa.field("bool_value", pa.bool_()),
        pa.field("string_value", pa.string()),
        pa.field("artifact", pa.string()),
        pa.field("cells", CELLS),
    ],
    metadata={_VERSION_KEY: VERSION},
)

_DICTIONARIES = [
    "metric",
    "kind",
    "string_value",
    "cells.list.element.column",
    "cells.list.element.kind",
    "cells.list.element.string_value",
]
_ENCODINGS = {
    "index": "DELTA_BINARY_PACKED",
    "step": "DELTA_BINARY_PACKED",
    "time": "DELTA_BINARY_PACKED",
    "double_value": "BYTE_STREAM_SPLIT",  # a dictionary would take all NaN for one, and 0.0 for -0.0
    "int64_value": "DELTA_BINARY_PACKED",
}


def open_writer(sink: Any) -> "parquet.ParquetWriter":
    """Writes the object to `sink`, a file of Python."""
    return parquet.ParquetWriter(
        sink,
        SCHEMA,
        compression="zstd",
        compression_level=3,
        use_dictionary=_DICTIONARIES,
        column_encoding=_ENCODINGS,
        write_statistics=True,
        write_page_checksum=True,
        store_schema=False,
    )


def open_reader(source: Any, metadata: "parquet.FileMetaData | None" = None) -> "parquet.ParquetFile":
    """Reads the object from `source`, a file of Python; damaged pages are an OSError."""
    return parquet.ParquetFile(
        source,
        metadata=metadata,
        read_dictionary=["metric", "kind"],
        page_checksum_verification=True,
        pre_buffer=False,
    )

"""Blocks of bytes, compressed where that saves something, and each readable by itself."""

from runstream_server.compression.blocks import pack_array, pack_bytes, pack_rows, unpack, zstd_frame
from runstream_server.compression.codecs import compress_many

__all__ = ["compress_many", "pack_array", "pack_bytes", "pack_rows", "unpack", "zstd_frame"]

"""Blocks of bytes, compressed where that saves something, and each readable by itself."""

from runstream_server.compression.blocks import pack_array, pack_bytes, pack_rows, unpack, zstd_frame

__all__ = ["pack_array", "pack_bytes", "pack_rows", "unpack", "zstd_frame"]

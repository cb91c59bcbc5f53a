"""What is compiled from `services/native`; None where there was no compiler, and the same is done in numpy."""

try:
    from runstream_server import _native as native
except ImportError:
    native = None  # type: ignore[assignment]

__all__ = ["native"]

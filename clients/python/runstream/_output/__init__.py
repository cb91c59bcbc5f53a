"""Records what this process prints: of Python, of native code, and of the programs it starts."""

from runstream._output.tap import Tap, the_tap

__all__ = ["Tap", "the_tap"]

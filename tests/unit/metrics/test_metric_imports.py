"""What a server loads before it seals anything."""

import subprocess
import sys


def test_a_server_starts_without_loading_pyarrow() -> None:
    loaded = "import sys, runstream_server.app; print([name for name in sys.modules if name.startswith('pyarrow')])"

    assert subprocess.check_output([sys.executable, "-c", loaded], text=True).strip() == "[]"

"""What the guard of a runner loads, which every job starts and which lasts as long as the job."""

import subprocess
import sys


def test_the_guard_of_a_runner_loads_neither_grpc_nor_protobuf() -> None:
    loaded = "import sys, runstream._runner.__main__; print({name.partition('.')[0] for name in sys.modules})"

    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)

    assert "runstream" in done.stdout
    assert not any(f"'{name}'" in done.stdout for name in ("grpc", "google", "numpy"))

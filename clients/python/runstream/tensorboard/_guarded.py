"""TensorBoard as a process that ends with the one that started it, however that ends. Started by its path."""

import os
import runpy
import signal
import threading
import time

GRACE_SECONDS = 3.0


def _end_with_parent() -> None:
    """Waits for the end of standard input, which the parent holds open."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    runpy.run_module("tensorboard.main", run_name="__main__", alter_sys=True)

"""Shows runs in TensorBoard.

    from runstream.tensorboard import Tensorboard, export_to_tensorboard

    board = Tensorboard([run])                  # the event files that scripts write to logs/, live
    print(board.start())
    board.stop()

    export_to_tensorboard(run, "exported")      # what was logged by `run.log`
    Tensorboard([], local_root="exported").start()

It needs `pip install "runstream[tensorboard]"`, or a TensorBoard that is there.
"""

from runstream.tensorboard._tensorboard import Tensorboard
from runstream.tensorboard.export import export_to_tensorboard

__all__ = ["Tensorboard", "export_to_tensorboard"]

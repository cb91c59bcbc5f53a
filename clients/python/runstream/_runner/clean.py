"""Removes what runs left on this machine."""

import re
import shutil


def remove_working_copies(run_id: str) -> None:
    """Removes the folders of a run on this machine, and what its runners had to say. It must have ended.

    A folder that a runner has is left alone: it may be that of a run in another workspace with the same id.
    """
    from runstream._runner.folder import JobFolder, folder_name, jobs_root
    from runstream._runner.start import log_file

    pattern = re.compile(rf"{re.escape(folder_name(run_id))}-[0-9a-f]{{8}}")
    root = jobs_root()
    for folder in root.iterdir() if root.is_dir() else ():
        if pattern.fullmatch(folder.name) and not JobFolder(folder).is_held():
            shutil.rmtree(folder, ignore_errors=True)
    log_file(run_id).unlink(missing_ok=True)

"""Compiles `runstream_server._native`, where there is a compiler; without it the services do the same in Python.

RUNSTREAM_NATIVE says `required` (no compiler is an error) or `none` (it is left out); by default it is tried.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_MODULE = "runstream_server/_native.abi3.so"
_OPTIONS = ["-std=c11", "-O3", "-Wall", "-Wextra", "-fno-strict-aliasing", "-fvisibility=hidden", "-fPIC"]
_LINKED = {"darwin": ["-bundle", "-undefined", "dynamic_lookup"]}


class NativeBuildHook(BuildHookInterface[Any]):
    """Compiles before a wheel or an editable installation is made."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("RUNSTREAM_NATIVE", "")
        module = Path(self.root, _MODULE)
        module.unlink(missing_ok=True)
        if self.target_name != "wheel" or wanted == "none":
            return
        try:
            _compile(Path(self.root, "native"), module)
        except (OSError, subprocess.CalledProcessError) as error:
            if wanted == "required":
                raise
            self.app.display_warning(f"the services will be slower, as their native part was not compiled: {error}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{_platform()}"
        build_data["artifacts"].append(_MODULE)


def _compile(sources: Path, module: Path) -> None:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    include = f"-I{sysconfig.get_path('include')}"
    linked = _LINKED.get(sys.platform, ["-shared"])
    files = [str(path) for path in sorted(sources.glob("*.c"))]
    subprocess.run([*compiler, *_OPTIONS, *linked, include, *files, "-o", str(module)], check=True)


def _platform() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")

"""Generates the Python code of the contracts into clients/python/runstream/api, or into the folder given."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
API = ROOT / "clients" / "python" / "runstream" / "api"

# Older on purpose: generated code demands at least its own protobuf at run time, and these need no registered methods.
GENERATOR = "grpcio-tools==1.62.3"
PLUGIN = "mypy-protobuf==3.6.0"
GENERATOR_PYTHONS = ((3, 11), (3, 12))


def generator_python() -> str:
    """Which Python the generator runs under: it has packages for two versions only."""
    version = sys.version_info[:2]
    return "{}.{}".format(*(version if version in GENERATOR_PYTHONS else GENERATOR_PYTHONS[-1]))


def generate(target: Path) -> None:
    """Writes the generated package into `target`, which is replaced."""
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        outputs = [f"--{kind}_out={scratch}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
        subprocess.run(
            [
                os.environ.get("UV", str(ROOT / ".tools" / "bin" / "uv")),
                *("tool", "run", "--quiet", "--python", generator_python()),
                *("--from", GENERATOR, "--with", PLUGIN, "--with", "setuptools<81"),
                *("python", "-W", "ignore", "-m", "grpc_tools.protoc"),
                f"--proto_path={PROTOS}",
                *outputs,
                *files,
            ],
            check=True,
        )
        made = Path(scratch) / "runstream" / "api"
        for folder in [made, *(path for path in made.rglob("*") if path.is_dir())]:
            (folder / "__init__.py").write_text('"""Generated from the contracts. Do not edit."""\n')
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else API)

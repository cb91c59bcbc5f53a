"""`python -m tests.chaos`: the chaos tests in their long form."""

import argparse
import os
import secrets
import subprocess
import sys
from pathlib import Path

from tests.chaos.scale import FACTOR_VARIABLE, FAULTS_VARIABLE, FIRST_SEED_VARIABLE, SEEDS_VARIABLE

FOLDER = Path(__file__).parent


def main() -> int:
    """Runs them in a process of their own, which reads its scale when it starts; returns the exit code of pytest."""
    arguments = _arguments()
    scale = {
        SEEDS_VARIABLE: str(arguments.seeds),
        FIRST_SEED_VARIABLE: str(arguments.first_seed),
        FAULTS_VARIABLE: str(arguments.faults),
        FACTOR_VARIABLE: str(arguments.factor),
    }
    print(f"seeds {arguments.first_seed} to {arguments.first_seed + arguments.seeds - 1}", flush=True)
    command = [sys.executable, "-m", "pytest", str(FOLDER), "--override-ini=timeout=7200", "-v"]
    chosen = ["-k", arguments.k] if arguments.k else []
    return subprocess.run([*command, *chosen], env={**os.environ, **scale}, check=False).returncode


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds each test runs with (3)")
    parser.add_argument("--first-seed", type=int, help="the first of them; give the one that failed to repeat it")
    parser.add_argument("--faults", type=int, default=30, help="faults for each seed (30)")
    parser.add_argument("--factor", type=int, default=3, help="how many times the load of the short form (3)")
    parser.add_argument("-k", help="only tests whose names match, as with pytest")
    arguments = parser.parse_args()
    if arguments.first_seed is None:
        arguments.first_seed = secrets.randbelow(2**32)
    return arguments


if __name__ == "__main__":
    sys.exit(main())

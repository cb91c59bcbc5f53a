"""Spools of scripts in real processes, which no uplink carries."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstream._spool.format import DEFINE, FINISH, VALUE, Drops
from runstream._spool.places import spools_in
from runstream._spool.reader import Damage, SpoolReader
from runstream._spool.records import decode_text, decode_values

ADDRESS = "127.0.0.1:1"
RUN = "workspaces/default/runs/one"
BEGIN = f"""
import os, sys
from runstream._spool import RunSpool
spool = RunSpool.open({RUN!r}, {ADDRESS!r})
"""


@dataclass(frozen=True)
class Scene:
    """A folder of spools that no uplink carries: this process holds the lock."""

    group: Path

    def run(self, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs a script that has a `spool`."""
        return subprocess.run(
            [sys.executable, "-c", BEGIN + code, *arguments], capture_output=True, text=True, timeout=60, check=True
        )

    def spools(self) -> list["Spool"]:
        return [read(path) for path in spools_in(self.group)]


@dataclass
class Spool:
    """What is in a spool."""

    values: dict[str, list[Any]]
    types: list[int]
    damages: list[Damage]
    drops: Drops

    @property
    def is_finished(self) -> bool:
        return self.types[-1:] == [FINISH]


def read(path: Path) -> Spool:
    reader = SpoolReader(path)
    names: dict[int, str] = {}
    spool = Spool({}, [], [], reader.drops())
    while found := reader.read(final=True):
        for item in found:
            if isinstance(item, Damage):
                spool.damages.append(item)
                continue
            spool.types.append(item.type)
            if item.type == DEFINE:
                id_, name = decode_text(item.body)
                names[id_] = name
            elif item.type >= VALUE:
                values = decode_values(item.body)
                column = [None] * values.column if isinstance(values.column, int) else list(values.column)
                spool.values.setdefault(names[values.id], []).extend(column)
    reader.close()
    return spool

"""Section 17: what is left out of a snapshot."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream._snapshot.ignore import IgnoreRules
from runstream._snapshot.tree import walk

NAMES = ("a", "b.py", "build", "data", ".hidden", "a b", "zz")
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
PIECES = st.sampled_from(
    [*NAMES, "*", "**", "*.py", "[ab]", "?", "b*", "a**", "[!a]*", "[a-c]uild", r"\b.py", "[[:alpha:]]"]
)
PATTERNS = st.builds(
    lambda negated, start, pieces, end: f"{negated}{start}{'/'.join(pieces)}{end}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(PIECES, min_size=1, max_size=3),
    st.sampled_from(["", "/", " "]),
)


def make(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)
    return root


def kept(root: Path) -> set[str]:
    return {entry.path for entry in walk(root).files}


@settings(max_examples=30)
@given(st.sets(PATHS, max_size=12), st.lists(PATTERNS, max_size=5))
def test_the_pattern_language_is_that_of_git(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str], patterns: list[str]
) -> None:
    folders = {parent for path in paths for parent in Path(path).parents}
    root = make(tmp_path_factory.mktemp("tree"), *(path for path in paths if Path(path) not in folders))
    (root / ".amlignore").write_text("\n".join([*patterns, "!/.amlignore"]))
    command = ["git", "-c", "core.quotepath=off", "ls-files", "--others", "-z", f"--exclude-from={root}/.amlignore"]
    environment = {**os.environ, "GIT_DIR": str(_repository(tmp_path_factory)), "GIT_WORK_TREE": str(root)}
    listed = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True).stdout

    assert kept(root) | {".amlignore"} == set(listed.decode().split("\0")) - {""} | {".amlignore"}


def _repository(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "repository"
    if not folder.exists():
        subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    return folder


def test_the_amlignore_of_the_root_counts_alone(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "b.txt", "folder/b.txt", "folder/c.txt")
    (tmp_path / ".amlignore").write_text("a.txt\n")
    (tmp_path / ".gitignore").write_text("b.txt\n")
    (tmp_path / "folder" / ".amlignore").write_text("c.txt\n")

    assert kept(tmp_path) == {
        *(".amlignore", ".gitignore", "b.txt"),
        *("folder/.amlignore", "folder/b.txt", "folder/c.txt"),
    }


def test_the_gitignore_counts_where_there_is_no_amlignore(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "b.txt")
    (tmp_path / ".gitignore").write_text("b.txt\n")

    assert kept(tmp_path) == {".gitignore", "a.txt"}


@pytest.mark.parametrize("pattern", ["*", ".*", ".amlignore", "/.amlignore"])
def test_the_ignore_file_itself_is_included(tmp_path: Path, pattern: str) -> None:
    (tmp_path / ".amlignore").write_text(pattern)

    assert kept(tmp_path) == {".amlignore"}


def test_what_tools_leave_behind_is_left_out_unless_it_is_brought_back(tmp_path: Path) -> None:
    make(tmp_path, ".git/HEAD", "deep/__pycache__/a.pyc", "deep/.ipynb_checkpoints/n", "outputs/model", ".env")
    assert kept(tmp_path) == {"outputs/model", ".env"}

    (tmp_path / ".amlignore").write_text("!.git\n!__pycache__/\n")
    assert kept(tmp_path) == {".amlignore", ".env", ".git/HEAD", "deep/__pycache__/a.pyc", "outputs/model"}


def test_nothing_below_a_folder_that_is_left_out_can_be_brought_back(tmp_path: Path) -> None:
    make(tmp_path, "data/keep.txt", "other/keep.txt", "other/drop.txt")
    (tmp_path / ".amlignore").write_text("data/\n!data/keep.txt\nother/*\n!other/keep.txt\n")

    assert kept(tmp_path) == {".amlignore", "other/keep.txt"}


def test_an_ignore_file_of_another_encoding_is_read(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "b.txt")
    (tmp_path / ".amlignore").write_bytes(b"\xef\xbb\xbfa.txt\r\n# \xff\r\n")

    assert kept(tmp_path) == {".amlignore", "b.txt"}


def test_rules_without_a_file_keep_everything_but_the_defaults() -> None:
    rules = IgnoreRules(())

    assert not rules.omit_file("a/.gitignore")
    assert rules.omit_folder("a/.git")

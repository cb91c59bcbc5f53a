"""Compute targets, and the run configurations of an attached folder, on the command line."""

from pathlib import Path

import pytest

from runstream.core import RunConfiguration
from tests.command_line import Cli


async def test_a_compute_target_is_created_shown_listed_and_deleted(cli: Cli) -> None:
    made = await cli(
        *("compute-target", "create", "pool", "--machine-type", "large", "--max-nodes", "3", "--lost-after", "90"),
        *("--description", "Ours"),
    )
    again = await cli("compute-target", "create", "pool", code=5)
    shown = await cli("compute-target", "show", "pool")
    listed = await cli("compute-target", "list", "--query", "[].[name, kind]")
    unasked = await cli("compute-target", "delete", "pool", code=2)
    await cli("compute-target", "delete", "pool", "--yes")
    gone = await cli("compute-target", "show", "pool", code=3)

    assert made.result["settings"] == {
        "machine_type": "large",
        "min_nodes": 0,
        "max_nodes": 3,
        "lost_after_seconds": 90.0,
    }
    assert (made.result["kind"], made.result["description"]) == ("agent-pool", "Ours")
    assert made.result["created_utc"]
    assert "pool" in again.err
    assert shown.result == made.result
    assert listed.result == [["local", "local"], ["pool", "agent-pool"]]
    assert "--yes" in unasked.err
    assert "pool" in gone.err


async def test_options_of_another_kind_and_bad_ones_are_refused(cli: Cli) -> None:
    for arguments, named in {
        ("--namespace", "a"): "--namespace",
        ("--keep-finished", "60"): "--keep-finished",
        ("--kind", "kubernetes"): "--namespace",
        ("--kind", "kubernetes", "--namespace", "a", "--max-nodes", "2"): "--max-nodes",
        ("--kind", "kubernetes", "--namespace", "a", "--limit", "cpu"): "--limit",
    }.items():
        refused = await cli("compute-target", "create", "pool", *arguments, code=2)
        assert named in refused.err


async def test_a_pod_template_is_read_and_a_cluster_must_be_configured(cli: Cli) -> None:
    good, bad = cli.folder / "pod.yaml", cli.folder / "bad.yaml"
    good.write_text("spec:\n  tolerations: []\n")
    bad.write_text("- a\n")
    create = ("compute-target", "create", "west", "--kind", "kubernetes", "--namespace", "a", "--limit", "cpu=2")

    refused = await cli(*create, "--pod-template", str(good), "--cluster", "west", code=5)
    unread = await cli(*create, "--pod-template", str(bad), code=2)

    assert "west" in refused.err
    assert "bad.yaml" in unread.err


async def test_an_attached_folder_has_run_configurations_to_begin_with(cli: Cli) -> None:
    project = cli.folder / "digits"
    project.mkdir()

    attached = await cli("folder", "attach", "--path", "digits")

    configurations = {name: RunConfiguration.load(project, name) for name in ("local", "docker")}
    assert [Path(file).relative_to(project).as_posix() for file in attached.result["files"][2:]] == [
        *(".azureml/conda_dependencies.yml", ".azureml/local", ".azureml/docker")
    ]
    assert configurations["local"].environment.python.user_managed_dependencies
    assert not configurations["local"].docker.use_docker
    assert configurations["docker"].docker.use_docker
    assert list(configurations["docker"].environment.python.conda_dependencies.conda_packages)


async def test_attaching_again_keeps_configurations_and_packages(cli: Cli) -> None:
    await cli("folder", "attach", "-e", "digits")
    packages = cli.folder / ".azureml" / "conda_dependencies.yml"
    packages.write_text("dependencies:\n- python=3.12\n- pip:\n  - numpy\n")
    changed = RunConfiguration.load(cli.folder, "local")
    changed.target = "pool"
    changed.save()
    (cli.folder / ".azureml" / "docker").rename(cli.folder / ".azureml" / "docker.runconfig")

    attached = await cli("folder", "attach", "-e", "digits")

    docker = RunConfiguration.load(cli.folder, "docker")
    assert len(attached.result["files"]) == 1
    assert RunConfiguration.load(cli.folder, "local").target == "pool"
    assert list(docker.environment.python.conda_dependencies.pip_packages) == ["numpy"]


@pytest.mark.parametrize(
    ("arguments", "looked_at"),
    [
        (("train.py",), "There is no script train.py in the folder {here}."),
        (("--source-directory", "src", "train.py"), "There is no source folder {here}/src."),
    ],
)
async def test_nothing_is_made_for_a_script_that_is_not_there(
    cli: Cli, arguments: tuple[str, ...], looked_at: str
) -> None:
    refused = await cli("run", "submit-script", "-e", "digits", *arguments, code=2)
    experiments = await cli("experiment", "list")

    assert looked_at.format(here=cli.folder) in refused.err
    assert experiments.result == []

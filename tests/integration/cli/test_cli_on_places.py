"""Experiments, workspaces, folders and logins against the services."""

import asyncio
import json

from tests.command_line import Cli, MakeRun


async def test_an_experiment_is_changed_archived_and_brought_back(cli: Cli, make_run: MakeRun) -> None:
    await make_run("a", experiment="digits")
    await make_run("b", experiment="cats")

    changed = await cli("experiment", "update", "-e", "digits", "--add-tag", "old", "--description", "Handwritten")
    renamed = await cli("experiment", "update", "-e", "cats", "--name", "dogs")
    archived = await cli("experiment", "archive", "-e", "digits")
    active, gone, every, by_id = await asyncio.gather(
        cli("experiment", "list", "--query", "[].name"),
        cli("experiment", "list", "--view", "archived", "--query", "[].name"),
        cli("experiment", "list", "--view", "all", "--query", "[].name"),
        cli("experiment", "show", "-e", archived.result["id"]),
    )
    back = await cli("experiment", "reactivate", "-e", "digits")

    assert changed.result["tags"] == {"old": None}
    assert changed.result["description"] == "Handwritten"
    assert renamed.result["name"] == "dogs"
    assert archived.result["archived_utc"]
    assert active.result == ["dogs"]
    assert gone.result == ["digits"]
    assert every.result == ["dogs", "digits"]
    assert by_id.result["name"] == "digits"
    assert back.result["archived_utc"] is None


async def test_an_experiment_is_deleted_only_when_it_is_empty_and_somebody_said_so(cli: Cli, make_run: MakeRun) -> None:
    await make_run("a", experiment="digits")

    unasked = await cli("experiment", "delete", "-e", "digits", code=2)
    refused = await cli("experiment", "delete", "-e", "digits", "--yes", code=5)

    assert "--yes" in unasked.err
    assert "run" in refused.err


async def test_a_workspace_is_made_changed_listed_and_deleted(cli: Cli) -> None:
    made = await cli("workspace", "create", "-w", "vision", "--tag", "team=a", "--tag", "new")
    again = await cli("workspace", "create", "-w", "vision", "--exist-ok", "--description", "ignored")
    changed = await cli(
        *("workspace", "update", "-w", "vision", "--display-name", "Vision", "--remove-tag", "new", "--add-tag", "k=v")
    )
    listed = await cli("workspace", "list", "--query", "[].name")
    await cli("workspace", "delete", "-w", "vision", "--yes")
    missing = await cli("workspace", "show", "-w", "vision", code=3)

    assert made.result["tags"] == {"new": None, "team": "a"}
    assert made.result["mlflow_tracking_uri"].endswith("/workspaces/vision")
    assert again.result["description"] is None
    assert changed.result["tags"] == {"k": "v", "team": "a"}
    assert changed.result["display_name"] == "Vision"
    assert listed.result == ["default", "vision"]
    assert "vision" in missing.err


async def test_commands_in_an_attached_folder_work_in_its_experiment(cli: Cli, make_run: MakeRun) -> None:
    await make_run("a", experiment="digits")
    await make_run("b", experiment="cats")
    project = cli.folder / "digits"
    (project / "src").mkdir(parents=True)

    attached = await cli("folder", "attach", "--path", "digits")
    cli.folder = project / "src"
    listed, shown, other = await asyncio.gather(
        cli("run", "list", "--query", "[].run_id"),
        cli("experiment", "show"),
        cli("run", "list", "-e", "cats", "--query", "[].run_id"),
    )

    assert attached.result["files"][:2] == [str(project / ".runstream/config.json"), str(project / ".amlignore")]
    assert listed.result == ["a"]
    assert shown.result["name"] == "digits"
    assert other.result == ["b"]


async def test_attaching_again_keeps_the_ignore_file_and_an_unknown_workspace_is_refused(cli: Cli) -> None:
    (cli.folder / ".amlignore").write_text("mine\n")

    await cli("folder", "attach", "-e", "digits", "-g", "group", "--subscription-id", "sub")
    refused = await cli("folder", "attach", "-e", "digits", "-w", "nowhere", code=3)

    assert (cli.folder / ".amlignore").read_text() == "mine\n"
    config = json.loads((cli.folder / ".runstream" / "config.json").read_text())
    assert "/subscriptions/sub/resourceGroups/group/" in config["Scope"]
    assert config["Scope"].endswith("/workspaces/default/projects/digits")
    assert "nowhere" in refused.err


async def test_a_login_is_stored_only_when_the_services_answer(cli: Cli) -> None:
    address = cli.environment.pop("RUNSTREAM_ADDRESS")

    refused = await cli("login", "--address", "127.0.0.1:1", code=4)
    before = await cli("run", "list", code=4)
    await cli("login", "--address", f"http://{address}/")
    status = await cli("status")
    await cli("logout")
    after = await cli("run", "list", code=4)

    assert "127.0.0.1:1" in refused.err
    assert "runstream login" in before.err
    assert status.result["address"] == address
    assert status.result["found_by"] == "runstream login"
    assert after.err == before.err


async def test_status_tells_what_was_found_and_what_answers(cli: Cli) -> None:
    there = await cli("status")
    table = await cli("status", "-o", "table")
    nowhere = await cli("status", "--address", "127.0.0.1:1", code=4)

    assert there.result["found_by"] == "RUNSTREAM_ADDRESS"
    assert there.result["answers"] is True
    assert set(there.result["services"].values()) == {"serving"}
    assert set(there.result["services"]) == {"runs", "metrics", "logs", "artifacts", "jobs"}
    assert "serving" in table.out
    assert nowhere.result["answers"] is False
    assert "127.0.0.1:1" in nowhere.err

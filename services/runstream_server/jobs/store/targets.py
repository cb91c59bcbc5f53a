"""Compute targets besides `local`."""

from collections.abc import Sequence

from runstream_server.jobs.model import ComputeTarget
from runstream_server.jobs.store.columns import TARGET, configuration_json, target_of
from runstream_server.names import ComputeTargetName
from runstream_server.postgres import Postgres


class TargetStore:
    """Compute targets."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def create(self, target: ComputeTarget) -> bool:
        """Adds a target; returns False if one has its name."""
        added = await self._postgres.execute(
            f"INSERT INTO jobs.compute_target ({TARGET}) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            target.name.workspace,
            target.name.compute_target,
            target.kind,
            target.description,
            configuration_json(target.configuration),
            target.create_time,
        )
        return added == "INSERT 0 1"

    async def get(self, name: ComputeTargetName) -> ComputeTarget | None:
        """Returns a target."""
        row = await self._postgres.fetchrow(
            f"SELECT {TARGET} FROM jobs.compute_target WHERE workspace = $1 AND compute_target = $2",
            name.workspace,
            name.compute_target,
        )
        return target_of(row) if row else None

    async def list_targets(self, workspace: str, after: str, count: int) -> Sequence[ComputeTarget]:
        """Returns up to `count` targets of a workspace with names after `after`, in order of name."""
        rows = await self._postgres.fetch(
            f"""
            SELECT {TARGET} FROM jobs.compute_target
             WHERE workspace = $1 AND compute_target > $2 ORDER BY compute_target LIMIT $3
            """,
            workspace,
            after,
            count,
        )
        return [target_of(row) for row in rows]

    async def update(self, target: ComputeTarget) -> bool:
        """Gives a target this description and configuration; returns False if none of this kind has its name."""
        changed = await self._postgres.execute(
            """
            UPDATE jobs.compute_target SET description = $4, configuration = $5
             WHERE workspace = $1 AND compute_target = $2 AND kind = $3
            """,
            target.name.workspace,
            target.name.compute_target,
            target.kind,
            target.description,
            configuration_json(target.configuration),
        )
        return changed == "UPDATE 1"

    async def delete(self, name: ComputeTargetName) -> int | None:
        """Deletes a target and its agents unless jobs of it have not ended; returns how many, None if there is none."""
        async with self._postgres.transaction() as connection:
            place = (name.workspace, name.compute_target)
            if not await connection.fetchval(
                "SELECT true FROM jobs.compute_target WHERE workspace = $1 AND compute_target = $2 FOR UPDATE", *place
            ):
                return None
            open_count: int = await connection.fetchval(
                "SELECT count(*) FROM jobs.job WHERE workspace = $1 AND compute_target = $2 AND state <> 'ended'",
                *place,
            )
            if not open_count:
                await connection.execute("DELETE FROM jobs.agent WHERE workspace = $1 AND compute_target = $2", *place)
                await connection.execute(
                    "DELETE FROM jobs.compute_target WHERE workspace = $1 AND compute_target = $2", *place
                )
            return open_count

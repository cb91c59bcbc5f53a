"""What a workspace does, in both forms."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, cast

from google.protobuf.field_mask_pb2 import FieldMask

from runstream._channel import Connection, find_address
from runstream._channel.address import is_offline, parse_address
from runstream._channel.pages import pages
from runstream._mlflow import gateway_of, offer_token
from runstream.api.runs.v1 import experiment_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.workspace_pb2 import Workspace as WorkspaceRecord
from runstream.core import _links
from runstream.core._config import WorkspaceConfig, find_config, read_config, write_config
from runstream.core._experiment import list_experiments
from runstream.core._forms import E, R, W, form_of
from runstream.core._labels import from_tags, to_tags
from runstream.core._surface import dual, dual_class
from runstream.exceptions import ServiceException, UserErrorException, WorkspaceException

PAGE_SIZE = 1000

WorkspacesByName = dict[str, list[W]]


class WorkspaceCalls(Generic[W, E, R]):
    """A workspace owns experiments, their runs, and compute targets."""

    DEFAULT: ClassVar[str] = "default"
    """The workspace that `runstream up` makes."""

    _address: str
    _endpoint: str | None
    _record: WorkspaceRecord
    _subscription_id: str
    _resource_group: str

    @classmethod
    def _of(cls, address: str, record: WorkspaceRecord, labels: WorkspaceConfig) -> Any:
        workspace = cls.__new__(cls)
        workspace._attach(address, record, labels)
        return workspace

    def _attach(self, address: str, record: WorkspaceRecord, labels: WorkspaceConfig) -> None:
        self._address, self._record, self._endpoint = address, record, labels.endpoint
        self._subscription_id, self._resource_group = labels.subscription_id, labels.resource_group

    @property
    def name(self) -> str:
        """The name of the workspace."""
        return self._record.name.removeprefix("workspaces/")

    @property
    def subscription_id(self) -> str:
        """A label kept from the configuration file or the call; Runstream does not use it."""
        return self._subscription_id

    @property
    def resource_group(self) -> str:
        """A label kept from the configuration file or the call; Runstream does not use it."""
        return self._resource_group

    @property
    def location(self) -> str:
        """Where the services of the workspace are: `host:port`."""
        return self._address

    @property
    def sku(self) -> str:
        """Always `basic`: there is one edition."""
        return "basic"

    @property
    def tags(self) -> dict[str, str | None]:
        """The tags of the workspace, as they were when it was read."""
        return from_tags(self._record.tags)

    @dual_class
    async def get(
        cls,
        /,
        name: str = DEFAULT,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        **kwargs: object,
    ) -> W:
        """Returns the workspace of this name.

        The services are those at `RUNSTREAM_ADDRESS`, else where `runstream login` points, else the `runstream up` of
        this machine. `auth` and further parameters of SDK v1 are accepted and not used; `subscription_id` and
        `resource_group` are kept as labels.

            ws = Workspace.get()             # the workspace "default"
            ws = Workspace.get("vision")

        Raises:
            WorkspaceException: No workspace has this name.
            UserErrorException: Nothing says where the services are.
        """
        return cast(W, await cls._open(WorkspaceConfig(name, subscription_id or "", resource_group or "")))

    @dual_class
    async def from_config(
        cls,
        /,
        path: str | None = None,
        auth: object = None,
        _logger: object = None,
        _file_name: str | None = None,
    ) -> W:
        """Returns the workspace that a configuration file names.

        `path` is the file, or the folder where the search begins: the current one by default. The search looks for
        `.runstream/config.json`, `.azureml/config.json`, `aml_config/config.json` and `config.json` (and `project.json`
        for each), each in the folder and all folders above it before the next. A `config.json` of SDK v1 works as it
        is; it may have the additional key `"endpoint"` with the `host:port` of the services.

        Raises:
            UserErrorException: There is no such file, or it cannot be understood.
            WorkspaceException: The workspace does not exist.
        """
        config = read_config(find_config(path, _file_name))
        return cast(W, await cls._open(config))

    @dual_class
    async def create(
        cls,
        /,
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        create_resource_group: bool = True,
        sku: str = "basic",
        tags: Mapping[str, str | None] | None = None,
        friendly_name: str | None = None,
        exist_ok: bool = False,
        **kwargs: object,
    ) -> W:
        """Creates a workspace: 3 to 33 letters, digits, `-` and `_`.

        With `exist_ok` a workspace of that name that exists is returned unchanged.

            ws = Workspace.create("vision", exist_ok=True)

        Raises:
            UserErrorException: The name is taken or not allowed.
        """
        connection = Connection.to(find_address())
        request = api.CreateWorkspaceRequest(
            workspace_id=name,
            workspace=WorkspaceRecord(display_name=friendly_name or "", tags=to_tags(tags or {})),
            return_existing=exist_ok,
        )
        response = await connection.call(connection.runs.CreateWorkspace, request)
        labels = WorkspaceConfig(name, subscription_id or "", resource_group or "")
        return cast(W, cls._of(connection.address, response.workspace, labels))

    @dual_class
    async def list(
        cls,
        /,
        subscription_id: str | None = None,
        auth: object = None,
        resource_group: str | None = None,
    ) -> "WorkspacesByName[W]":
        """Returns all workspaces by name; each name has a list of one, as in SDK v1."""
        connection = Connection.to(find_address())
        found: WorkspacesByName[W] = {}
        request = api.ListWorkspacesRequest(page_size=PAGE_SIZE)
        async for page in pages(connection, connection.runs.ListWorkspaces, request):
            for record in page.workspaces:
                labels = WorkspaceConfig(record.name, subscription_id or "", resource_group or "")
                workspace = cls._of(connection.address, record, labels)
                found[workspace.name] = [workspace]
        return found

    @dual
    async def get_run(self, run_id: str) -> R:
        """Returns a run of this workspace, as an object of the class for its type.

        Raises:
            ServiceException: No run has this id; `status_code` is 404.
        """
        return cast(R, await form_of(type(self)).run._get(self, run_id))

    async def _experiments(self) -> dict[str, E]:
        records = await list_experiments(self, experiment_pb2.EXPERIMENT_VIEW_ACTIVE_ONLY, "")
        make = form_of(type(self)).experiment._of
        return {record.display_name: cast(E, make(self, record)) for record in records}

    @dual
    async def update(
        self,
        /,
        friendly_name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str | None] | None = None,
        **kwargs: object,
    ) -> dict[str, Any]:
        """Changes what is given and returns the details; `tags` replaces all tags."""
        given = {"display_name": friendly_name, "description": description, "tags": tags}
        record = WorkspaceRecord(name=self._record.name, display_name=friendly_name or "")
        record.description, mask = description or "", [field for field, value in given.items() if value is not None]
        record.tags.extend(to_tags(tags or {}))
        request = api.UpdateWorkspaceRequest(workspace=record, update_mask=FieldMask(paths=mask))
        connection = self._connection()
        self._record = (await connection.call(connection.runs.UpdateWorkspace, request)).workspace
        return self._details()

    @dual
    async def delete(self, delete_dependent_resources: bool = False, no_wait: bool = False) -> None:
        """Deletes the workspace, which must hold no experiment.

        Raises:
            UserErrorException: It holds experiments.
        """
        connection = self._connection()
        request = api.DeleteWorkspaceRequest(name=self._record.name)
        await connection.call(connection.runs.DeleteWorkspace, request, retry=False)

    @dual
    async def get_details(self) -> dict[str, Any]:
        """Reads the workspace again and returns what is known of it."""
        self._record = await self._fetch(self._connection(), self.name)
        return self._details()

    def write_config(self, path: str | None = None, file_name: str | None = None) -> None:
        """Writes `<path>/.runstream/config.json`, which `Workspace.from_config()` finds in that folder and below it."""
        labels = WorkspaceConfig(self.name, self._subscription_id, self._resource_group, self._endpoint)
        write_config(labels, path, file_name)

    def get_portal_url(self) -> str:
        """The address of the workspace's page in the studio."""
        return self._page()

    def get_mlflow_tracking_uri(self, _with_auth: bool = False) -> str:
        """The address that `mlflow.set_tracking_uri` takes: plain MLflow then records in this workspace.

            mlflow.set_tracking_uri(ws.get_mlflow_tracking_uri())
            with mlflow.start_run():
                mlflow.log_metric("loss", 0.5)

        It has no token in it. Where the services want one, MLflow shows the one that Runstream would, as it is at the
        time of each request, and shows it to no other server: for that this method sets `MLFLOW_TRACKING_AUTH` to
        `runstream` in the environment of this process, unless that has credentials for MLflow already
        (`MLFLOW_TRACKING_AUTH`, `MLFLOW_TRACKING_TOKEN`, `MLFLOW_TRACKING_USERNAME`). A program without this SDK sets
        `MLFLOW_TRACKING_TOKEN` to a token. `_with_auth` is accepted and not used.

        The gateway is where `RUNSTREAM_GATEWAY_URL` says, else where the services said when the workspace was read. In
        a submitted run none of this is necessary: MLflow records in that run.

        Raises:
            UserErrorException: Nobody knows where the gateway is.
        """
        gateway = gateway_of(self._record)
        offer_token(gateway, self._address)
        return f"{gateway}/{self._record.name}"

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}.get(name={self.name!r}, subscription_id={self._subscription_id!r}, "
            f"resource_group={self._resource_group!r})"
        )

    def _repr_html_(self) -> str:
        return _links.table({"Workspace": self.name}, {"Details Page": (self._page(), "Link to Runstream")})

    def _page(self, *parts: str) -> str:
        return _links.page(self._address, "workspaces", self.name, *parts)

    def _connection(self) -> Connection:
        return Connection.to(self._address)

    def _run_name(self, run_id: str) -> str:
        return f"{self._record.name}/runs/{run_id}"

    def _details(self) -> dict[str, Any]:
        return {
            "id": self._record.name,
            "name": self.name,
            "friendlyName": self._record.display_name,
            "description": self._record.description,
            "location": self._address,
            "creationTime": self._record.create_time.ToJsonString(),
            "subscriptionId": self._subscription_id,
            "resourceGroup": self._resource_group,
            "tags": self.tags,
            "mlFlowTrackingUri": self._record.gateway_url,
        }

    @classmethod
    async def _open(cls, config: WorkspaceConfig) -> Any:
        has_endpoint = bool(config.endpoint) and not is_offline()
        address = parse_address(config.endpoint or "") if has_endpoint else find_address()
        record = await cls._fetch(Connection.to(address), config.workspace)
        return cls._of(address, record, config)

    @staticmethod
    async def _fetch(connection: Connection, name: str) -> WorkspaceRecord:
        if not name or "/" in name:
            raise UserErrorException(f"{name!r} is not the name of a workspace.")
        request = api.GetWorkspaceRequest(name=f"workspaces/{name}")
        try:
            return (await connection.call(connection.runs.GetWorkspace, request)).workspace
        except ServiceException as error:
            if error.status_code != 404:
                raise
            remedy = f'Workspace.create("{name}") makes it.'
            raise WorkspaceException(
                f"There is no workspace {name} at {connection.address}. {remedy}", error
            ) from error

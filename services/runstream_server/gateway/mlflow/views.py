"""Which things a search is for by whether they are deleted."""

from enum import Enum

from runstream_server.gateway.mlflow.fields import Fields


class View(Enum):
    """The numbers are those of the interface."""

    ACTIVE_ONLY = 1
    DELETED_ONLY = 2
    ALL = 3

    def shows(self, *, is_deleted: bool) -> bool:
        """Whether it has what is deleted, or what is not."""
        return self is View.ALL or (self is View.DELETED_ONLY) == is_deleted


def asked_view(fields: Fields, name: str) -> View:
    """The view in a request: its name or its number; if there is none, of what is active. Raises MlflowError."""
    value = fields.raw(name)
    value = value[-1] if isinstance(value, list) and value else value
    if value is None:
        return View.ACTIVE_ONLY
    for view in View:
        if str(value) in (view.name, str(view.value)):
            return view
    raise fields.error(name, "expected ACTIVE_ONLY, DELETED_ONLY or ALL")

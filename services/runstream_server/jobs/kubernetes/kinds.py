"""The kinds of objects that the service reads or makes."""

from enum import Enum


class Kind(Enum):
    """A kind of objects: its group, its name, and its name in paths."""

    JOB = ("batch", "Job", "jobs")
    SECRET = ("", "Secret", "secrets")
    SERVICE = ("", "Service", "services")
    POD = ("", "Pod", "pods")

    def __init__(self, group: str, name: str, plural: str) -> None:
        self.group = group
        self.name_ = name
        self.plural = plural

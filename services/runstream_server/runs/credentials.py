"""Keeps credentials in repository addresses out of the record."""

import re
from collections.abc import Mapping

_KEYS = ("azureml.git.repository_uri", "azureml.git.build_uri", "mlflow.source.git.repoURL")
_USER_INFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*://)?[^/?#]*@")


def without_user_info(uri: str) -> str:
    """The address without user name, password and token: `https://me:secret@host/repo` becomes `https://host/repo`."""
    return _USER_INFO.sub(r"\1", uri, count=1)


def without_credentials(properties: Mapping[str, str]) -> Mapping[str, str]:
    """The properties, those that hold an address of a repository or build without user info."""
    found = [key for key in _KEYS if "@" in properties.get(key, "")]
    return {**properties, **{key: without_user_info(properties[key]) for key in found}} if found else properties

"""Holds manifests to the schemas that Kubernetes publishes."""

import functools
import json
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

VERSIONS = ("1.27", "1.37")
"""The oldest and the newest version of Kubernetes that manifests are held to."""


def check(manifest: dict[str, Any]) -> None:
    """Raises jsonschema.ValidationError if a manifest is not valid, or has fields that no version knows."""
    for version in VERSIONS:
        _validator(manifest["kind"].lower(), manifest["apiVersion"].replace("/", "-"), version).validate(manifest)


@functools.cache
def _validator(kind: str, api_version: str, version: str) -> Any:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    schema = json.loads((folder / f"{kind}-{api_version}.json").read_text())
    registry = Resource.from_contents(schema) @ Registry()
    return Draft202012Validator(schema, registry=_definitions(version) @ registry)


@functools.cache
def _definitions(version: str) -> Resource[Any]:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    return Resource.from_contents(json.loads((folder / "_definitions.json").read_text()))

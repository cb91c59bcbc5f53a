"""Merges what people want of a pod over what the service makes, as `kubectl patch` would."""

from collections.abc import Mapping, Sequence
from typing import Any

_KEYS = {"volumeMounts": "mountPath", "volumeDevices": "devicePath", "hostAliases": "ip", "ports": "containerPort"}
"""By what the entries of a list are known, where it is not their name."""

_OF_ONE_KIND = frozenset({"env", "volumes"})
"""Lists whose entries are of one kind each: another way to get at a value, or another volume, replaces the former."""

_ATOMIC = frozenset({"tolerations", "command", "args"})
"""Lists that are replaced as a whole."""


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` with `over` merged into it.

    Objects are merged field by field, lists of named objects by name, with new entries behind; other lists and values
    are replaced. A null removes the field.
    """
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _joined(key, result.get(key), value)
    return result


def _joined(key: str, base: Any, over: Any) -> Any:
    if isinstance(over, Mapping):
        return merged(base if isinstance(base, Mapping) else {}, over)
    if isinstance(over, list) and isinstance(base, list) and key not in _ATOMIC:
        by = _KEYS.get(key, "name")
        if all(isinstance(entry, Mapping) and by in entry for entry in (*base, *over)):
            return _merged_lists(base, over, by, is_of_one_kind=key in _OF_ONE_KIND)
    return over


def _merged_lists(
    base: Sequence[Mapping[str, Any]], over: Sequence[Mapping[str, Any]], by: str, *, is_of_one_kind: bool
) -> list[Any]:
    entries: dict[Any, Mapping[str, Any]] = {entry[by]: entry for entry in base}
    for entry in over:
        former = entries.get(entry[by], {})
        kept = {key: value for key, value in former.items() if key in entry or not is_of_one_kind}
        entries[entry[by]] = merged(kept, entry)
    return list(entries.values())

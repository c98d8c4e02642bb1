"""Everything that a model holds, to check whether `unpatch` leaves anything behind."""

from __future__ import annotations

from typing import Any

from torch import nn

Snapshot = dict[str, tuple[type, dict[str, Any]]]


def snapshot(model: nn.Module) -> Snapshot:
    """Class and ``__dict__`` of each module, with copies of its dicts and lists, such as hooks and children."""
    return {
        path: (type(module), {key: _copied(value) for key, value in vars(module).items()})
        for path, module in model.named_modules()
    }


def difference(before: Snapshot, after: Snapshot) -> str | None:
    """Describes the first difference; None if there is none."""
    if before.keys() != after.keys():
        return f"modules differ: {sorted(before.keys() ^ after.keys())}"
    for path, (cls, values) in before.items():
        now_cls, now = after[path]
        if now_cls is not cls:
            return f"{path or 'model'}: class {now_cls.__name__}, was {cls.__name__}"
        if now.keys() != values.keys():
            return f"{path or 'model'}: attributes differ: {sorted(now.keys() ^ values.keys())}"
        for key, value in values.items():
            if not _same(value, now[key]):
                return f"{path or 'model'}.{key} is {now[key]!r}, was {value!r}"[:300]
    return None


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, (dict, list, set)) else value


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, (bool, int, float, str, set)):
        return a == b
    return False

"""Joined states come apart again, also where one name begins another."""

import torch

from scalable_binding.engine import state_dicts


def test_joined_parts_come_apart_again() -> None:
    parts = {
        "rank1": {"a": torch.tensor(1.0), "b.c": torch.tensor(2.0)},
        "rank10": {"a": torch.tensor(3.0)},
        "empty": {},
    }
    joined = state_dicts.join(parts)
    assert joined.keys() == {"rank1.a", "rank1.b.c", "rank10.a"}
    assert {name: state_dicts.part(joined, name) for name in parts} == parts
    assert state_dicts.part(joined, "rank") == {}

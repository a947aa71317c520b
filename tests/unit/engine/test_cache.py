"""The cache: keyed by uid, never older than it was."""

from __future__ import annotations

from typing import Any

from sluice_operator.engine.cache import Cache, slim
from sluice_operator.engine.queue import Key


def make(name: str = "a", uid: str = "u1", version: int = 1, **more: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, **more}}


def make_cache() -> Cache:
    return Cache(lambda obj: slim(obj, "sluice-operator"))


KEY = Key("Pod", "ns", "a")


def test_an_older_version_never_replaces_a_newer_one() -> None:
    cache = make_cache()
    cache.update(make(version=10))
    assert not cache.update(make(version=9))
    assert cache.find(KEY) == make(version=10)


def test_the_same_version_again_is_no_news() -> None:
    cache = make_cache()
    assert cache.update(make(version=10))
    assert not cache.update(make(version=10))


def test_a_new_object_under_an_old_name_replaces_it() -> None:
    """The deletion of the first one was never reported."""
    cache = make_cache()
    cache.update(make(uid="u1", version=1))
    cache.update(make(uid="u2", version=2))
    found = cache.find(KEY)
    assert found is not None
    assert found["metadata"]["uid"] == "u2"
    assert cache.by_uid("u1") is None
    assert len(cache) == 1


def test_a_late_word_of_the_former_object_does_not_bring_it_back() -> None:
    cache = make_cache()
    cache.update(make(uid="u2", version=5))
    assert not cache.update(make(uid="u1", version=4))
    found = cache.find(KEY)
    assert found is not None
    assert found["metadata"]["uid"] == "u2"


def test_a_removed_object_stays_away() -> None:
    cache = make_cache()
    cache.update(make(version=3))
    cache.remove("u1", 4)
    assert not cache.update(make(version=3))
    assert len(cache) == 0


def test_an_object_that_got_our_label_back_is_seen_again() -> None:
    """A watch with a label selector reports it as deleted when it loses the label."""
    cache = make_cache()
    cache.update(make(version=3))
    cache.remove("u1", 4)
    assert cache.update(make(version=5))


def test_removing_the_former_object_leaves_its_successor() -> None:
    cache = make_cache()
    cache.update(make(uid="u1", version=1))
    cache.update(make(uid="u2", version=2))
    cache.remove("u1", 3)
    assert cache.find(KEY) is not None


def test_objects_are_found_by_their_owner_the_oldest_first() -> None:
    cache = make_cache()
    owner = {"ownerReferences": [{"uid": "o"}]}
    cache.update(make("b", "u2", 1, creationTimestamp="2026-01-02T00:00:00Z", **owner))
    cache.update(make("a", "u1", 2, creationTimestamp="2026-01-01T00:00:00Z", **owner))
    cache.update(make("c", "u3", 3))
    assert [o["metadata"]["name"] for o in cache.owned("o")] == ["a", "b"]
    cache.remove("u1")
    assert [o["metadata"]["name"] for o in cache.owned("o")] == ["b"]


def test_an_index_follows_its_objects() -> None:
    cache = Cache(lambda obj: obj, {"team": lambda obj: [obj["metadata"].get("team", "")]})
    cache.update(make(version=1, team="red"))
    cache.update(make(version=2, team="blue"))
    assert cache.select("team", "red") == []
    assert len(cache.select("team", "blue", "Pod")) == 1
    assert cache.select("team", "blue", "Job") == []


def test_listeners_hear_what_was_and_what_is() -> None:
    cache, heard = make_cache(), list[tuple[Any, Any]]()
    cache.subscribe(lambda former, present: heard.append((former, present)))
    first, second = make(version=1), make(version=2)
    cache.update(first)
    cache.update(second)
    cache.update(second)
    cache.remove("u1")
    assert heard == [(None, first), (first, second), (second, None)]


def test_what_weighs_most_and_is_never_read_is_dropped() -> None:
    ours = {"manager": "sluice-operator", "operation": "Apply"}
    obj = make(
        managedFields=[{"manager": "kubelet"}, ours],
        annotations={"kubectl.kubernetes.io/last-applied-configuration": "{…}", "mine": "1"},
    )
    meta = slim(obj, "sluice-operator")["metadata"]
    assert meta["managedFields"] == [ours]
    assert meta["annotations"] == {"mine": "1"}
    assert len(obj["metadata"]["managedFields"]) == 2

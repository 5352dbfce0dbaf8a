"""What the record of a cluster bears: signs of life, looks for orphans, takings, events of many writers.

    HERMES_STORE=postgresql://user@host/empty python results/cluster_store.py

The database is filled with streams and replicas that do not exist. Writes results/cluster_store.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from sqlalchemy import insert

from hermes_lab.stress.record import write_record
from hermes_stream.service import tables
from hermes_stream.service.events import NewEvent
from hermes_stream.service.ownership.placement import Load
from hermes_stream.service.ownership.replica_rows import ReplicaRows
from hermes_stream.service.store import Store

HERE = Path(__file__).parent


def milliseconds(act: Callable[[], Any], times: int) -> float:
    """Return the median of what something takes."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def fill(store: Store, num_streams: int, owners: list[int]) -> None:
    """Write rows of streams, shared out among replicas."""
    rows = [
        {
            "name": f"s{k}",
            "folder": f"{k}",
            "state": "open",
            "opens_again": False,
            "has_ended": False,
            "options": {"policy": "hermes"},
            "epoch": 1,
            "created_wall_seconds": 0.0,
            "replica_id": owners[k % len(owners)],
        }
        for k in range(num_streams)
    ]
    with store.database.placing() as connection:
        connection.execute(insert(tables.streams), rows)
        connection.exec_driver_sql("ANALYZE")


def events_a_second(stores: list[Store], num_events: int) -> float:
    """Let several write events at once, each of its own stream; return how many are committed a second."""

    def write(store: Store, stream_id: int) -> None:
        for k in range(num_events // len(stores)):
            event = NewEvent(
                kind="answered",
                stream_id=stream_id,
                epoch=1,
                wall_seconds=0.0,
                payload={"answer": f"yes {k}"},
            )
            store.tell(event)
        store.writer.write(lambda _: None)

    threads = [Thread(target=write, args=(store, k + 11)) for k, store in enumerate(stores)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return num_events / (time.perf_counter() - began)


def main() -> None:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--events", type=int, default=9_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = [Store(Path(folder), os.environ["HERMES_STORE"], shared=True) for _ in range(3)]
        rows = ReplicaRows(stores[0].database, lease_seconds=3600.0)
        ids = [rows.join(f"r{k}", f"http://r{k}", "tiny") for k in range(given.replicas)]
        fill(stores[0], given.streams, ids)
        for store, number in zip(stores, ids, strict=False):
            store.database.replica_id = number
        load = Load(id=ids[0], num_streams=50, more_streams=50)
        numbers = {
            "num_streams": given.streams,
            "num_replicas": given.replicas,
            "beat_ms": milliseconds(lambda: rows.beat(load), 50),
            "orphans_ms": milliseconds(lambda: rows.orphans("r0"), 20),
            "all_replicas_ms": milliseconds(rows.all, 20),
            "owner_of_ms": milliseconds(lambda: rows.owner_of("s77"), 50),
        }
        ReplicaRows(stores[1].database, lease_seconds=3600.0).leave(ids[1])
        orphans = rows.orphans("r0").free
        began = time.perf_counter()
        taken = rows.take(orphans, ids[0])
        numbers |= {"num_taken": len(taken), "take_ms": 1000 * (time.perf_counter() - began)}
        stores[1].database.replica_id = ids[2]
        numbers["events_a_second_of_one_writer"] = events_a_second(stores[:1], given.events)
        numbers["events_a_second_of_three_writers"] = events_a_second(stores, given.events)
        for store in stores:
            store.close()
    write_record(
        HERE / "cluster_store.json", "cluster_store", {**numbers, "script": "results/cluster_store.py"}
    )


if __name__ == "__main__":
    main()

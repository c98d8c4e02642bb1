"""Every part of the library is counted, and nothing in it waits."""

from benchmarks.gpu.counts import count_all


def test_every_part_is_counted() -> None:
    records = list(count_all())
    assert all(record["synchronisations"] == 0 and record["kernels"] > 0 for record in records)
    assert {record["copies"] for record in records if "ix, " in record["row"]} == {1}
    rows = [record["row"] for record in records]
    assert len(set(rows)) == len(rows)
    kernels = {record["row"]: record["kernels"] for record in records}
    assert kernels["a block, forward, unpatched"] < kernels["a block, forward, bipartite"]

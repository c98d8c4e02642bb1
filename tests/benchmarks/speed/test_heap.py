"""Freed memory is kept by the process if malloc supports it."""

from __future__ import annotations

import mmap
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks.speed import heap

# In a separate process, because the setting lasts as long as the process.
PROGRAM = """
import resource, torch
from benchmarks.speed.heap import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(16 << 20)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
kept = keep_freed_memory()
faults()  # the heap grows to what it needs
print(int(kept), before, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_a_large_tensor_causes_no_new_page_faults() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    kept, before, after = map(int, run.stdout.split())
    if not kept:
        pytest.skip("this C library has no mallopt")
    pages = 20 * (64 << 20) // mmap.PAGESIZE
    assert before >= pages / 512  # at most a few huge pages
    assert after < before / 2


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not heap.keep_freed_memory()

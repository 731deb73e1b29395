"""Memory goes back to the system."""

import subprocess
import sys

import pytest

pytest.importorskip("fastapi")

PROGRAM = """
import ctypes
from litebert.serve.memory import give_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc_trim  # none in other C libraries
before = resident()
places = [libc.malloc(60_000) for _ in range(2000)]
for place in places:
    ctypes.memset(place, 1, 60_000)
for place in places[:-1]:
    libc.free(ctypes.c_void_p(place))
kept = resident() - before
give_back()
print(kept, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of the GNU C library")
def test_what_stands_before_something_kept_is_given_back():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if "malloc_trim" in done.stderr:
        pytest.skip("of the GNU C library")
    kept, left = map(int, done.stdout.split())
    assert kept > 100e6, "the last piece keeps all before it"
    assert left < 20e6


SETTLED = """
import gc
from litebert.serve.memory import uncollected

with uncollected():
    assert not gc.isenabled()
    kept = [[] for _ in range(100_000)]
assert gc.isenabled() and gc.get_freeze_count() > 100_000
gc.disable()
with uncollected():
    pass
assert not gc.isenabled(), "whoever runs without a collector goes on without one"
"""


def test_what_stays_for_good_is_not_gone_through_again():
    done = subprocess.run([sys.executable, "-c", SETTLED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Measures one way of doing tasks in CPython.

    python3 peers.py PEER ARGUMENTS

prints "ready" when it is set up, waits for a line and prints a figure: seconds
an item unless the peer says otherwise.
"""

import concurrent.futures as cf
import json
import math
import multiprocessing as mp
import sys
import time


def nothing(n):
    return n


def compute(steps):
    x = 1.5
    for _ in range(steps):
        x = math.sqrt(x + 1)
    return x


def echo(b):
    return b


def per_second():
    best = min(timed(lambda: compute(100_000)) for _ in range(3))
    return 100_000 / best


def timed(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def steps_for(seconds):
    return max(1, int(seconds * per_second()))


def median(x):
    x = sorted(x)
    return (x[(len(x) - 1) // 2] + x[len(x) // 2]) / 2


def pool(kind, workers):
    if kind == "threads":
        return cf.ThreadPoolExecutor(workers)
    if kind == "processes":
        return cf.ProcessPoolExecutor(workers)
    return mp.Pool(workers)


def submit(kind, workers, n, window):
    """Tasks that do nothing, each submitted and its result taken."""
    p = pool(kind, workers)
    list(p.map(nothing, range(workers * 4)))

    def run():
        for at in range(0, n, window):
            futures = [p.submit(nothing, i) for i in range(at, min(n, at + window))]
            for f in futures:
                f.result()

    return lambda: timed(run) / n


def round_trip(kind, workers, n):
    """The median of one task after the other through an idle pool."""
    p = pool(kind, workers)
    list(p.map(nothing, range(workers * 4)))
    if kind == "pool":
        one = lambda: p.apply(nothing, (1,))
    else:
        one = lambda: p.submit(nothing, 1).result()
    return lambda: median([timed(one) for _ in range(n)])


def pool_map(kind, workers, n, chunk):
    """A map of tasks that do nothing."""
    p = pool(kind, workers)
    list(p.map(nothing, range(workers * 4)))
    if kind == "pool":
        run = lambda: p.map(nothing, range(n), **({"chunksize": chunk} if chunk else {}))
    else:
        run = lambda: sum(1 for _ in p.map(nothing, range(n), chunksize=chunk or 1))
    return lambda: timed(run) / n


def bulk(kind, workers, size, n):
    """Gigabytes a second of arguments and results."""
    p = pool(kind, workers)
    data = b"x" * size
    list(p.map(echo, [data] * workers))
    run = lambda: sum(1 for _ in p.map(echo, [data] * n))
    return lambda: 2 * size * n / timed(run) / 1e9


def start(method, workers):
    """A worker from its start to its first result."""
    ctx = mp.get_context(method)
    if method == "forkserver":
        with ctx.Pool(1) as p:
            p.apply(nothing, (1,))  # the server itself

    def run():
        with ctx.Pool(workers) as p:
            p.map(nothing, range(workers), chunksize=1)

    return lambda: timed(run)


PEERS = {f.__name__: f for f in (submit, round_trip, pool_map, bulk, start)}

if __name__ == "__main__":
    run = PEERS[sys.argv[1]](**json.loads(sys.argv[2]))
    print('"ready"', flush=True)
    sys.stdin.readline()
    print(json.dumps(run()), flush=True)

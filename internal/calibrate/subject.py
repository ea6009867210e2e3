"""A subject of the calibration: computes on threads, or answers pings beside them.

What it is told is its argument, in JSON. It ends with its standard input.
"""

import json
import os
import socket
import sys
import threading
import time

STEPS = 1000


def steps(n):
    x = 0
    for i in range(n):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
    return x


def compute_for(ns, threads):
    """Does the work that takes one thread so long: nanoseconds a thousand steps."""
    start = time.perf_counter_ns()
    rounds = 0
    while time.perf_counter_ns() - start < 20_000_000:  # how fast is it?
        steps(STEPS)
        rounds += 1
    each = max(1, int(rounds * ns / (time.perf_counter_ns() - start)) // threads)

    def part():
        for _ in range(each):
            steps(STEPS)

    parts = [threading.Thread(target=part) for _ in range(threads)]
    start = time.perf_counter_ns()
    for t in parts:
        t.start()
    for t in parts:
        t.join()
    return (time.perf_counter_ns() - start) / (each * threads)


def hog():
    while True:
        steps(STEPS)


def echo(sock):
    while True:
        data, addr = sock.recvfrom(64)
        sock.sendto(data, addr)


order = json.loads(sys.argv[1])
if order["work_ns"]:
    print(json.dumps({"per_unit_ns": compute_for(order["work_ns"], order["threads"])}), flush=True)
else:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    threading.Thread(target=echo, args=(sock,), daemon=True).start()
    for _ in range(order["threads"]):
        threading.Thread(target=hog, daemon=True).start()
    print(json.dumps({"addr": "127.0.0.1:%d" % sock.getsockname()[1]}), flush=True)
    sys.stdin.read()
os._exit(0)

#!/usr/bin/env python3
"""Runs Norn and its peers on the same remote-write load, one after the other, and prints CPU, memory and disk side by side.

    bench/beside.py --promload PATH [--norn PATH] [--prometheus PATH] [--victoria-metrics PATH]
                    [--series 100000] [--minutes 120] [--rounds 1]

promload is the neutral load generator (any program with its `ingest` and `verify` commands will do). Each server gets a fresh
directory and a free port on 127.0.0.1; only processes started here are stopped. Absolute figures mean little on a shared machine:
compare the rows of one run.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

READY_SECONDS_MAX = 120
STOP_SECONDS_MAX = 120


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid):
    rows = (line.split() for line in open(f"/proc/{pid}/status"))
    found = {row[0]: int(row[1]) / 1000 for row in rows if row[0] in ("VmHWM:", "VmRSS:")}
    return found["VmHWM:"], found["VmRSS:"]


def disk_bytes(path):
    return sum(os.lstat(os.path.join(d, f)).st_blocks * 512 for d, _, files in os.walk(path) for f in files)


def commands(args, port, data, config):
    norn = [args.norn, "standalone", f"--config.file={config}", f"--data.dir={data}", f"--web.listen-address=127.0.0.1:{port}"]
    prometheus = [args.prometheus, f"--config.file={config}", f"--storage.tsdb.path={data}",
                  f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
    victoria = [args.victoria_metrics, f"-storageDataPath={data}", f"-httpListenAddr=127.0.0.1:{port}",
                f"-promscrape.config={config}", "-search.latencyOffset=0s", "-search.maxUniqueTimeseries=2000000"]
    systems = {
        "norn": (norn, "/-/ready", "0"),
        "prometheus": (prometheus, "/-/ready", "0"),
        "victoria-metrics": (victoria, "/health", "1e-9"),
    }
    return {name: row for name, row in systems.items() if row[0][0]}


def wait_ready(process, url):
    began = time.time()
    while time.time() - began < READY_SECONDS_MAX:
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended at start with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return time.time() - began
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{url} did not become ready")


def promload(args, *words):
    run = subprocess.run([args.promload, *map(str, words)], stdout=subprocess.PIPE, text=True)
    return run.returncode, json.loads(run.stdout)


def measure(args, name, work):
    port = free_port()
    data = os.path.join(work, name)
    os.makedirs(data)
    config = os.path.join(work, "empty.yml")
    with open(config, "w") as out:
        out.write("global:\n  scrape_interval: 1h\n")
    command, ready, tolerance = commands(args, port, data, config)[name]
    url = f"http://127.0.0.1:{port}"
    with open(os.path.join(work, f"{name}.log"), "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_ready(process, url + ready)
        empty_mb = memory_mb(process.pid)[1]
        cpu_before, began = cpu_seconds(process.pid), time.time()
        start = (int(time.time()) - args.minutes * 60) // 60 * 60
        journal = os.path.join(work, f"{name}.journal")
        code, result = promload(args, "ingest", "--url", url + "/api/v1/write", "--series", args.series,
                                "--duration", f"{args.minutes}m", "--start", start, "--rate", 0, "--journal", journal)
        wall = time.time() - began
        time.sleep(args.settle)
        cpu = cpu_seconds(process.pid) - cpu_before
        peak_mb, settled_mb = memory_mb(process.pid)
        samples = args.series * args.minutes * 4
        verified, verdict = promload(args, "verify", "--url", url, "--journal", journal, "--every", 10, "--tolerance", tolerance)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with open(os.path.join(work, f"{name}.log"), "a") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        restart = wait_ready(process, url + ready)
        return {
            "system": name, "ingest ok": code == 0, "verify ok": verified == 0, "samples": samples, "wall s": round(wall, 1),
            "cpu s": round(cpu, 1), "samples/cpu s": int(samples / max(cpu, 0.01)), "peak MB": round(peak_mb),
            "settled MB": round(settled_mb), "kB/series": round((peak_mb - empty_mb) * 1000 / args.series, 2),
            "disk B/sample": round(disk_bytes(data) / samples, 2), "restart s": round(restart, 2),
            "p50 ms": result.get("latency_ms", {}).get("p50"), "p99 ms": result.get("latency_ms", {}).get("p99"),
        }
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=STOP_SECONDS_MAX)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promload", required=True)
    parser.add_argument("--norn", default="target/release/norn")
    parser.add_argument("--prometheus", default=shutil.which("prometheus"))
    parser.add_argument("--victoria-metrics", default=shutil.which("victoria-metrics"))
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--settle", type=float, default=15.0, help="seconds after the last request before CPU is read")
    parser.add_argument("--only", action="append", help="measure only this system")
    args = parser.parse_args()
    for _ in range(args.rounds):
        for name in commands(args, 0, "", ""):
            if args.only and name not in args.only:
                continue
            with tempfile.TemporaryDirectory(prefix="norn-bench-") as work:
                print(json.dumps(measure(args, name, work)), flush=True)


if __name__ == "__main__":
    main()

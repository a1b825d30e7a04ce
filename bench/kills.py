#!/usr/bin/env python3
"""Starts `norn cluster`, writes to it at a steady rate, kills each process in turn, and checks every acknowledged sample.

    bench/kills.py --promload PATH [--norn PATH] [--series 100000] [--rate 100000] [--kill ROLE ...]

For each role one fresh cluster: the load begins, one process of the role is killed with SIGKILL while it runs, and a probe
query and a probe write each 100 ms show what stopped and for how long. At the end `promload verify` must find every acknowledged
sample. Only processes started here are killed; all traffic stays on 127.0.0.1.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

READY_SECONDS_MAX = 120
PROBE_PAUSE_SECONDS = 0.1
ROLES = ["ingester-0", "ingester-1", "ingester-2", "scraper-0", "querier", "gateway", "compactor", "ruler"]


def get(url, timeout=5):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read()


class Probe(threading.Thread):
    """Asks the same query over and over and notes every stretch of failures."""

    def __init__(self, name, url):
        super().__init__(daemon=True)
        self.label, self.url, self.stopping, self.gaps, self.count = name, url, threading.Event(), [], 0

    def run(self):
        broken = None
        while not self.stopping.is_set():
            began = time.time()
            try:
                get(self.url)
                if broken:
                    self.gaps.append(round(time.time() - broken, 2))
                    broken = None
            except (OSError, urllib.error.URLError):
                broken = broken or began
            self.count += 1
            time.sleep(PROBE_PAUSE_SECONDS)
        if broken:
            self.gaps.append(f"{time.time() - broken:.1f} and on")


def start_cluster(args, work, port):
    command = [args.norn, "cluster", f"--data.dir={work}/data", f"--web.listen-address=127.0.0.1:{port}"]
    log = open(os.path.join(work, "launcher.log"), "w+")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    began = time.time()
    while time.time() - began < READY_SECONDS_MAX:
        text = open(os.path.join(work, "launcher.log")).read()
        if "ready in" in text:
            return process, text, time.time() - began
        if process.poll() is not None:
            sys.exit(f"the launcher ended:\n{text}")
        time.sleep(0.1)
    sys.exit("the cluster did not become ready")


def members(table):
    """Reads name, pid and HTTP address from the launcher's table."""
    found = {}
    for line in table.splitlines():
        row = re.search(r"\s((?:ingester|scraper)-\d|querier|gateway|compactor|ruler)\s+(\d+)\b", line)
        if row:
            addresses = re.findall(r"127\.0\.0\.1:\d+", line)
            found[row.group(1)] = (int(row.group(2)), addresses)
    return found


def run(args, victim):
    with tempfile.TemporaryDirectory(prefix="norn-kills-") as work:
        launcher, table, ready = start_cluster(args, work, args.port)
        try:
            nodes = members(table)
            survivor = next(n for n in ("ingester-0", "ingester-1") if n != victim)
            write = f"http://{nodes[survivor][1][-1]}/api/v1/write"
            query = f"http://127.0.0.1:{args.port}/api/v1/query?query=" + urllib.parse.quote("count(up)")
            start = int(time.time()) - args.minutes * 60
            journal = os.path.join(work, "journal")
            load = subprocess.Popen(
                [args.promload, "ingest", "--url", write, "--series", str(args.series), "--duration", f"{args.minutes}m",
                 "--start", str(start // 60 * 60), "--rate", str(args.rate), "--journal", journal, "--give-up", "60s"],
                stdout=subprocess.PIPE, text=True)
            probe = Probe("query", query)
            probe.start()
            time.sleep(args.before)
            os.kill(nodes[victim][0], signal.SIGKILL)
            out, _ = load.communicate()
            probe.stopping.set()
            probe.join()
            result = json.loads(out)
            url = f"http://127.0.0.1:{args.port}"
            if victim == "querier":
                return {"victim": victim, "query gaps s": probe.gaps, "ingest": result, "verify": "no querier left"}
            check = subprocess.run([args.promload, "verify", "--url", url, "--journal", journal, "--every", str(args.every),
                                    "--tolerance", "0"], stdout=subprocess.PIPE, text=True)
            return {"victim": victim, "ready s": round(ready, 1), "query gaps s": probe.gaps, "probes": probe.count,
                    "ingest": result, "verify ok": check.returncode == 0, "verify": json.loads(check.stdout)}
        finally:
            launcher.send_signal(signal.SIGTERM)
            launcher.wait(timeout=60)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promload", required=True)
    parser.add_argument("--norn", default="target/release/norn")
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=100_000, help="samples a second")
    parser.add_argument("--minutes", type=int, default=10, help="virtual minutes of load")
    parser.add_argument("--before", type=float, default=10.0, help="seconds of load before the kill")
    parser.add_argument("--every", type=int, default=1, help="verify one series in so many")
    parser.add_argument("--port", type=int, default=29091)
    parser.add_argument("--kill", nargs="*", default=ROLES)
    args = parser.parse_args()
    for victim in args.kill:
        print(json.dumps(run(args, victim)), flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Asks Norn and its peers the same queries about the same samples and prints latency, CPU and memory side by side.

    bench/queries.py --promload PATH --data DIR [--norn PATH] [--prometheus PATH] [--victoria-metrics PATH]
                     [--series 100000] [--minutes 120] [--repeat 5] [--only NAME]... [--set NAME]... [--match TEXT]

Sets: `standard` is promload's own, `heavy` is heavy_queries.tsv. What was ingested into DIR stays there and is used again by the
next run, as are the answers of systems that a run leaves out with --only: measuring Norn again is cheap. A system is restarted between
the load and the queries, so that no garbage of the load counts. CPU is that of the server, as /proc has it, per execution; peak
memory is the most that was resident while the set ran. Only processes started here are stopped.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from beside import STOP_SECONDS_MAX, commands, cpu_seconds, free_port, memory_mb, promload, wait_ready

SETTLE_SECONDS_MAX = 120
HERE = os.path.dirname(os.path.abspath(__file__))


def options(args, name, data):
    """Returns a system's command for data that ages and queries that are large, its ready path and its port."""
    port = free_port()
    config = os.path.join(args.data, "empty.yml")
    with open(config, "w") as out:
        out.write("global:\n  scrape_interval: 1h\n")
    command, ready, _ = commands(args, port, data, config)[name]
    more = {
        "norn": [],
        "prometheus": ["--storage.tsdb.retention.time=10y", "--log.level=error"],
        "victoria-metrics": ["-retentionPeriod=10y", "-search.maxSeries=2000000", "-search.maxUniqueTimeseries=2000000"],
    }
    return command + [word for word in more[name] if word not in command], ready, port


class Server:
    """A system that runs over a directory."""

    def __init__(self, args, name, data):
        command, ready, port = options(args, name, data)
        self.url = f"http://127.0.0.1:{port}"
        with open(os.path.join(args.data, f"{name}.log"), "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.pid = self.process.pid
        try:
            wait_ready(self.process, self.url + ready)
        except SystemExit:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=STOP_SECONDS_MAX)

    def settle(self):
        """Waits until it uses less than a twentieth of a core."""
        for _ in range(SETTLE_SECONDS_MAX):
            before = cpu_seconds(self.pid)
            time.sleep(1)
            if cpu_seconds(self.pid) - before < 0.05:
                return
        print(f"process {self.pid} did not settle", file=sys.stderr)

    def forget_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w") as out:
            out.write("5")


def load(args, name, data):
    """Ingests the samples, unless the directory has them."""
    meta_path = os.path.join(args.data, "load.json")
    if os.path.exists(meta_path):
        meta = json.load(open(meta_path))
    else:
        start = (int(time.time()) - args.minutes * 60) // 60 * 60
        meta = {"start": start, "series": args.series, "minutes": args.minutes}
        json.dump(meta, open(meta_path, "w"))
    if (meta["series"], meta["minutes"]) != (args.series, args.minutes):
        sys.exit(f"{args.data} holds {meta}; take another directory for another load")
    done = os.path.join(args.data, f"{name}.loaded")
    if not os.path.exists(done):
        shutil.rmtree(data, ignore_errors=True)
        os.makedirs(data)
        with Server(args, name, data) as server:
            code, result = promload(args, "ingest", "--url", server.url + "/api/v1/write", "--series", args.series,
                                    "--duration", f"{args.minutes}m", "--start", meta["start"], "--rate", 0)
            if code != 0:
                sys.exit(f"{name} did not take all samples: {result}")
            server.settle()
        open(done, "w").close()
    return meta["start"] + args.minutes * 60


def sets(args):
    """Returns the sets asked for: name, and lines of name, query, range and step."""
    listed = subprocess.run([args.promload, "query", "--url", "x", "--list"], stdout=subprocess.PIPE, text=True, check=True)
    heavy = open(os.path.join(HERE, "heavy_queries.tsv")).read()
    texts = {"standard": listed.stdout, "heavy": heavy}
    for name in args.set or texts:
        lines = [line for line in texts[name].splitlines() if line and not line.startswith("#")]
        yield name, [line for line in lines if args.match in line.split("\t")[0]]


def ask(args, server, at, line):
    """Runs one query and returns its row, with CPU milliseconds per execution."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as one:
        one.write(line + "\n")
        one.flush()
        before = cpu_seconds(server.pid)
        _, result = promload(args, "query", "--url", server.url, "--file", one.name, "--at", at, "--repeat", args.repeat,
                             "--param", "nocache=1")
        used = cpu_seconds(server.pid) - before
    row = result["queries"][0]
    row["cpu_ms"] = used * 1000 / (args.repeat + 1)
    return row


def measure(args, name):
    data = os.path.join(args.data, name)
    at = load(args, name, data)
    results = {}
    with Server(args, name, data) as server:
        server.settle()
        for set_name, lines in sets(args):
            server.forget_peak()
            before_mb = memory_mb(server.pid)[1]
            rows = [ask(args, server, at, line) for line in lines]
            results[set_name] = {"rows": rows, "before_mb": before_mb, "peak_mb": memory_mb(server.pid)[0]}
    return results


def answers(args, name):
    """Measures a system, or takes what an earlier run measured."""
    path = os.path.join(args.data, f"{name}.answers.json")
    known = json.load(open(path)) if os.path.exists(path) else {}
    if not args.only or name in args.only:
        fresh = measure(args, name)
        if not args.match:
            known.update(fresh)
            json.dump(known, open(path, "w"))
        return fresh
    return known


def cell(row):
    return "error" if "error" in row else f"{row['p50_ms']:.1f} ({row['cpu_ms']:.0f})"


def verdict(row, reference):
    if "error" in row or "error" in reference:
        return "error"
    if row["values_checksum"] == reference["values_checksum"]:
        return "same"
    if row["labels_checksum"] == reference["labels_checksum"]:
        return "labels same, values differ"
    return "differ"


def table(set_name, found, reference):
    """Prints one set: a row a query, then the sums."""
    names = list(found)
    rows = {name: {row["name"]: row for row in found[name][set_name]["rows"]} for name in names}
    print(f"\n| {set_name}: p50 ms (server CPU ms) | " + " | ".join(names) + " | norn / best peer | answers beside Prometheus |")
    print("|" + "---|" * (len(names) + 3))
    for query, mine in rows["norn"].items():
        of = {name: rows[name].get(query, {"error": "not asked"}) for name in names}
        peers = [row["p50_ms"] for name, row in of.items() if name != "norn" and "p50_ms" in row]
        ratio = f"{mine['p50_ms'] / max(min(peers), 0.05):.2f}" if peers and "p50_ms" in mine else ""
        same = verdict(mine, of[reference]) if reference in of else ""
        print(f"| {query} | " + " | ".join(cell(of[name]) for name in names) + f" | {ratio} | {same} |")
    for title, total in [("sum of p50, s", "p50_ms"), ("CPU of a pass, s", "cpu_ms")]:
        sums = [sum(row.get(total, 0) for row in found[name][set_name]["rows"] if row["name"] in rows["norn"]) for name in names]
        print(f"| **{title}** | " + " | ".join(f"{value / 1000:.3f}" for value in sums) + " | | |")
    for title, key in [("resident before, MB", "before_mb"), ("resident peak, MB", "peak_mb")]:
        print(f"| **{title}** | " + " | ".join(f"{found[name][set_name][key]:.0f}" for name in names) + " | | |")
    for query, mine in rows["norn"].items():
        if "error" in mine:
            print(f"{query}: {mine['error']}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promload", required=True)
    parser.add_argument("--data", required=True, help="where the systems' data are kept between runs")
    parser.add_argument("--norn", default="target/release/norn")
    parser.add_argument("--prometheus", default=shutil.which("prometheus"))
    parser.add_argument("--victoria-metrics", default=shutil.which("victoria-metrics"))
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", action="append", help="measure only this system, and show what is known of the others")
    parser.add_argument("--set", action="append", choices=["standard", "heavy"], help="only this set")
    parser.add_argument("--match", default="", help="only queries whose name contains this; not kept")
    args = parser.parse_args()
    os.makedirs(args.data, exist_ok=True)
    found = {name: answers(args, name) for name in commands(args, 0, "", "")}
    for set_name, _ in sets(args):
        if set_name in found.get("norn", {}):
            table(set_name, {name: known for name, known in found.items() if set_name in known}, "prometheus")


if __name__ == "__main__":
    main()

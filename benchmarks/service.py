"""Ask a server from many clients at once, check each answer, and compare with the direct call.

    python benchmarks/service.py my-tagger

Serving and the offline `tag` take turns, so that both see the same machine: rounds of load by all
clients, each followed by the direct call on the same texts. Words are counted by the second, and by
the second of processor time that the server or the direct call used: on a machine that does other
work as well, only the latter says much. Every answer is compared with what `tag` gives for
that text alone. Then the server is stopped under load. All of it stays on this machine and ends by
itself. Further flags are handed on to `llamaner serve`.
"""

import argparse
import http.client
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from llamaner.corpus import read_corpus, sample_path, segment
from llamaner.tagger import NerTagger

TOLERANCE = 1e-3


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", default=str(sample_path("train")))
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120, help="of load, in all rounds")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--texts", type=int, default=200, help="different texts that are asked for")
    parser.add_argument("--sentences", type=int, default=3, help="at most, in a text")
    parser.add_argument("--precision", default="float32")
    return parser.parse_known_args()


class Server:
    """`llamaner serve` in a process of its own."""

    def __init__(self, model: str, flags: list[str]) -> None:
        command = [sys.executable, "-m", "llamaner.cli", "serve", model, "--port", "0", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.port = 0
        while not self.port:
            line = self.process.stderr.readline()
            if not line:
                sys.exit("the server did not start")
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
        self.errors: list[str] = []
        self.posts = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        while self.ask("GET", "/readyz")[0] != 200:
            time.sleep(0.2)

    def _read(self) -> None:
        for line in self.process.stderr:
            if " INFO " not in line:
                self.errors.append(line)
            self.posts += '"POST /v1/tag ' in line

    def ask(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def cpu_seconds(self) -> float:
        """Processor time that it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident set in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


class Load:
    """Clients that ask for one text after the other, and what came of it."""

    def __init__(self, server: Server, expected: dict[str, list], words: dict[str, int]) -> None:
        self.server, self.expected, self.words = server, expected, words
        self.latencies: list[float] = []
        self.statuses: dict[int, int] = {}
        self.answered = self.wrong = self.lost = self.refused = self.words_done = 0
        self.largest = 0.0
        self.until = 0.0
        self._lock = threading.Lock()

    def run(self, clients: int, seconds: float) -> float:
        """Seconds until all clients had their last answer."""
        started = time.monotonic()
        self.until = started + seconds
        threads = [threading.Thread(target=self._client, args=(i,)) for i in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - started

    def _client(self, seed: int) -> None:
        choose = random.Random(f"{seed} {self.until}")
        texts = list(self.expected)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=1800)
        while time.monotonic() < self.until:
            text = choose.choice(texts)
            if connection.sock is None:
                try:
                    connection.connect()
                except OSError:
                    self.refused += 1
                    return
            started = time.monotonic()
            try:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/v1/tag", json.dumps({"text": text}), headers)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.lost += 1
                connection.close()
                continue
            self._count(text, response.status, body, time.monotonic() - started)
        connection.close()

    def _count(self, text: str, status: int, body: bytes, seconds: float) -> None:
        with self._lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status != 200:
                return
            self.answered += 1
            self.latencies.append(seconds)
            self.words_done += self.words[text]
            found = json.loads(body)["results"][0]["entities"]
            wanted = self.expected[text]
            places = [(e["label"], e["start"], e["end"]) for e in found]
            same = places == [(e.label, e.start, e.end) for e in wanted]
            differences = [
                abs(a["confidence"] - b.confidence) for a, b in zip(found, wanted, strict=same)
            ]
            self.largest = max([self.largest, *differences])
            self.wrong += not same or any(d > TOLERANCE for d in differences)


def watch_memory(server: Server, samples: list[tuple[float, float]], stop: threading.Event) -> None:
    started = time.monotonic()
    while not stop.wait(1):
        samples.append((time.monotonic() - started, server.memory()))


def main() -> None:
    arguments, flags = parse_arguments()
    corpus = read_corpus(arguments.data)
    sentences = [sentence.text for sentence in corpus.sentences]
    choose = random.Random(0)
    texts = [
        " ".join(choose.sample(sentences, choose.randint(1, arguments.sentences)))
        for _ in range(arguments.texts)
    ]
    tagger = NerTagger.from_pretrained(arguments.model, precision=arguments.precision)
    tagger.tag(texts[0])
    expected = {text: tagger.tag(text) for text in texts}
    words = {text: sum(map(len, segment(text))) for text in texts}
    server = Server(arguments.model, ["--precision", arguments.precision, *flags])
    load = Load(server, expected, words)
    load.run(arguments.clients, 5)  # warm-up
    tagger.tag(texts)
    load = Load(server, expected, words)
    samples: list[tuple[float, float]] = []
    stop = threading.Event()
    watcher = threading.Thread(target=watch_memory, args=(server, samples, stop))
    watcher.start()
    ratios, cpu_ratios = [], []
    print("| round | words/s served | offline | ratio | words/CPU s served | offline | ratio |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for number in range(1, arguments.rounds + 1):
        before, cpu = load.words_done, server.cpu_seconds()
        seconds = load.run(arguments.clients, arguments.seconds / arguments.rounds)
        words_done = load.words_done - before
        served, served_cpu = words_done / seconds, words_done / (server.cpu_seconds() - cpu)
        started, cpu, done = time.monotonic(), time.process_time(), 0
        while time.monotonic() - started < seconds / 2:
            tagger.tag(texts)
            done += sum(words.values())
        offline = done / (time.monotonic() - started)
        offline_cpu = done / (time.process_time() - cpu)
        ratios.append(served / offline)
        cpu_ratios.append(served_cpu / offline_cpu)
        print(f"| {number} | {served:,.0f} | {offline:,.0f} | {ratios[-1]:.2f} ", end="")
        print(f"| {served_cpu:,.0f} | {offline_cpu:,.0f} | {cpu_ratios[-1]:.2f} |", flush=True)
    stop.set()
    watcher.join()
    latencies = sorted(load.latencies)
    half = len(samples) // 4
    warm = [memory for _, memory in samples[half:]]
    spread = max(warm) / statistics.median(warm) - 1, min(warm) / statistics.median(warm) - 1
    print(f"\n{arguments.clients} clients, {arguments.seconds:g} s of load, {arguments.precision}")
    print(f"answers {load.answered:,}, wrong {load.wrong}, lost {load.lost}, by status", end=" ")
    print(f"{load.statuses}; largest difference of a confidence {load.largest:.1e}")
    print(f"median ratio to offline {statistics.median(ratios):.2f}", end=", ")
    print(f"by processor time {statistics.median(cpu_ratios):.2f}")
    p50, p99 = latencies[len(latencies) // 2], latencies[int(0.99 * len(latencies))]
    print(f"latency: median {p50:.2f} s, p99 {p99:.2f} s, longest {latencies[-1]:.2f} s")
    print(f"memory after the first quarter: median {statistics.median(warm):,.0f} MiB, ", end="")
    print(f"{spread[1]:+.1%} to {spread[0]:+.1%}")

    load, before = Load(server, expected, words), server.posts
    timer = threading.Timer(5, server.process.send_signal, (signal.SIGTERM,))
    timer.start()
    load.run(arguments.clients, 20)
    code = server.process.wait(600)
    server.reader.join()
    # Its log has a line for each request that it took.
    print(f"kill -TERM under load: {server.posts - before} requests accepted, ", end="")
    print(f"{load.answered} answered, {load.wrong} wrong; exit code {code}")
    print(f"refused afterwards: {load.refused} connections, and {load.lost} requests on")
    print("connections that were already closed")
    print(f"warnings and errors in the log: {len(server.errors)}", *server.errors[:5], sep="\n")


if __name__ == "__main__":
    main()

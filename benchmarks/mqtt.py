"""A sensor's message through a broker with TLS to its durable score and back: how long it takes at a steady rate.

    python benchmarks/mqtt.py [--bundle models/simulated/bundle] [--model sensor_threat] [--rate 200] [--seconds 30]

A client publishes records at `rate` with QoS 1; `threat-scorer run` scores each, writes it to the disk, acknowledges it
and publishes the score; the client hears it. The time from the one to the other holds all of that, so the score was
durable sooner. Mosquitto, the scorer and the client share this machine. Needs Mosquitto (Debian: `apt-get install
mosquitto`) and paho-mqtt.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.broker import MOSQUITTO, Broker, Client

from threat_scorer import Scorer

WARM_UP_S = 3.0
SETTLE_S = 30.0
GOAL_MS = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("models/simulated/bundle"))
    parser.add_argument("--model", default="sensor_threat")
    parser.add_argument("--rate", type=float, default=200.0, help="records a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    ratios: dict[str, float] = {}
    memory: dict[str, float] = {}
    if MOSQUITTO is None:
        print("no Mosquitto here: nothing measured")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            milliseconds, memory["scorer_with_mqtt"] = measure(given, Path(scratch))
        shown = {
            share: milliseconds[min(int(share * len(milliseconds)), len(milliseconds) - 1)] for share in (0.5, 0.99)
        }
        print(f"{len(milliseconds)} records at {given.rate:.0f} a second, from publishing to hearing the score:")
        print(f"median {shown[0.5]:.1f} ms, 99 % {shown[0.99]:.1f} ms, worst {milliseconds[-1]:.1f} ms")
        print(f"resident: {memory['scorer_with_mqtt']:.0f} MiB")
        ratios = {"p99_over_goal": round(shown[0.99] / GOAL_MS, 3)}
    print(json.dumps({"benchmark": "mqtt", "ratios": ratios, "peak_mib": memory}))


def measure(given: argparse.Namespace, folder: Path) -> tuple[list[float], float]:
    """Return the milliseconds of each record after the warm-up, rising, and the scorer's resident MiB."""
    broker = Broker(folder, keeps=False)
    broker.start()
    process = _start(given, folder, broker)
    client = Client(broker, "sensor", "scores", "here")
    try:
        _until(lambda: any(message.payload == b"online" for message in list(client.heard)))
        lines = _lines(given)
        sent = []
        start = time.perf_counter()
        for number, line in enumerate(lines):
            while (ahead := start + number / given.rate - time.perf_counter()) > 0:
                time.sleep(ahead)
            sent.append(time.monotonic())
            client.say("records", line)
        _until(lambda: len(client.heard) > len(lines))
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    finally:
        client.close()
        process.terminate()
        process.wait()
        broker.stop()
    heard = {json.loads(one.payload)["id"]: one.timestamp for one in client.heard if one.topic == "scores"}
    first = int(WARM_UP_S * given.rate)
    return sorted(1000 * (heard[number] - at) for number, at in enumerate(sent) if number >= first), round(resident, 1)


def _lines(given: argparse.Namespace) -> list[str]:
    inputs = Scorer.load(given.bundle).contracts[given.model].inputs
    rng = random.Random(7)
    count = int(given.rate * (given.seconds + WARM_UP_S))
    return [
        json.dumps({"id": number, **{entry.name: rng.uniform(entry.low, entry.high) for entry in inputs}})
        for number in range(count)
    ]


def _start(given: argparse.Namespace, folder: Path, broker: Broker) -> "subprocess.Popen[bytes]":
    point = next(iter(Scorer.load(given.bundle).contracts[given.model].operating_points), None)
    reaches = broker.toml("scorer")
    config = folder / "scorer.toml"
    config.write_text(
        f'device = "bench"\nbundle = "{given.bundle.resolve()}"\nstate = "state"\n'
        + (f'operating_point = "{point}"\n' if point else "")
        + f'[[input]]\nkind = "mqtt"\nmodel = "{given.model}"\ntopic = "records"\n{reaches}'
        + f'[[output]]\nkind = "mqtt"\nname = "out"\ntopic = "scores"\navailability = "here"\n{reaches}'
    )
    command = [sys.executable, "-m", "threat_scorer.cli", "run", "--config", str(config)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _until(holds) -> None:
    end = time.monotonic() + SETTLE_S
    while not holds():
        if time.monotonic() > end:
            raise SystemExit("it does not come about: is the scorer running?")
        time.sleep(0.05)


if __name__ == "__main__":
    main()

"""scorer.toml -> the running process: opens everything, joins it, watches it, and closes it in order."""

import contextlib
import ctypes
import fcntl
import gc
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from threat_scorer.bundle.manifest import Release
from threat_scorer.device import slots
from threat_scorer.errors import ConfigError
from threat_scorer.run.clock import Clock, boottime
from threat_scorer.run.config.peers import AnyInput, FileInput, MqttInput, StdinInput
from threat_scorer.run.config.settings import HTTP, Config, Http
from threat_scorer.run.inputs.files import FollowedFile, follow_file, read_stdin
from threat_scorer.run.monitoring import systemd
from threat_scorer.run.monitoring.counters import Meter
from threat_scorer.run.monitoring.health import Checks, worst, write_status
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.outbox import Outbox
from threat_scorer.run.outputs.delivery import Delivery, Device
from threat_scorer.run.outputs.sinks import open_sink
from threat_scorer.run.queue import IntakeQueue
from threat_scorer.run.record_scorer import Answerer
from threat_scorer.run.sensor_monitor import Watch, keep_backgrounds, read_backgrounds
from threat_scorer.run.worker import Worker
from threat_scorer.scoring.scorer import Scorer

DRAIN_S = 10.0
"""How long what waits is still delivered when the process ends; the rest is delivered by the next one."""
LAST_WORDS_S = 1.0
"""How long inputs may still answer their peers."""
M_ARENA_MAX = -8
"""Number of the option in glibc's malloc.h."""
STOPPED, FAILED = 0, 70
"""Exit status: ended as told, or because a part of it failed (EX_SOFTWARE), to be started again."""


def run(config: Config) -> int:
    """Run until SIGTERM, SIGINT, or the end of standard input where that is the only input; return the exit status.

    Raises
    ------
    ConfigError, BundleError, OutboxError
        It cannot be started.
    """
    try:
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"state: {config.state} cannot be made: {error.strerror}") from None
    _share_memory()
    with _only_one(config.state):
        return Process(config).run()


class Process:
    """Everything that one `run` holds."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._log = Log(config.log.level, config.log.per_minute)
        scorer, release = _load(config, self._log)
        models = {entry.name: entry.model for entry in config.input}
        if config.http and config.http.model:
            models[HTTP] = config.http.model
        backgrounds = read_backgrounds(config.background_file)
        self._watches = {
            name: Watch([entry.name for entry in contract.inputs], config.degrade, backgrounds.get(name, {}))
            for name, model in models.items()
            if not (contract := scorer.model(model).contract).horizon_days
        }
        answerers = {
            name: Answerer(
                scorer.model(model),
                bundle=scorer.bundle,
                device=config.device,
                source=name,
                point=config.operating_point,
                reasons=config.reasons,
                position=config.position,
                prior=scorer.prior if name in self._watches else None,
                watch=self._watches.get(name),
            )
            for name, model in models.items()
        }
        limit_bytes = int(config.outbox.limit_mib * 2**20)
        names = [entry.name for entry in config.output]
        self._outbox = Outbox(
            config.outbox_file, outputs=names, limit_bytes=limit_bytes, when_full=config.outbox.when_full
        )
        self._queue = IntakeQueue(
            config.queue.limit, config.queue.overload, limit_bytes=int(config.queue.limit_mib * 2**20)
        )
        now = boottime()
        self._meter = Meter(dict.fromkeys(models, now))
        clock = Clock(float(self._outbox.fact("latest")))
        self._worker = Worker(self._queue, self._outbox, answerers, clock=clock, meter=self._meter, log=self._log)
        device = Device(
            name=config.device,
            bundle=scorer.bundle,
            position=config.position,
            latest_seq=self._outbox.latest_seq,
            level=lambda: worst(self._checks.all()),
            log=self._log,
        )
        self._deliveries = [
            Delivery(entry.name, open_sink(entry, device), self._outbox, self._log) for entry in config.output
        ]
        self._troubles: dict[str, Callable[[], str | None]] = {}
        expires_at = release.ends_at.timestamp() if release else None
        self._checks = Checks(
            config,
            scorer.bundle,
            expires_at,
            self._queue,
            self._outbox,
            self._deliveries,
            self._meter,
            self._troubles,
            self._watches,
        )
        self._stop_inputs, self._stop_worker, self._stop_outputs = (threading.Event() for _ in range(3))
        self._failed: list[str] = []
        self._reading: set[str] = set()
        self._heard, self._bell = socket.socketpair()
        self._bell.setblocking(False)

    def run(self) -> int:
        """Start all parts, watch them until the end, and close them in the order in which records pass."""
        readers = [self._reader(entry) for entry in self._config.input]
        if self._config.http:
            readers.append(("http port", self._http_port(self._config.http)))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)  # a signal rings the bell, and no more
        outputs = [self._start(one.name, one.run, self._stop_outputs) for one in self._deliveries]
        worker = self._start("worker", self._worker.run, self._stop_worker)
        self._reading = {name for name, _ in readers}
        reading = [self._start(name, self._read_to_end, name, read) for name, read in readers]
        _give_back_memory()
        self._log.info("started", device=self._config.device, bundle=self._checks.bundle)
        systemd.notify("READY=1")
        self._watch()
        systemd.notify("STOPPING=1")
        self._stop_inputs.set()
        self._stop_worker.set()
        worker.join(DRAIN_S)
        self._queue.close()
        until = boottime() + LAST_WORDS_S
        for thread in reading:
            thread.join(max(until - boottime(), 0.0))
        self._stop_outputs.set()
        until = boottime() + DRAIN_S
        for delivery, thread in zip(self._deliveries, outputs, strict=True):
            thread.join(max(until - boottime(), 0.0))
            if not thread.is_alive():
                delivery.drain(until)
                delivery.leave()
        self._write_status("stopped")
        self._log.info("stopped", waiting=self._outbox.depth)
        self._outbox.close()
        return FAILED if self._failed else STOPPED

    def _reader(self, entry: AnyInput) -> tuple[str, Callable[[], None]]:
        """Open an input; return its name and what reads it."""
        queue, stop = self._queue, self._stop_inputs
        if isinstance(entry, StdinInput):
            return entry.name, lambda: read_stdin(entry.name, queue, stop)
        if isinstance(entry, FileInput):
            file = FollowedFile(entry.path, self._outbox.position(entry.name))
            return entry.name, lambda: follow_file(entry.name, file, queue, stop)
        if isinstance(entry, MqttInput):
            from threat_scorer.run.inputs.mqtt import MqttReader  # 3 MiB that a device without it need not hold

            reader = MqttReader(entry, queue, self._log, device=self._config.device)
            self._troubles[entry.name] = lambda: reader.connection.trouble
            return entry.name, lambda: reader.read(stop)
        from threat_scorer.run.inputs.listener import listen, serve

        server = listen(entry)
        return entry.name, lambda: serve(entry.name, server, queue, stop, self._log)

    def _http_port(self, config: Http) -> Callable[[], None]:
        """Open the port; return what serves it."""
        from threat_scorer.run.inputs.http import HttpPort  # 3 MiB that a device without it need not hold

        port = HttpPort(config, self._queue, self._checks)
        return lambda: port.serve(self._stop_inputs)

    def _start(self, name: str, work: Callable[..., None], *arguments: object) -> threading.Thread:
        def guarded() -> None:
            try:
                work(*arguments)
            except Exception as error:  # whatever it is: the process must not live on without this part
                self._log.warning("a part failed", part=name, error=f"{type(error).__name__}: {error}")
                self._failed.append(name)
                self._end()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _read_to_end(self, name: str, read: Callable[[], None]) -> None:
        read()
        self._reading.discard(name)
        if not self._reading:
            self._end()

    def _end(self) -> None:
        """Wake `_watch`, to end the process."""
        with contextlib.suppress(BlockingIOError):  # it rings already
            self._bell.send(b"\0")

    def _watch(self) -> None:
        """Write the status file and feed the watchdog until it is time to end."""
        every_s = self._config.health.every_s
        if limit_s := systemd.watchdog_s():
            every_s = min(every_s, limit_s / 3)
        while True:
            self._write_status("running")
            if not self._checks.wedged():
                systemd.notify("WATCHDOG=1", f"STATUS={self._meter.scored} scored, {self._outbox.depth} wait")
            if select.select([self._heard], [], [], every_s)[0]:
                return

    def _write_status(self, state: str) -> None:
        try:
            if any(watch.learnt for watch in self._watches.values()):
                keep_backgrounds(self._config.background_file, self._watches)
            write_status(self._config.status_file, self._checks.all(), every_s=self._config.health.every_s, state=state)
        except OSError as error:  # a full disk must not end the scoring
            self._log.warning("cannot write status or background", error=error.strerror)


def _load(config: Config, log: Log) -> tuple[Scorer, Release | None]:
    """Load the bundle that was installed and signed, or the one to practise with, which nobody signed."""
    if config.bundle:
        return Scorer.load(config.bundle), None
    loaded = slots.load(config.state, now=datetime.now(UTC))
    if loaded.fell_back:
        log.warning("fell back to the other bundle", slot=loaded.slot, why=loaded.fell_back)
    return loaded.scorer, loaded.manifest.release


def _share_memory() -> None:
    """Let all threads share one arena of glibc's malloc: one each costs half a MiB, and none is in a hurry."""
    with contextlib.suppress(OSError, AttributeError):  # of glibc alone
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _give_back_memory() -> None:
    """Return to the system what loading needed: models that no input uses, golden rows, the bundle's bytes."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def _only_one(state: Path) -> Iterator[None]:
    """Hold the state folder for this process alone."""
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"state: {state} is in use by another process; expected one scorer for each folder") from None
    finally:
        os.close(descriptor)

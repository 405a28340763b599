"""scorer.toml -> the running process: opens every part, starts it, supervises it, and closes it in order."""

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
from threat_scorer.run.config.settings import HTTP, Config, Http
from threat_scorer.run.inputs.readers import Reader, open_reader
from threat_scorer.run.monitoring import systemd
from threat_scorer.run.monitoring.counters import Counters
from threat_scorer.run.monitoring.health import Checks, worst, write_status
from threat_scorer.run.monitoring.log import Log
from threat_scorer.run.outbox.outbox import Outbox
from threat_scorer.run.outputs.delivery import Delivery, Device
from threat_scorer.run.outputs.sinks import open_sink
from threat_scorer.run.queue import IntakeQueue
from threat_scorer.run.record_scorer import RecordScorer
from threat_scorer.run.sensor_monitor import SensorMonitor, read_backgrounds, save_backgrounds
from threat_scorer.run.worker import Worker
from threat_scorer.scoring.scorer import Scorer

DRAIN_S = 10.0
"""How long waiting records are still delivered when the process ends; the next process delivers the rest."""
FINAL_REPLIES_S = 1.0
"""How long inputs may still answer their peers when the process ends."""
M_ARENA_MAX = -8
"""Number of the option in glibc's malloc.h."""
STOPPED, FAILED = 0, 70
"""Exit status: stopped in order; or a part failed (EX_SOFTWARE), and the service manager starts it again."""


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
    with _locked(config.state):
        return Process(config).run()


class Process:
    """Everything that one `run` consists of."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._log = Log(config.log.level, config.log.per_minute)
        scorer, release = _load(config, self._log)
        models = _models_by_input(config)
        self._monitors = _monitors(config, scorer, models)
        self._outbox = Outbox(
            config.outbox_file,
            outputs=[entry.name for entry in config.output],
            limit_bytes=int(config.outbox.limit_mib * 2**20),
            when_full=config.outbox.when_full,
        )
        self._queue = IntakeQueue(
            config.queue.limit, config.queue.overload, limit_bytes=int(config.queue.limit_mib * 2**20)
        )
        self._counters = Counters(dict.fromkeys(models, boottime()))
        self._worker = Worker(
            self._queue,
            self._outbox,
            _record_scorers(config, scorer, models, self._monitors),
            clock=Clock(float(self._outbox.fact("latest"))),
            counters=self._counters,
            log=self._log,
        )
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
        self._stop_inputs, self._stop_worker, self._stop_outputs = (threading.Event() for _ in range(3))
        self._readers: list[Reader] = []
        self._troubles: dict[str, Callable[[], str | None]] = {}
        self._checks = Checks(
            config,
            scorer.bundle,
            release.ends_at.timestamp() if release else None,
            self._queue,
            self._outbox,
            self._deliveries,
            self._counters,
            self._troubles,
            self._monitors,
        )
        self._failed: list[str] = []
        self._reading: set[str] = set()
        self._wakeup_receiver, self._wakeup_sender = socket.socketpair()
        self._wakeup_sender.setblocking(False)

    def run(self) -> int:
        """Start all parts, supervise them until the end, and close them in the order in which records pass."""
        self._open_readers()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        # a signal does no more than write to the wakeup socket
        signal.set_wakeup_fd(self._wakeup_sender.fileno(), warn_on_full_buffer=False)
        outputs = [self._start(delivery.name, delivery.run, self._stop_outputs) for delivery in self._deliveries]
        worker = self._start("worker", self._worker.run, self._stop_worker)
        self._reading = {reader.name for reader in self._readers}
        reading = [self._start(reader.name, self._read_to_end, reader) for reader in self._readers]
        _give_back_memory()
        self._log.info("started", device=self._config.device, bundle=self._checks.bundle)
        systemd.notify("READY=1")
        self._supervise()
        systemd.notify("STOPPING=1")
        self._stop_inputs.set()
        self._stop_worker.set()
        worker.join(DRAIN_S)
        self._queue.close()
        _join(reading, boottime() + FINAL_REPLIES_S)
        self._stop_outputs.set()
        until = boottime() + DRAIN_S
        for delivery, thread in zip(self._deliveries, outputs, strict=True):
            _join([thread], until)
            if not thread.is_alive():
                delivery.drain(until)
                delivery.leave()
        self._write_status("stopped")
        self._log.info("stopped", waiting=self._outbox.depth)
        self._outbox.close()
        return FAILED if self._failed else STOPPED

    def _open_readers(self) -> None:
        for entry in self._config.input:
            position = self._outbox.position(entry.name)
            device = self._config.device
            reader = open_reader(entry, self._queue, self._stop_inputs, self._log, device=device, position=position)
            self._readers.append(reader)
            if reader.trouble:
                self._troubles[reader.name] = reader.trouble
        if self._config.http:
            self._readers.append(Reader("http port", self._http_port(self._config.http)))

    def _http_port(self, config: Http) -> Callable[[], None]:
        """Open the port; return what serves it."""
        from threat_scorer.run.inputs.http import HttpPort, Probes  # 3 MiB that a device without it does not need
        from threat_scorer.run.monitoring.metrics import to_prometheus

        checks = self._checks
        probes = Probes(
            wedged=checks.wedged,
            level=lambda: worst(checks.all()),
            metrics=lambda: to_prometheus(checks),
            stream=self._outbox.stream,
        )
        port = HttpPort(config, self._queue, probes)
        return lambda: port.serve(self._stop_inputs)

    def _start(self, name: str, work: Callable[..., None], *arguments: object) -> threading.Thread:
        def guarded() -> None:
            try:
                work(*arguments)
            except Exception as error:  # whatever it is: the process must not live on without this part
                self._log.warning("a part failed", part=name, error=f"{type(error).__name__}: {error}")
                self._failed.append(name)
                self._wake()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _read_to_end(self, reader: Reader) -> None:
        reader.read()
        self._reading.discard(reader.name)
        if not self._reading:
            self._wake()

    def _wake(self) -> None:
        """Wake `_supervise`, which ends the process."""
        with contextlib.suppress(BlockingIOError):  # the socket is full: it is awake already
            self._wakeup_sender.send(b"\0")

    def _supervise(self) -> None:
        """Write the status file and feed the watchdog until the wakeup socket signals the end."""
        every_s = self._config.health.every_s
        if limit_s := systemd.watchdog_s():
            every_s = min(every_s, limit_s / 3)
        while True:
            self._write_status("running")
            if not self._checks.wedged():
                systemd.notify("WATCHDOG=1", f"STATUS={self._counters.scored} scored, {self._outbox.depth} wait")
            if select.select([self._wakeup_receiver], [], [], every_s)[0]:
                return

    def _write_status(self, state: str) -> None:
        try:
            if any(monitor.unsaved for monitor in self._monitors.values()):
                save_backgrounds(self._config.background_file, self._monitors)
            write_status(self._config.status_file, self._checks.all(), every_s=self._config.health.every_s, state=state)
        except OSError as error:  # a full disk must not end the scoring
            self._log.warning("cannot write status or background", error=error.strerror)


def _load(config: Config, log: Log) -> tuple[Scorer, Release | None]:
    """Load the bundle that was installed and signed, or the unsigned folder to practise with."""
    if config.bundle:
        return Scorer.load(config.bundle), None
    loaded = slots.load(config.state, now=datetime.now(UTC))
    if loaded.fell_back:
        log.warning("fell back to the other bundle", slot=loaded.slot, why=loaded.fell_back)
    return loaded.scorer, loaded.manifest.release


def _models_by_input(config: Config) -> dict[str, str]:
    models = {entry.name: entry.model for entry in config.input}
    if config.http and config.http.model:
        models[HTTP] = config.http.model
    return models


def _monitors(config: Config, scorer: Scorer, models: dict[str, str]) -> dict[str, SensorMonitor]:
    """Return a monitor for each input of a sensor model: a model without a horizon scores measurements."""
    backgrounds = read_backgrounds(config.background_file)
    return {
        name: SensorMonitor([entry.name for entry in contract.inputs], config.sensor_monitor, backgrounds.get(name, {}))
        for name, model in models.items()
        if not (contract := scorer.model(model).contract).horizon_days
    }


def _record_scorers(
    config: Config, scorer: Scorer, models: dict[str, str], monitors: dict[str, SensorMonitor]
) -> dict[str, RecordScorer]:
    return {
        name: RecordScorer(
            scorer.model(model),
            bundle=scorer.bundle,
            device=config.device,
            source=name,
            point=config.operating_point,
            reasons=config.reasons,
            position=config.position,
            prior=scorer.prior if name in monitors else None,
            monitor=monitors.get(name),
        )
        for name, model in models.items()
    }


def _join(threads: list[threading.Thread], until: float) -> None:
    """Wait for threads to end, at most until the steady clock shows `until`."""
    for thread in threads:
        thread.join(max(until - boottime(), 0.0))


def _share_memory() -> None:
    """Let all threads share one arena of glibc's malloc: an arena for each thread costs half a MiB."""
    with contextlib.suppress(OSError, AttributeError):  # of glibc alone
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _give_back_memory() -> None:
    """Return to the system what loading needed: models that no input uses, golden rows, the bundle's bytes."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Lock the state folder for this process alone."""
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"state: {state} is in use by another process; expected one scorer for each folder") from None
    finally:
        os.close(descriptor)

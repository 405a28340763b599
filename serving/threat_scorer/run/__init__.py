"""The long-running scorer: records in from sensors, scores out to whoever listens, nothing lost on the way.

A record goes: `inputs` or `listener` (read a line) -> `queue` (bounded) -> `answer` (line to score record) -> `outbox`
(on disk, and only then acknowledged) -> `outputs` (sent in order, deleted once the peer has it). `process` joins them;
read it first, then `worker` and `outbox`. Beside the way: `config` on `toml_fields` (scorer.toml), `clock` (time that
may be wrong), `meter` and `health`, `http_port` and `metrics`, `log` and `systemd`. `soak` with `soak_peers` kills it
over and over and counts what arrived; `bench` measures a bundle on this device.
"""

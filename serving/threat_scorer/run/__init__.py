"""The long-running scorer: records in from sensors, scores out to whoever listens, nothing lost on the way.

A record goes: `inputs`, `listener` or `mqtt_input` (read a line) -> `queue` (bounded) -> `answer` (line to score
record) -> `outbox` on `outbox_file` (on disk, and only then acknowledged) -> `outputs` (in order, deleted once the peer
has it) by `sinks`, `mqtt_output`, `sparkplug` on `sparkplug_payload`, `cot` or `sapient` on `sapient_messages`.
`process` joins them; read it first, then `worker` and `outbox`. Beside the way: `degrade` (faults of a sensor),
`config`, `config_peers` and `config_identities` on `toml_fields` (scorer.toml), `mqtt` (a connection to a broker),
`takeovers` (another client with our identifier), `tls` (certificates),
`clock` (time that may be wrong), `meter` and `health`, `http_port` and `metrics`, `log` and `systemd`. `soak` with
`soak_peers` kills it over and over and counts what arrived; `bench` measures a bundle.
"""

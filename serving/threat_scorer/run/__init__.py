"""The running scorer: records from sensors in, scores to their receivers out, none lost on the way.

A record passes these modules, in this order:

1. `inputs`: `readers` opens each input, and `files`, `listener`, `mqtt` or `http` reads lines.
2. `queue`: a bounded queue in memory.
3. `worker`: takes lines from the queue; `record_scorer` turns each line into a score or a rejection.
4. `outbox`: a bounded queue on disk. Only a record on the disk is acknowledged to its sender.
5. `outputs`: `delivery` sends records in order until the sink has stored them; `sinks` chooses the sink of an output.

`process` joins them: read it first, then `worker` and `outbox`. Beside the way:

- `sensor_monitor`: the faults of a sensor.
- `clock`: a time that may be wrong.
- `config`: scorer.toml.
- `connections`: TLS, TCP and MQTT, for inputs and outputs.
- `monitoring`: health, metrics and log.
- `bench`: measures a bundle.
"""

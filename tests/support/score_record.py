"""A score as the outbox holds it, for tests of what outputs make of it."""

RECORD = {
    "type": "score",
    "id": "d1",
    "input": "left",
    "observed_at": "2026-11-22T02:00:00.000000Z",
    "scored_at": "2026-11-22T02:00:01.000000Z",
    "probability": 0.63,
    "likelihood": "likely",
    "decision": {"alarm": True, "operating_point": "pd_90", "threshold": 0.2},
    "reasons": ["voltage 0.4 raises it (+1.0)"],
    "position": {"latitude_deg": 4.5, "longitude_deg": -74.25, "error_m": 3.0},
    "device": "mast-3",
    "model": "sensor_threat",
    "bundle": "simulated-1.0.0-abc",
    "marking": {"originator": "SURVEY", "releasable_to": ["ALL"], "tlp": "CLEAR"},
    "simulated": True,
}

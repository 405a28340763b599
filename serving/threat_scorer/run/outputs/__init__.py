"""Scores that go out: files, sockets, MQTT, Sparkplug B, Cursor on Target, SAPIENT."""

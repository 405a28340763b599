"""Connections that inputs and outputs share: TLS, TCP, an MQTT broker."""

"""Records that come in: files, peers on a socket, HTTP, MQTT."""

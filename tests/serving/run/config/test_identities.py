"""Identifiers of inputs and outputs: defaults differ and stay, and what two parts share is refused with both keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threat_scorer.errors import ConfigError
from threat_scorer.run.config.identities import check_identities, client_id
from threat_scorer.run.config.peers import MqttInput, MqttOutput
from threat_scorer.run.config.reading import read_config

MQTT_IN = '[[input]]\nkind = "mqtt"\nmodel = "m"\ntopic = "a"\nport = 1883\n'
MQTT_OUT = '[[output]]\nkind = "mqtt"\ntopic = "b"\nport = 1883\n'
SPARKPLUG = '[[output]]\nkind = "sparkplug"\ngroup = "g"\nnode = "n"\nport = 1883\n'
SAPIENT = '[[output]]\nkind = "sapient"\nport = 5020\n'
FILE = '[[output]]\nkind = "file"\npath = "scores.jsonl"\n'
STDIN = '[[input]]\nkind = "stdin"\nmodel = "m"\n'


@pytest.fixture
def read(tmp_path):
    def read_(text):
        path = tmp_path / "scorer.toml"
        path.write_text('device = "mast-3"\nstate = "s"\n' + text)
        return read_config(path)

    return read_


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            MQTT_IN + 'client_id = "x"\n' + MQTT_OUT + 'client_id = "x"\nhost = "localhost"\n',
            r"output\[0\]\.client_id: got 'x' again, as in input\[0\]\.client_id; "
            r"expected each client_id at 127\.0\.0\.1:1883 to be unique",
            id="given",
        ),
        pytest.param(
            MQTT_IN + MQTT_OUT + 'client_id = "threat-scorer-mast-3-in-mqtt"\n',
            r"output\[0\]\.client_id: got 'threat-scorer-mast-3-in-mqtt' again",
            id="given as another's default",
        ),
        pytest.param(
            STDIN + MQTT_OUT + 'client_id = "x"\n' + SPARKPLUG + 'client_id = "x"\n',
            r"output\[1\]\.client_id: got 'x' again, as in output\[0\]\.client_id",
            id="mqtt and sparkplug",
        ),
        pytest.param(
            STDIN + SPARKPLUG + 'name = "a"\n' + SPARKPLUG + 'name = "b"\n',
            r"output\[1\]\.node: got 'g/n' again, as in output\[0\]\.node; expected each edge node",
            id="edge node",
        ),
        pytest.param(
            STDIN + SAPIENT + 'name = "a"\n' + SAPIENT + 'name = "b"\n',
            r"output\[1\]\.node_id: got '[0-9a-f-]{36}' again, as in output\[0\]\.node_id",
            id="sapient's default",
        ),
        pytest.param(
            MQTT_IN + 'availability = "here"\n' + MQTT_OUT + 'availability = "here"\n',
            r"output\[0\]\.availability: got 'here' again, as in input\[0\]\.availability",
            id="availability",
        ),
        pytest.param(
            STDIN + FILE + 'name = "a"\n' + FILE.replace("scores", "./scores") + 'name = "b"\n',
            r"output\[1\]\.path: got '.*scores.jsonl' again, as in output\[0\]\.path",
            id="file",
        ),
        pytest.param(STDIN + FILE + FILE.replace("s.", "t."), r"output\[1\]\.name: got 'file' again", id="name"),
        pytest.param(
            STDIN + STDIN + FILE, r"input\[1\]\.name: got 'stdin' again, as in input\[0\]\.name", id="input's name"
        ),
    ],
)
def test_an_identifier_that_two_parts_share_is_refused_with_both_keys(read, text, message):
    with pytest.raises(ConfigError, match=message):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(MQTT_IN + MQTT_OUT + SPARKPLUG, id="defaults at one broker"),
        pytest.param(
            MQTT_IN + 'client_id = "x"\n' + MQTT_OUT.replace("1883", "1884") + 'client_id = "x"\n', id="two brokers"
        ),
        pytest.param(
            STDIN + SAPIENT + 'name = "a"\n' + SAPIENT.replace("5020", "5021") + 'name = "b"\n', id="two fusion nodes"
        ),
    ],
)
def test_what_is_shared_with_nobody_at_the_same_peer_is_taken(read, text):
    assert read(text)


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["", "x", "y"]), st.sampled_from([1, 2]), st.sampled_from(["", "a"])),
        max_size=5,
    )
)
def test_a_configuration_is_refused_just_where_two_clients_of_one_broker_have_one_id(clients):
    inputs, outputs = [], []
    for i, (reads, given_id, port, name) in enumerate(clients):
        common = {"topic": "t", "port": port, "client_id": given_id, "name": f"{name}{i}"}
        (inputs if reads else outputs).append(MqttInput(model="m", **common) if reads else MqttOutput(**common))
    entries = [*inputs, *outputs]
    sessions = {(entry.port, client_id(entry, "mast")) for entry in entries}
    assert len({client_id(entry, "mast") for entry in entries if not entry.client_id}) == sum(
        not entry.client_id for entry in entries
    )
    if len(sessions) == len(entries):
        check_identities("mast", inputs, outputs)
    else:
        with pytest.raises(ConfigError, match="client_id: got"):
            check_identities("mast", inputs, outputs)


def test_a_session_keeps_its_name_when_another_input_is_put_before_it():
    before = MqttInput(model="m", port=1, topic="t", name="left")
    assert client_id(before, "mast") == "threat-scorer-mast-in-left"
    assert client_id(MqttOutput(port=1, topic="t", name="left"), "mast") == "threat-scorer-mast-out-left"

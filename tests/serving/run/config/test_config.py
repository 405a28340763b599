"""scorer.toml: an error names the key that is wrong."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threat_scorer.errors import ConfigError
from threat_scorer.run.config.peers import FileInput, TcpInput
from threat_scorer.run.config.reading import read_config

GOOD = """device = "mast-3"
bundle = "bundle"
state = "/var/lib/threat-scorer"
[[input]]
kind = "stdin"
model = "sensor_threat"
[[input]]
kind = "file"
name = "left"
model = "sensor_threat"
path = "left.jsonl"
[[input]]
kind = "tcp"
model = "sensor_threat"
port = 9000
[[output]]
kind = "unix"
path = "/run/scores.sock"
"""


@pytest.fixture
def read(tmp_path):
    def read_(text):
        path = tmp_path / "scorer.toml"
        path.write_text(text)
        return read_config(path)

    return read_


def test_a_good_file_is_read_and_its_paths_start_from_its_folder(read, tmp_path):
    config = read(GOOD)
    assert config.bundle == tmp_path / "bundle"
    assert str(config.state) == "/var/lib/threat-scorer"
    stdin, left, tcp = config.input
    assert stdin.name == "stdin"
    assert left == FileInput(model="sensor_threat", name="left", path=tmp_path / "left.jsonl")
    assert tcp == TcpInput(model="sensor_threat", name="tcp", port=9000)
    assert (config.queue.overload, config.outbox.when_full, config.http) == ("oldest", "oldest", None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('device = "mast-3"\n', "", "device: missing; expected text"),
        ('device = "mast-3"', "device = 3", "device: got 3; expected text"),
        ('device = "mast-3"', 'devize = "mast-3"', "devize: unknown key"),
        ("port = 9000", "port = 90000", r"input\[2\].port: got 90000; expected 1 to 65535"),
        ("port = 9000", "port = true", r"input\[2\].port: got True; expected an integer"),
        ("port = 9000", "", r"input\[2\].port: missing"),
        ("port = 9000", 'port = 9000\nhost = "0.0.0.0"', r"input\[2\].host: .*remote = true"),
        ('kind = "tcp"', 'kind = "telnet"', r"input\[2\].kind: got 'telnet'; expected one of stdin, file"),
        ('kind = "tcp"', "kind = 4", r"input\[2\].kind: got 4"),
        ('name = "left"', 'name = "stdin"', r"input\[1\].name: got 'stdin' again"),
        ('kind = "unix"', 'kind = "unix"\nack_within_s = 0', r"output\[0\].ack_within_s: got 0.0; expected 0.1 to"),
        ("[[output]]", "[outbox]\nwhen_full = 'newest'\n[[output]]", "outbox.when_full: got 'newest'; expected one of"),
        ("[[output]]", "[outbox]\nlimit_mib = nan\n[[output]]", "outbox.limit_mib: got nan; expected 0.01 to"),
        ("[[output]]", "outbox = 3\n[[output]]", r"input\[2\].outbox: unknown key"),
        ("[[output]]", "[output]", r"output: got .*; expected \[\[output\]\] tables"),
        ("[[output]]", "[[output", "not TOML"),
    ],
)
def test_a_bad_value_is_refused_with_its_key(read, old, new, message):
    assert old in GOOD
    with pytest.raises(ConfigError, match=message):
        read(GOOD.replace(old, new))


def test_without_output_there_is_nothing_to_run_for(read):
    with pytest.raises(ConfigError, match="output: missing"):
        read(GOOD[: GOOD.index("[[output]]")])


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path / "scorer.toml")


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=200),
        st.builds(
            lambda key, value: GOOD + f"\n{key} = {value}\n",
            st.sampled_from(["name", "ack", "ack_within_s", "path", "model"]),
            st.sampled_from(["1", "true", '""', '"x"', "[]", "{}", "inf", "1979-05-27", '"a\\u0000b"', "[[1]]"]),
        ),
    )
)
def test_any_text_is_read_or_refused_in_words(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("config") / "scorer.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_config(path)
    except ConfigError as error:
        assert str(path) in str(error)


def test_the_configuration_to_start_from_is_one_that_can_be_read():
    config = read_config(Path(__file__).parents[4] / "serving/deploy/scorer.toml")
    assert (config.bundle, config.queue.limit_mib) == (None, 16.0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('host = "239.2.3.1"\n', r"output\[1\].host: got '239.2.3.1'; expected .*remote = true"),
        ('type = "a u G"\n', r"output\[1\].type: got 'a u G'; expected a CoT type"),
        (
            'transport = "udp"\ntls = { ca = "a", certificate = "b", key = "c" }\n',
            r"output\[1\].transport: got 'udp' with tls",
        ),
    ],
)
def test_a_bad_output_for_maps_is_refused_with_its_key(read, more, message):
    with pytest.raises(ConfigError, match=message):
        read(GOOD + '[[output]]\nkind = "cot"\nport = 8087\n' + more)


def test_a_table_that_was_renamed_is_refused_with_its_new_name(read):
    with pytest.raises(ConfigError, match=r"degrade: renamed .*sensor_monitor"):
        read(GOOD + "[degrade]\nstuck_after = 5\n")

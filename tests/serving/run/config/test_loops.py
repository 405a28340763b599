"""No input reads what this scorer itself publishes or writes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from threat_scorer.errors import ConfigError
from threat_scorer.run.config.identities import refuse_loops, takes
from threat_scorer.run.config.peers import FileInput, FileOutput, MqttInput, MqttOutput

LEVELS = st.sampled_from(["a", "b", "", "scores"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)


@st.composite
def filters(draw) -> str:
    levels = draw(st.lists(st.one_of(LEVELS, st.just("+")), min_size=1, max_size=4))
    return "/".join([*levels, "#"] if draw(st.booleans()) else levels) or "#"


@given(filters(), TOPICS)
def test_a_subscription_takes_what_paho_says(subscription, topic):
    assert takes(subscription, topic) == topic_matches_sub(subscription, topic)
    assert takes(f"$share/group/{subscription}", topic) == topic_matches_sub(subscription, topic)


def test_wildcards_do_not_take_the_topics_of_the_broker_itself():
    assert not takes("#", "$SYS/uptime")
    assert takes("$SYS/#", "$SYS/uptime")


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (
            [MqttInput(model="m", port=1, topic="lane/#")],
            [MqttOutput(port=1, topic="lane/4/scores", host="localhost")],
            r"input\[0\]\.topic: got 'lane/#', which takes 'lane/4/scores' of output\[0\]\.topic too",
        ),
        (
            [
                MqttInput(model="m", port=1, topic="+/raw"),
                MqttInput(model="m", port=1, topic="a", availability="x/raw"),
            ],
            [],
            r"input\[0\]\.topic: got '\+/raw', which takes 'x/raw' of input\[1\]\.availability too",
        ),
        (
            [FileInput(model="m", path=Path("in.jsonl"))],
            [FileOutput(path=Path("./in.jsonl"))],
            r"input\[0\]\.path: got in\.jsonl, which output\[0\] writes",
        ),
    ],
)
def test_a_loop_is_refused_with_both_keys(inputs, outputs, message):
    with pytest.raises(ConfigError, match=message):
        refuse_loops(inputs, outputs)


def test_another_broker_and_another_topic_are_no_loop():
    reads = [MqttInput(model="m", port=1, topic="lane/+")]
    refuse_loops(reads, [MqttOutput(port=2, topic="lane/4"), MqttOutput(port=1, topic="scores/4")])

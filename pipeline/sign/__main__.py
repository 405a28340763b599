"""``python -m pipeline.sign keygen | trust | bundle``: make keys, list the trusted ones, sign a bundle."""

from pipeline.runtime import cli
from pipeline.sign import commands

if __name__ == "__main__":
    cli.run(commands.main)

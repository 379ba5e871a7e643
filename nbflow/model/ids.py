"""Run ids and run names."""

from __future__ import annotations

import itertools
import os
import random
import time

_ADJECTIVES = """
    able agile amber ample azure bold brave breezy bright brisk calm candid cheery
    chestnut clever copper coral cosmic crimson curious dapper daring deft eager early
    earnest easy elegant ember fair fancy fearless fine fleet frank fresh gentle gilded
    glad golden grand green hardy hasty hazel honest humble indigo ivory jade jolly keen
    kind lively loyal lucky lunar magic mellow merry mighty mild misty modest neat nifty
    nimble noble olive opal patient pearl plucky polite prime proud quick quiet radiant
    rapid ready robust rosy royal ruby rustic sage scarlet serene sharp shy silver sleek
    smart snug solar solid spry steady stout sunny swift tidy topaz true upbeat valiant
    velvet vivid warm wise witty wry young zesty
""".split()
_ANIMALS = """
    adder albatross alpaca ant badger bat bear beaver bee bison boar bobcat bull camel
    caribou cat cheetah cobra condor cougar coyote crab crane cricket crow deer dingo dog
    dolphin dove dragon duck eagle eel egret elk emu falcon ferret finch fox frog gazelle
    gecko gibbon goat goose gull hare hawk heron hippo hornet horse ibex ibis iguana
    impala jackal jaguar jay kestrel kite kiwi koala lark lemur leopard lion lizard llama
    lobster lynx magpie marlin marmot marten mole moose moth mouse mule newt ocelot orca
    oriole osprey otter owl ox panda panther parrot pelican penguin pigeon puffin puma
    quail rabbit raccoon raven rhino robin salmon seal shark sheep shrew skunk sloth snail
    sparrow squid stag starling stork swan tapir tern tiger toad toucan trout turtle viper
    vole walrus wasp weasel whale wolf wombat wren yak zebra
""".split()

# The numbers of the module `random` belong to the user, who may have seeded them.
_random = random.SystemRandom()


class _Ids:
    """Version 7 UUIDs as 32 hex digits: they sort by time, which keeps SQLite's inserts sequential.

    A process draws its random part once and counts below it (RFC 9562, section 6.2, method 1):
    0.4 us instead of the 2 us of `uuid4`.
    """

    def __init__(self) -> None:
        self._seed()
        os.register_at_fork(after_in_child=self._seed)

    def _seed(self) -> None:
        self._tail = f"{os.urandom(6).hex()[:11]}"
        self._next = itertools.count(int.from_bytes(os.urandom(2), "big")).__next__

    def new(self) -> str:
        n = self._next() & 0xFFFFFFFF
        return (
            f"{time.time_ns() // 1_000_000:012x}7{n >> 20:03x}8{self._tail[:10]}{n & 0xFFFFF:05x}"
        )


new_id = _Ids().new


def friendly_name() -> str:
    """A name people can say, such as 'nimble-falcon'. Not unique."""
    return f"{_random.choice(_ADJECTIVES)}-{_random.choice(_ANIMALS)}"

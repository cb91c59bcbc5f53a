"""Makes identifiers and display names. Neither is a secret."""

import random
import time

_ADJECTIVES = (
    "able amber ample apt arctic azure bold brave breezy bright brisk calm candid careful cheery clear clever"
    " coral cosy crisp cyan daring dapper deep eager early easy epic fair famous fancy fine firm fond frank free"
    " fresh gentle glad golden good grand great green happy hardy honest humble icy jolly jovial keen kind large"
    " late lively loud lucid lucky lunar mellow merry mighty mild modest neat new nimble noble olive orange"
    " patient plain plucky plum polite prime proud quick quiet rapid red ready rosy royal ruby rustic sage sharp"
    " shiny silent silver sleepy smart smooth snowy solar solid sound spry stable steady stoic strong sunny swift"
    " tall teal tender tidy tough true upbeat vivid warm wise witty young zesty"
)

_NOUNS = (
    "acorn alder anchor apple apricot arrow aspen badger bamboo basil beach bean beaver birch bird breeze bridge"
    " brook camel canoe carrot castle cedar cello cherry cliff clock cloud clover comet cookie coral cork crane"
    " creek cricket crow daisy deer delta desert dolphin dove drum eagle elm falcon fern fig finch fjord flute"
    " forest fox frog garden gecko ginger glacier goose grape guitar harbor hare hawk hazel heron hill honey"
    " horizon island ivy jackal kettle kite koala lagoon lake lamp lark leaf lemon lime lion lotus lynx magnet"
    " mango maple marble meadow melon mint moon moss mountain nutmeg oak oasis ocean orchid otter owl panda papaya"
    " parrot parsley peach pear pebble pepper pine planet plum pond poppy prairie puffin quail quartz rabbit raven"
    " reef river robin rocket rose sail salmon shell shore spruce squash star stone stork stream swan thistle"
    " tiger tree tulip turtle valley violet walnut wave whale willow wolf wren yam zebra"
)
ADJECTIVES = tuple(_ADJECTIVES.split())
NOUNS = tuple(_NOUNS.split())


class Identifiers:
    """Makes UUIDs of version 7. Those of one maker ascend, also within a millisecond."""

    def __init__(self) -> None:
        self._last = 0

    def make(self) -> str:
        """A new UUID."""
        # 48 bits of milliseconds, then the 12 bits after the version as a counter that carries into them.
        self._last = max((time.time_ns() // 1_000_000) << 12, self._last + 1)
        tail = random.getrandbits(62)
        return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - twice as fast
            self._last >> 28,
            self._last >> 12 & 0xFFFF,
            self._last & 0xFFF,
            0x8000 | tail >> 48,
            tail & 0xFFFF_FFFF_FFFF,
        )


def make_display_name() -> str:
    """A name people can say, such as `brave_heron_3f9a1c`."""
    bits = random.getrandbits(48)
    adjective, bits = ADJECTIVES[bits % len(ADJECTIVES)], bits // len(ADJECTIVES)
    noun, bits = NOUNS[bits % len(NOUNS)], bits // len(NOUNS)
    return f"{adjective}_{noun}_{bits & 0xFFFFFF:06x}"

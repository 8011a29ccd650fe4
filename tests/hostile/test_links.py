"""Hostile links: a clear answer, and no connection to any place but the one that is allowed."""

import pytest

from bot.references import Fetcher, Unavailable, fetch
from tests.hostile.conftest import MEASURED, is_clear
from tests.hostile.links import LINKS, PATIENCE_SECONDS
from tests.hostile.measuring import MAX_MIB, MAX_SECONDS, Result

pytestmark = MEASURED


@pytest.mark.parametrize("name", LINKS)
def test_a_link(results: dict[str, Result], name: str) -> None:
    link, result = LINKS[name], results[name]
    heard = result.answer
    if link.says:
        is_clear(heard["says"], link.says)
        assert not any("127." in words for words in heard["says"])
    else:
        assert heard["bytes"] > 0
    assert heard["elsewhere"] == [], "no connection to anybody else"
    assert heard["connections"] == link.connections
    assert heard["looked_up"] == [], "names are asked of the resolver alone"
    assert (heard["asked"] > 0) is (link.addresses is not None)
    assert result.peak_mib < MAX_MIB
    assert result.cpu_seconds < MAX_SECONDS


def test_so_many_and_no_fewer(results: dict[str, Result]) -> None:
    assert len(results) >= 60


def test_the_limit_of_slow_ones() -> None:
    """They are given half a second here; outside, what `Fetcher` is made with."""
    assert fetch.TIMEOUT_SECONDS == 10 > PATIENCE_SECONDS


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "0x7f.1"])
async def test_an_address_is_no_host_even_on_the_list(host: str) -> None:
    with pytest.raises(Unavailable, match="not a link I can use"):
        await Fetcher(hosts=(host,)).fetch(f"https://{host}/a.png")

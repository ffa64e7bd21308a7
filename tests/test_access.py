"""Who may come, how many, and for how long: rules, and servers that keep to them."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockkit.access import MOST_UID, Matches, Name, Network, Rule, Rules, Users, parse, words
from sockkit.errors import UsageError

NOBODY = 65534


def rule(text: str) -> Rule:
    return Rule(text, "--allow")


# ---- the rules, pure

V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)
NETWORKS = st.one_of(
    st.tuples(V4, st.integers(0, 32)).map(lambda pair: ipaddress.ip_network(pair, strict=False)),
    st.tuples(V6, st.integers(0, 128)).map(lambda pair: ipaddress.ip_network(pair, strict=False)),
)


def plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    """As the door sees it: mapped addresses are IPv4's."""
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).packed


@given(st.lists(NETWORKS, min_size=1, max_size=8), st.data())
def test_networks_match_as_ipaddress_says(networks: list[ipaddress.IPv4Network], data: st.DataObject) -> None:
    matches = Matches()
    for network in networks:
        matches.add(rule(str(network)))
    near = data.draw(st.sampled_from(networks))
    inside = near.network_address + data.draw(st.integers(0, near.num_addresses - 1))
    for address in (inside, data.draw(V4), data.draw(V6)):
        found = matches.of_address(plain(address))
        fits = [each for each in networks if _has(each, address)]
        assert (found is not None) == bool(fits)
        if found is not None:
            longest = max(each.prefixlen - (0 if each.version == 4 else 96 * _is_mapped(each)) for each in fits)
            told = ipaddress.ip_network(found.text)
            assert told.prefixlen - (0 if told.version == 4 else 96 * _is_mapped(told)) == longest


def _is_mapped(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None


def _has(network: ipaddress.IPv4Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """IPv4 in both of its forms is one thing."""
    if _is_mapped(network):
        low = getattr(network.network_address, "ipv4_mapped", None)
        network = ipaddress.IPv4Network((low, network.prefixlen - 96))
    address = getattr(address, "ipv4_mapped", None) or address
    return address.version == network.version and address in network


@given(V4, V4)
def test_a_range_is_all_between_its_ends(one: ipaddress.IPv4Address, other: ipaddress.IPv4Address) -> None:
    low, high = sorted((one, other))
    matches = Matches()
    matches.add(rule(f"{low}-{high}"))
    for address in (low, high, low + (int(high) - int(low)) // 2):
        assert matches.of_address(address.packed)
    for number in (int(low) - 1, int(high) + 1):
        if 0 <= number < 2**32:
            assert not matches.of_address(ipaddress.IPv4Address(number).packed)


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-fuser:./%-]{1,20}", fullmatch=True))
def test_whatever_is_typed_is_a_rule_or_a_usage_error(text: str) -> None:
    for word in words(text):
        try:
            meanings = parse(Rule(word, "--deny", "file:7"))
        except UsageError as error:
            assert error.option == "--deny" and str(error).startswith("file:7: ") and "\n" not in str(error)
        else:
            assert meanings and all(isinstance(each, (Network, Users, Name)) for each in meanings)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.1/8", "10.0.0.0/8 is the network, 10.0.0.1 the host"),
        ("2001:db8::1/32", "2001:db8::/32 is the network"),
        ("10.0.0.0/33", "the length behind the slash is 0 to 32"),
        ("::/129", "the length behind the slash is 0 to 128"),
        ("10.0.0.0/", "the length behind the slash is 0 to 32"),
        ("300.1.1.1", "is not a host, a network"),
        ("10.1.2", "is not a host, a network"),
        ("010.0.0.1", "is not a host, a network"),
        ("127.0.0.1:80", "is not a host, a network"),
        ("[::1]", "is not a host, a network"),
        ("10.0.0.9-5", "runs backwards: 10.0.0.5-10.0.0.9"),
        ("10.0.0.1-::2", "both ends are IPv4, or both IPv6"),
        ("10.0.0.1-300", "is not a host, a network"),
        ("fe80::1%lo", "leave %… out"),
        ("a..b", "is not a host, a network"),
        ("host.42", "ending in a number, no name"),
        ("uid:-1", "a uid is a number from 0 to"),
        ("uid:4294967295", "a uid is a number from 0 to"),
        ("uid:", "a uid is a number from 0 to"),
        ("uid:9-3", "runs backwards: uid:3-9"),
        ("user:no-such-user", "there is no user 'no-such-user' here"),
        ("user:1000", "uid:1000 is the user of that number"),
    ],
)
def test_what_is_no_rule(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        parse(rule(text))


def test_what_a_rule_means() -> None:
    assert parse(rule("0.0.0.0/0")) == [Network(32, 0, 0)]
    assert parse(rule("10.0.0.0/255.0.0.0")) == [Network(32, 8, 10)]
    assert parse(rule("::ffff:10.0.0.0/104")) == [Network(32, 8, 10)]
    assert parse(rule("10.0.0.4-7")) == [Network(32, 30, 0x0A000004 >> 2)]
    assert parse(rule("::4-::7")) == [Network(128, 126, 1)]
    assert parse(rule("uid:7")) == [Users(7, 7)]
    assert parse(rule(f"uid:0-{MOST_UID}")) == [Users(0, MOST_UID)]
    assert parse(rule("mail.example.org")) == [Name("mail.example.org")]


def test_denial_wins_and_an_allowance_excludes_all_others() -> None:
    rules = Rules()
    assert rules.refusal(bytes((10, 0, 0, 1))) is None
    rules.add(Rule("10.0.0.13", "--deny"), allow=False)
    assert rules.refusal(bytes((10, 0, 0, 1))) is None
    assert rules.refusal(bytes((10, 0, 0, 13))) == "--deny 10.0.0.13"
    rules.add(Rule("10.0.0.0/8", "--allow-file", "friends:3"), allow=True)
    assert rules.refusal(bytes((10, 0, 0, 1))) is None
    assert rules.refusal(bytes((10, 0, 0, 13))) == "--deny 10.0.0.13"
    assert rules.refusal(bytes((11, 0, 0, 1))) == "no --allow for it"
    assert rules.refusal(bytes(15) + b"\1") == "no --allow for it"
    assert rules.refusal(None) == "who it was is not known any more"

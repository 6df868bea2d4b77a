"""Which URLs and addresses a merchant can make us connect to."""

import ipaddress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.exchange import RefusedDestination
from shared.delivery.target import check_url, is_loopback, is_public, parse_target, with_ascii_host

# First and last address of every block of IANA's special-purpose registries, and what lies around it.
SPECIAL = [
    "0.0.0.0",  # noqa: S104  an address to refuse, not to bind
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.0",
    "192.88.99.255",
    "192.168.0.0",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.255",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db8::1",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2620:4f:8000::1",
    "3fff::1",
    "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff:ffff::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "",
    "localhost",
    "8.8.8",
    "0x08080808",
]
PUBLIC = [
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700:4700::1111",
    "3ffe::1",
    "3fff:1000::1",
]


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public(address)


@given(address=st.ip_addresses())
def test_nothing_that_python_calls_local_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not is_public(str(address))


@given(packed=st.integers(0, 2**32 - 1))
def test_no_ipv6_address_smuggles_an_ipv4_address_in(packed: int) -> None:
    inner = ipaddress.IPv4Address(packed)
    mapped = ipaddress.IPv6Address(f"::ffff:{inner}")
    nat64 = ipaddress.IPv6Address(f"64:ff9b::{inner}")
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (packed << 80) | 1)
    teredo = ipaddress.IPv6Address((0x20010000 << 96) | packed)
    assert not any(is_public(str(address)) for address in (mapped, nat64, six_to_four, teredo))


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://hooks.bsp.example/in?x=1", "hooks.bsp.example", 443),
        ("HTTPS://Hooks.BSP.example", "hooks.bsp.example", 443),
        ("https://hooks.bsp.example:8443/", "hooks.bsp.example", 8443),
        ("https://hooks.bsp.example:443", "hooks.bsp.example", 443),
        ("https://bücher.example/", "xn--bcher-kva.example", 443),
        ("https://hooks.भारत/", "hooks.xn--h2brj9c", 443),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
        ("https://8.8.8.8/", "8.8.8.8", 443),
        ("https://[2606:4700:0:0::1111]/", "2606:4700::1111", 443),
        ("https://a_b.example/path/@user", "a_b.example", 443),
    ],
)
def test_public_https_urls_are_welcome(url: str, host: str, port: int) -> None:
    assert check_url(url) == []
    target = parse_target(url)
    assert (target.scheme, target.host, target.port, target.loopback) == ("https", host, port, False)


REFUSED = [
    "",
    "hooks.bsp.example",
    "//hooks.bsp.example/",
    "https:/hooks.bsp.example/",
    "https://",
    "https:///path",
    "http://hooks.bsp.example/",
    "ftp://hooks.bsp.example/",
    "file:///etc/passwd",
    "gopher://hooks.bsp.example/",
    "javascript:alert(1)",
    "https://hooks.bsp.example:80/",
    "https://hooks.bsp.example:22/",
    "https://hooks.bsp.example:0/",
    "https://hooks.bsp.example:65536/",
    "https://hooks.bsp.example:x/",
    "https://user@hooks.bsp.example/",
    "https://user:pass@hooks.bsp.example/",
    "https://@hooks.bsp.example/",
    "https://hooks.bsp.example@169.254.169.254/",
    "https://hooks.bsp.example/#top",
    "https://hooks.bsp.example/#",
    "https://hooks.bsp.example\\@127.0.0.1/",
    "https://hooks.bsp.example\t/",
    "https://hooks.bsp.example/a b",
    " https://hooks.bsp.example/",
    "https://hooks.bsp.example/\r\nX: y",
    "https://hooks.bsp.example./",
    "https://hooks..example/",
    "https://-hooks.example/",
    "https://hooks%2eexample.com/",
    "https://127.0.0.1%2eexample.com/",
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 130 + "example/",
    "https://hooks.bsp.example/" + "a" * 2048,
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://metadata/",
    "https://metadata.google.internal/",
    "https://a.localhost/",
    "https://printer.local/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0X7F.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.0.0.01/",
    "https://8.8.8.08/",
    "https://8.8.8/",
    "https://8.8.8.8.8/",
    "https://256.1.1.1/",
    "https://134744072/",
    "https://1.2.3.0x4/",
    "https://hooks.example.1/",
    "https://127。0。0。1/",
    "https://１２７.0.0.1/",
    "https://①②⑦.0.0.1/",
    "https://ⓛocalhost/",
    "https://0/",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "https://[64:ff9b::8.8.8.8]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fd00:ec2::254]/",
    "https://[v1.x]/",
    "https://[::1",
    "https://::1/",
    "https://[2606:4700::1111].example/",
    "https://[2606:4700::1111]443/",
    "https://x[2606:4700::1111]/",
]


# What the local stage may do besides: see below.
LOOPBACK = {
    "https://localhost/",
    "https://LOCALHOST/",
    "https://127.0.0.1/",
    "https://127。0。0。1/",
    "https://[::1]/",
}


@pytest.mark.parametrize("url", REFUSED)
def test_everything_else_is_refused(url: str) -> None:
    assert check_url(url)
    with pytest.raises(RefusedDestination):
        parse_target(url)


@pytest.mark.parametrize("url", [url for url in REFUSED if url not in LOOPBACK])
def test_the_local_stage_refuses_it_too(url: str) -> None:
    assert check_url(url, allow_loopback=True)


def test_every_problem_is_told_at_once() -> None:
    problems = check_url("http://user@intranet:81/#x")
    assert len(problems) == 5
    assert any("https" in problem for problem in problems)
    assert any("port" in problem for problem in problems)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/hook",
        "http://127.8.9.10/",
        "http://localhost:9000/",
        "http://[::1]:9000/",
        "https://localhost:9443/",
    ],
)
def test_the_local_stage_may_talk_to_itself(url: str) -> None:
    assert check_url(url, allow_loopback=True) == []
    assert parse_target(url, allow_loopback=True).loopback
    assert check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1:9000/",
        "http://0.0.0.0:9000/",
        "http://169.254.169.254/",
        "http://[::ffff:127.0.0.1]:9000/",
        "http://localhost.example:9000/",
        "http://127.0.0.1.example/",
        "https://hooks.bsp.example:9000/",
        "http://user@127.0.0.1:9000/",
    ],
)
def test_the_local_stage_may_talk_to_nobody_else(url: str) -> None:
    assert check_url(url, allow_loopback=True)


@given(url=st.text(max_size=80) | st.text(max_size=60).map("https://{}".format))
def test_any_text_is_judged_and_httpx_reads_the_same_host(url: str) -> None:
    if check_url(url):
        return
    target = parse_target(url)
    read = httpx.URL(url)
    assert (target.host, target.port) == (read.raw_host.decode(), read.port or 443)


def test_loopback_is_judged_by_number() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.255.0.1")
    assert is_loopback("::1")
    assert not is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("128.0.0.1")
    assert not is_loopback("localhost")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://shop.example/pâtisserie?x=é", "https://shop.example/pâtisserie?x=é"),
        ("https://Shop.Example:8443/a", "https://Shop.Example:8443/a"),
        ("https://аpple.example/hook", "https://xn--pple-43d.example/hook"),  # a Cyrillic first letter
        ("https://аpple.example:8443/hook?to=аpple.example", "https://xn--pple-43d.example:8443/hook?to=аpple.example"),
        ("https://मिठाई.example", "https://xn--o1b1cybxdd.example"),
        ("https://a..é/", "https://a..é/"),
        ("https://[é]/", "https://[é]/"),
        ("not a url", "not a url"),
    ],
)
def test_a_host_in_another_script_is_shown_in_its_idna_form(url: str, shown: str) -> None:
    assert with_ascii_host(url) == shown
    assert with_ascii_host(shown) == shown

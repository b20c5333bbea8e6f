"""Where webhooks may lead: the public internet, and what the operator allows."""

from ipaddress import ip_address

import pytest
from pytest_django.fixtures import Settings

from fleet.errors import WebhookAddress
from fleet.webhooks.destinations import destination_of, is_public, origin_of, require_allowed

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"]
INSIDE = {
    "127.0.0.1": "loopback",
    "127.8.9.10": "loopback",
    "0.0.0.0": "this host",  # noqa: S104 - refused
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "192.168.1.1": "private",
    "169.254.169.254": "metadata of most clouds",
    "100.64.0.1": "carrier-grade NAT",
    "100.100.100.200": "metadata of Alibaba",
    "192.0.0.192": "metadata of Oracle",
    "168.63.129.16": "host services of Azure",
    "198.18.0.1": "benchmarking",
    "192.0.2.1": "documentation",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::1": "loopback",
    "::": "this host",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local with its interface",
    "fc00::1": "unique local",
    "fd00:ec2::254": "metadata of AWS",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "::ffff:127.0.0.1": "mapped loopback",
    "::ffff:a9fe:a9fe": "mapped metadata",
    "::127.0.0.1": "IPv4-compatible",
    "64:ff9b::a9fe:a9fe": "NAT64 to metadata",
    "64:ff9b:1::1": "local NAT64",
    "2002:7f00:1::": "6to4 to loopback",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "Teredo",
    "2001:db8::1": "documentation",
    "100::1": "discard",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_allowed(address: str) -> None:
    assert is_public(ip_address(address))
    require_allowed([address])


@pytest.mark.parametrize("address", INSIDE, ids=lambda address: f"{address} ({INSIDE[address]})")
def test_other_address_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(WebhookAddress, match="SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS"):
        require_allowed([address])


@pytest.mark.parametrize(
    "addresses", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "::ffff:10.0.0.1"]]
)
def test_name_with_one_address_inside_is_refused_as_a_whole(addresses: list[str]) -> None:
    with pytest.raises(WebhookAddress, match=r"10\.0\.0\.1 is not"):
        require_allowed(addresses)


@pytest.mark.parametrize(("address", "allowed"), [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.2.2.3", False)])
def test_network_of_the_setting_is_allowed_and_no_more(settings: Settings, address: str, allowed: bool) -> None:  # noqa: FBT001
    settings.SMALLFLEET_WEBHOOK_PRIVATE_NETWORKS = ["10.1.0.0/16"]
    if allowed:
        require_allowed([address])
    else:
        with pytest.raises(WebhookAddress):
            require_allowed([address])


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/", "ftp://hooks.example.org/", "hooks.example.org", "https://", "https:///path", "//hooks.example.org/",
        "https://user@hooks.example.org/", "https://user:pass@hooks.example.org/", "https://hooks.example.org/#top",
        "https://hooks.example.org:99999/", "https://hooks.example.org:0/", "https://hooks.example.org:x/", "https://[::1/",
        "https://hooks.example.org/a b", "https://hooks.example.org/\r\nHost: inside", "https://hööks.example.org/", "https://127.0.0.1/",
        "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "gopher://hooks.example.org/",
    ],
)  # fmt: skip
def test_address_that_cannot_be_a_webhook_is_refused_at_once(url: str) -> None:
    with pytest.raises(WebhookAddress):
        destination_of(url)


# What a C library takes for an address and `ipaddress` does not: as names they go through the look-up, and its answer is checked.
@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost"])
def test_other_ways_to_write_loopback_are_refused_when_looked_up(host: str) -> None:
    from fleet.webhooks.sending import send

    outcome = send(f"https://{host}/", headers={}, body=b"{}")
    assert outcome.status is None
    assert (
        "is not of the public internet" in outcome.error
        or "not known" in outcome.error
        or "No address" in outcome.error
    )


def test_http_is_allowed_where_the_setting_says_so(settings: Settings) -> None:
    settings.SMALLFLEET_WEBHOOK_ALLOW_HTTP = True
    assert destination_of("http://hooks.example.org:8080/a?b=c").port == 8080
    assert destination_of("http://hooks.example.org").target == "/"


def test_origin_leaves_out_what_may_be_a_secret() -> None:
    assert origin_of("https://hooks.example.org:8443/T00/B00/XXXX?key=1") == "https://hooks.example.org:8443"

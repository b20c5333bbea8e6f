"""What `status` and `doctor` say of trust."""

from datetime import timedelta

from agent import status as agent_status
from agent.doctor.finding import Finding, Verdict
from agent.doctor.trust import trust
from tests.agent.device import MODEL, Device, entry
from tests.agent.models import release
from tests.agent.standin import StandIn

OLD = release(1)


def finding(device: Device) -> Finding:
    [one] = trust(device.config, device.layout)
    assert one.check == f"trust-{MODEL}"
    return one


def test_status_says_what_is_signed_and_until_when(device: Device, server: StandIn) -> None:
    found = agent_status.status(device.config, device.layout, device.clock)
    assert found["installations"][0]["trust"] is None
    assert "trust    no root" in agent_status.described(found)
    server.entries = [entry(server, OLD)]
    device.cycle()
    found = agent_status.status(device.config, device.layout, device.clock)
    says = found["installations"][0]["trust"]
    assert (says["targets"], says["versions"]["targets"], says["expired"]) == (["1.0.0/fp32"], 2, False)
    assert f"1 signed targets (list 2), until {says['expires_at']}" in agent_status.described(found)
    device.clock.ahead_s = timedelta(days=8).total_seconds()
    found = agent_status.status(device.config, device.layout, device.clock)
    assert found["installations"][0]["trust"]["expired"] is True
    assert "ENDED" in agent_status.described(found)


def test_doctor_says_how_trust_is_and_what_to_do(device: Device, server: StandIn) -> None:
    assert finding(device).verdict is Verdict.WARNING, "a pin, and no root yet"
    device.pin()
    assert finding(device).verdict is Verdict.FAILED
    assert f"agent trust {MODEL} DIGEST" in finding(device).advice
    device.pin(MODEL)
    line = server.line(MODEL)
    good = line.timestamp
    line.sign_timestamp(timedelta(days=1))
    server.entries = [{**entry(server, OLD), "targets_version": 3}]
    line.sign_timestamp(timedelta(days=1))
    device.cycle()
    assert finding(device).verdict is Verdict.WARNING
    assert "smallfleet trust renew" in finding(device).advice
    assert good != line.timestamp
    line.sign_targets()
    server.entries = [entry(server, OLD, version="1.0.1")]
    device.cycle()
    assert finding(device).verdict is Verdict.OK
    device.layout.metadata(MODEL).write_bytes(b"{")
    assert finding(device).verdict is Verdict.FAILED

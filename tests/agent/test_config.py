"""agent.toml: every wrong value is named."""

from pathlib import Path

import pytest

from agent import config, policy
from agent.errors import WrongConfiguration
from tests.agent.device import Device

MINIMUM = 'server = "https://fleet.example.org"\nname = "gate-7"\ndevice_class = "pi5"\nmodels = ["digits"]\n'


def load(tmp_path: Path, text: str, **environment: str) -> config.Config:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    return config.load(path, {f"SMALLFLEET_AGENT_{key}": value for key, value in environment.items()})


def test_minimum_is_enough(tmp_path: Path) -> None:
    loaded = load(tmp_path, MINIMUM)
    assert loaded.state_dir == Path("/var/lib/smallfleet")
    assert loaded.bench.tier == "quick"
    assert (loaded.bench.configurations, loaded.bench.processes) == (("canonical",), None)
    assert loaded.bench.providers == ("CPUExecutionProvider",)
    assert loaded.hooks.post_activate == loaded.hooks.pre_activate == loaded.hooks.health == ()
    assert not loaded.shadow.enabled


def test_everything_is_read(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        'poll_interval_s = 2.5\nstate_dir = "/s"\n'
        + MINIMUM
        + '[attributes]\nsite = "berlin"\n[policy]\nmax_delta_wait_s = 5\n[download]\nrate_limit_bytes_per_s = 1000\n'
        '[children]\nnice = 3\n[bench]\ntier = "rapid"\nwatts = 2.5\n[hooks]\npost_activate = ["/bin/true", "x"]\n',
    )
    assert (loaded.poll_interval_s, loaded.state_dir, loaded.attributes["site"]) == (2.5, Path("/s"), "berlin")
    assert (loaded.policy.max_delta_wait_s, loaded.download.rate_limit_bytes_per_s) == (5.0, 1000)
    assert (loaded.children.nice, loaded.bench.tier, loaded.bench.watts) == (3, "rapid", 2.5)
    assert loaded.hooks.post_activate == ("/bin/true", "x")


def test_benchmark_may_have_both_configurations_and_another_provider(tmp_path: Path) -> None:
    bench = load(
        tmp_path,
        MINIMUM + '[bench]\nprocesses = 5\nconfigurations = ["device-default", "canonical"]\n'
        'providers = ["XnnpackExecutionProvider", "CPUExecutionProvider"]\n',
    ).bench
    assert (bench.configurations, bench.processes) == (("canonical", "device-default"), 5)
    assert bench.providers == ("XnnpackExecutionProvider", "CPUExecutionProvider")


def test_owners_rules_are_read(tmp_path: Path) -> None:
    nothing = load(tmp_path, MINIMUM).policy
    assert [rule.slug for rule in policy.RULES if rule.is_set(nothing)] == [], "no rule holds by itself"
    every = load(
        tmp_path,
        MINIMUM + '[policy]\nmetered = "auto"\nmetered_interfaces = ["usb*"]\nmetered_downloads = "night"\n'
        'metered_mb_per_day = 20\nmb_per_day = 200.5\nnight = "23:00-05:30"\nquiet_hours = ["07:30-12:00", "13:00-18:00"]\n'
        'free_disk_mb = 500\nbattery_percent = 30\nmax_temperature_c = 75\nbusy_hook = ["/bin/true", "x"]\n'
        "busy_timeout_s = 3\n",
    ).policy
    assert (every.metered, every.metered_downloads, every.mb_per_day) == (None, "night", 200.5)
    assert (str(every.night), [str(one) for one in every.quiet_hours]) == (
        "23:00-05:30",
        ["07:30-12:00", "13:00-18:00"],
    )
    assert {rule.slug for rule in policy.RULES if not rule.is_set(every)} == {"metered-link"}
    assert load(tmp_path, MINIMUM + "[policy]\nmetered = true\n").policy.metered is True


def test_environment_wins(tmp_path: Path) -> None:
    loaded = load(tmp_path, MINIMUM, NAME="other", POLL_INTERVAL_S="7", SERVER="http://127.0.0.1:8000/")
    assert (loaded.name, loaded.poll_interval_s, loaded.server) == ("other", 7.0, "http://127.0.0.1:8000")


@pytest.mark.parametrize("server", ["http://localhost:1", "http://[::1]:1", "https://a.example"])
def test_address_that_is_safe_is_taken(tmp_path: Path, server: str) -> None:
    assert load(tmp_path, MINIMUM, SERVER=server).server == server


def test_http_elsewhere_needs_to_be_allowed(tmp_path: Path) -> None:
    text = MINIMUM.replace("https", "http")
    with pytest.raises(WrongConfiguration, match="server"):
        load(tmp_path, text)
    assert load(tmp_path, "allow_insecure = true\n" + text).server.startswith("http://")


WRONG = [
    ("server", MINIMUM.replace("https://fleet.example.org", "fleet.example.org")),
    ("server", MINIMUM.replace("https://", "https://user@")),
    ("server", MINIMUM.partition("\n")[2]),
    ("name", MINIMUM.replace("gate-7", " ")),
    ("device_class", MINIMUM.replace('"pi5"', "5")),
    ("models", MINIMUM.replace('["digits"]', "[]")),
    ("models", MINIMUM.replace('["digits"]', '["../x"]')),
    ("models", MINIMUM.replace('["digits"]', '["a", "a"]')),
    ("models", MINIMUM.replace('["digits"]', '"digits"')),
    ("state_dir", 'state_dir = "relative"\n' + MINIMUM),
    ("poll_interval_s", "poll_interval_s = 0\n" + MINIMUM),
    ("poll_interval_s", "poll_interval_s = nan\n" + MINIMUM),
    ("attributes.site", MINIMUM + "[attributes]\nsite = 5\n"),
    ("attributes.0site", MINIMUM + '[attributes]\n0site = "x"\n'),
    ("attributes", MINIMUM + "[attributes]\n" + "".join(f'a{index} = "x"\n' for index in range(49))),
    ("device_class", MINIMUM.replace("pi5", "p" * 65)),
    ("policy.max_delta_wait_s", MINIMUM + "[policy]\nmax_delta_wait_s = -1\n"),
    *(
        (f"policy.{line.partition(' ')[0]}", f"{MINIMUM}[policy]\n{line}\n")
        for line in (
            'metered = "perhaps"',
            "metered = 1",
            'metered_downloads = "sometimes"',
            'metered_interfaces = "wwan0"',
            "metered_mb_per_day = 0",
            "mb_per_day = -1",
            'night = "22-06"',
            "night = 22",
            'quiet_hours = ["07:30-18:00", "noon"]',
            'quiet_hours = "07:30-18:00"',
            "free_disk_mb = -1",
            "battery_percent = 101",
            "max_temperature_c = 200",
            'busy_hook = ["may-work"]',
            "busy_timeout_s = 0",
        )
    ),
    ("runtime_dir", 'runtime_dir = "run"\n' + MINIMUM),
    ("download.rate_limit_bytes_per_s", MINIMUM + "[download]\nrate_limit_bytes_per_s = 0\n"),
    ("download.max_artifact_bytes", MINIMUM + "[download]\nmax_artifact_bytes = 1.5\n"),
    ("children.memory_limit_mib", MINIMUM + "[children]\nmemory_limit_mib = 1\n"),
    ("children", "children = 4\n" + MINIMUM),
    ("bench.tier", MINIMUM + '[bench]\ntier = "slow"\n'),
    ("bench.configurations", MINIMUM + '[bench]\nconfigurations = ["fastest"]\n'),
    ("bench.configurations", MINIMUM + '[bench]\nconfigurations = ["canonical", "canonical"]\n'),
    ("bench.processes", MINIMUM + "[bench]\nprocesses = 21\n"),
    ("bench.providers", MINIMUM + '[bench]\nproviders = ["A", "A"]\n'),
    ("bench.enabled", MINIMUM + '[bench]\nenabled = "yes"\n'),
    ("tls.ca_file", MINIMUM + '[tls]\nca_file = "/does/not/exist"\n'),
    ("hooks.post_activate", MINIMUM + '[hooks]\npost_activate = "reboot"\n'),
    ("hooks.post_activate", MINIMUM + '[hooks]\npost_activate = ["reboot"]\n'),
    ("hooks.pre_activate", MINIMUM + '[hooks]\npre_activate = ["./ask"]\n'),
    ("hooks.health", MINIMUM + '[hooks]\nhealth = ["is-well"]\n'),
    ("hooks.health_checks", MINIMUM + "[hooks]\nhealth_checks = 0\n"),
    ("hooks.timeout_s", MINIMUM + "[hooks]\ntimeout_s = 0\n"),
    ("shadow.inputs", MINIMUM + '[shadow]\ninputs = "recent"\n'),
    ("shadow.max_disagreement", MINIMUM + "[shadow]\nmax_disagreement = 5\n"),
    ("shadow.max_samples", MINIMUM + "[shadow]\nmin_samples = 10\nmax_samples = 9\n"),
    ("shadow.max_latency", MINIMUM + "[shadow]\nmax_latency = 9\n"),
    ("polcy", MINIMUM + "[polcy]\n"),
    ("download.rate_limit", MINIMUM + "[download]\nrate_limit = 5\n"),
]


@pytest.mark.parametrize(("key", "text"), WRONG)
def test_wrong_value_names_its_key(tmp_path: Path, key: str, text: str) -> None:
    with pytest.raises(WrongConfiguration) as caught:
        load(tmp_path, text)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MINIMUM + "[polcy]\n", "did you mean policy?"),
        (MINIMUM + '[policy]\nquite_hours = ["22:00-06:00"]\n', "did you mean quiet_hours?"),
        (MINIMUM + "[policy]\nmb_per_dya = 5\n", "did you mean mb_per_day?"),
        (MINIMUM.replace("name =", "title ="), "name: is missing"),
        ("server = ", "cannot be read as TOML"),
    ],
)
def test_message_helps_who_mistyped(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(WrongConfiguration) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)


def test_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongConfiguration, match=r"agent\.toml: cannot be read: No such file or directory"):
        config.load(tmp_path / "agent.toml", {})


def test_wrong_environment_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(WrongConfiguration, match="poll_interval_s"):
        load(tmp_path, MINIMUM, POLL_INTERVAL_S="often")


def test_command_ends_with_2_and_names_the_key(device: Device) -> None:
    device.configure('[bench]\ntier = "never"\n')
    ended = device.run("once")
    assert ended.returncode == 2
    assert "bench.tier" in ended.stderr

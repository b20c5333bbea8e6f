"""What the checking child believes, played by each thief: news documents in, an answer out. The attacks on a whole agent are in tests/attacks."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile

from agent.trust import child
from agent.trust.files import NEWS_FILE, QUESTION_FILE, ROLES, VERIFIED_FILE
from tests.agent.repository import Repository
from tests.agent.standin import sha256
from tests.factories.trust import SignedLine, make_target, new_key

LINE = "digits"


@dataclass
class Believer:
    """A device as far as the child sees it: what it trusts, and the next question."""

    folder: Path
    pin: str
    files: Mapping[str, str] = field(default_factory=dict)
    asked: int = 0

    def hear(self, news: object) -> dict[str, Any]:
        """Check news on top of what is trusted, and trust what was verified."""
        self.asked += 1
        work = self.folder / str(self.asked)
        work.mkdir()
        question = {"model": LINE, "pin": self.pin, **{role: self.files.get(role) for role in ROLES}}
        (work / QUESTION_FILE).write_text(json.dumps(question))
        (work / NEWS_FILE).write_bytes(news if isinstance(news, bytes) else json.dumps(news).encode())
        answer = child.check(work)
        left = json.loads((work / VERIFIED_FILE).read_text()) if answer["root"] else {}
        verified = left.pop("says", None)
        self.files = {**self.files, **left}
        return {**answer, "verified": verified}

    def refusal(self, news: object) -> str | None:
        """The slug with which news is refused; nothing of it may be trusted then."""
        before = self.files
        answer = self.hear(news)
        assert answer["verified"] is None
        if not answer["root"]:
            assert self.files == before
        return str(answer["error"])


def target(version: str = "1.0.0", model: str = LINE, **custom: Any) -> TargetFile:
    return make_target(model, version, "fp32", version.encode(), contract=b"{}", **custom)


@pytest.fixture
def line() -> Repository:
    made = Repository(LINE)
    made.publish(target())
    return made


@pytest.fixture
def device(line: Repository, tmp_path: Path) -> Believer:
    believer = Believer(tmp_path, sha256(line.roots[0].encode()))
    assert believer.hear(line.news())["error"] is None
    return believer


def test_first_news_is_believed_from_the_pinned_root_on(line: Repository, tmp_path: Path) -> None:
    line.rotate()
    line.rotate()
    for root in line.roots:
        (tmp_path / sha256(root.encode())).mkdir()
        answer = Believer(tmp_path / sha256(root.encode()), sha256(root.encode())).hear(line.news())
        assert answer["error"] is None
        assert answer["verified"]["versions"] == {"root": 3, "timestamp": 4, "snapshot": 4, "targets": 2}
        [said] = answer["verified"]["targets"]
        assert (said["version"], said["sha256"], said["size_bytes"]) == ("1.0.0", sha256(b"1.0.0"), 5)


def test_signed_words_are_read_as_numbers(device: Believer, line: Repository) -> None:
    tolerances = {"atol": "0.001", "min_agreement": "0.98"}
    limits, classes = {"p50_latency_ns": 2_000_000}, ["pi4", "pi5"]
    line.publish(target("1.1.0", tolerances=tolerances, limits=limits, device_classes=classes, downgrade=True))
    [_old, said] = device.hear(line.news())["verified"]["targets"]
    assert said["tolerances"] == {"atol": 0.001, "min_agreement": 0.98}
    assert (said["limits"], said["device_classes"], said["downgrade"]) == (limits, classes, True)


def test_news_may_leave_out_what_is_known(device: Believer, line: Repository) -> None:
    line.sign_timestamp()
    assert device.hear({"roots": [], "timestamp": line.timestamp})["error"] is None
    assert device.hear({"roots": []})["error"] is None, "nothing new is no error"


def test_wrong_pin_is_no_beginning(line: Repository, tmp_path: Path) -> None:
    assert Believer(tmp_path, "ab" * 32).refusal(line.news()) == "pin-unmatched"


def test_root_of_another_line_is_no_beginning(tmp_path: Path) -> None:
    other = Repository("words")
    assert Believer(tmp_path, sha256(other.roots[0].encode())).refusal(other.news()) == "wrong-line"


# --- What a thief of the online keys can try --------------------------------------------------------------------------------------------


def test_older_timestamp_is_a_rollback(device: Believer, line: Repository) -> None:
    old = line.timestamp
    line.sign_timestamp()
    device.hear(line.news())
    assert device.refusal({"roots": [], "timestamp": old}) == "older"


def test_newer_timestamp_over_an_older_list_is_a_rollback(device: Believer, line: Repository) -> None:
    old = line.targets
    line.publish(target("1.1.0"))
    device.hear(line.news())
    line.sign_snapshot(targets=2)
    assert device.refusal({**line.news(), "targets": old}) == "older"


def test_older_list_in_the_place_of_the_newest_is_refused(device: Believer, line: Repository) -> None:
    old = line.targets
    line.publish(target("1.1.0"))
    assert device.refusal({**line.news(), "targets": old}) == "older"


def test_withheld_parts_make_the_rest_no_news(device: Believer, line: Repository) -> None:
    line.publish(target("1.1.0"))
    news = line.news()
    for role in ("snapshot", "targets"):
        assert device.refusal({key: text for key, text in news.items() if key != role}) == "incomplete"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_what_has_expired_is_refused(device: Believer, line: Repository, role: str) -> None:
    over = timedelta(seconds=-1)
    expire: dict[str, Callable[[], None]] = {
        "timestamp": lambda: line.sign_timestamp(over),
        "snapshot": lambda: line.sign_snapshot(over),
        "targets": lambda: line.sign_targets(life=over),
    }
    expire[role]()
    assert device.refusal(line.news()) == "expired"


def test_fast_forward_is_undone_by_new_online_keys(device: Believer, line: Repository) -> None:
    """A thief lifts the versions as high as they go; the owner's new root takes the stolen keys, and what they signed, away."""
    honest = dict(line.versions)
    line.versions.update(timestamp=2**31, snapshot=2**31)
    line.sign_snapshot()
    assert device.hear(line.news())["verified"]["versions"]["timestamp"] == 2**31 + 1
    line.versions.update(honest)
    line.sign_snapshot()
    assert device.refusal(line.news()) == "older"
    line.new_online_keys()
    answer = device.hear(line.news())
    assert (answer["error"], answer["verified"]["versions"]["timestamp"]) == (None, honest["timestamp"] + 2)


def test_revoked_publisher_signs_nothing_any_more(device: Believer, line: Repository) -> None:
    """Also where the server brings the new root alone: it is kept, and the list under the stolen key is worth nothing."""
    stolen, fresh = line.signed.publishers, [new_key()]

    def change(root: Any) -> None:
        root.revoke_key(stolen[0].public_key.keyid, "targets")
        root.add_key(fresh[0].public_key, "targets")

    line.rotate(change)
    answer = device.hear(line.news())
    assert (answer["error"], answer["root"], answer["verified"]) == ("unsigned", True, None)
    assert json.loads(device.files["root"])["signed"]["version"] == 2
    line.publish(target("6.6.6"))
    assert device.refusal(line.news()) == "unsigned"
    line.signed.publishers = fresh
    line.publish(target("1.1.0"))
    assert device.hear(line.news())["error"] is None


@pytest.mark.parametrize("thief", ["foreign", "snapshot", "timestamp"])
def test_list_under_another_key_is_unsigned(device: Believer, line: Repository, thief: str) -> None:
    keys = {"foreign": new_key(), "snapshot": line.snapshot_key, "timestamp": line.timestamp_key}
    line.publish(target("6.6.6"), publishers=[keys[thief]])
    assert device.refusal(line.news()) == "unsigned"


def test_next_root_without_the_last_ones_key_is_unsigned(device: Believer, line: Repository) -> None:
    owner = line.signed.root_keys
    line.signed.root_keys = [new_key()]
    line.rotate()
    line.signed.root_keys = owner
    assert device.refusal({**line.news(), "roots": line.roots[1:]}) == "unsigned"
    assert json.loads(device.files["root"])["signed"]["version"] == 1


# --- Publishers of other lines, and what no line of this product signs ------------------------------------------------------------------


def test_list_of_another_line_is_refused_though_the_keys_are_the_same(device: Believer, line: Repository) -> None:
    line.publish(target("2.0.0", model="words"))
    assert device.refusal(line.news()) == "wrong-line"


def test_next_root_for_another_line_is_refused_and_not_kept(device: Believer, line: Repository) -> None:
    line.rotate(lambda root: root.unrecognized_fields.update(model="words"))
    assert device.refusal(line.news()) == "wrong-line"
    assert json.loads(device.files["root"])["signed"]["version"] == 1


def test_target_under_another_name_than_its_own_is_refused(device: Believer, line: Repository) -> None:
    odd = target("2.0.0")
    odd.path = "1.0.0/int8"
    line.publish(odd)
    assert device.refusal(line.news()) == "wrong-path"


def test_more_targets_than_may_be_live_are_refused(device: Believer, line: Repository) -> None:
    line.publish(*(target(f"1.{minor}.0") for minor in range(33)))
    assert device.refusal(line.news()) == "too-many"


def test_delegation_is_refused(device: Believer, line: Repository) -> None:
    friend = new_key()
    role = DelegatedRole("friend", [friend.public_key.keyid], 1, terminating=False, paths=["*"])
    line.signed.targets.delegations = Delegations({friend.public_key.keyid: friend.public_key}, {"friend": role})
    line.sign_targets()
    assert device.refusal(line.news()) == "delegation"


@pytest.mark.parametrize("missing", ["model", "version", "variant", "contract"])
def test_target_that_lacks_a_signed_word_is_refused(device: Believer, line: Repository, missing: str) -> None:
    odd = target("2.0.0")
    del odd.unrecognized_fields["custom"][missing]
    line.publish(odd)
    assert device.refusal(line.news()) == "malformed"


@pytest.mark.parametrize(
    "news",
    [
        b"",
        b"no JSON",
        b"[]",
        b"7",
        b"[" * 200_000,
        {"roots": {}},
        {"roots": ["{}"]},
        {"roots": ["[" * 100_000]},
        {"roots": ["x"] * 65},
        {"timestamp": {"signed": {}}},
        {"timestamp": "{}"},
        {"timestamp": "x" * 20_000},
    ],
    ids=lambda news: repr(news)[:30],
)
def test_news_that_are_none_are_refused(device: Believer, news: object) -> None:
    assert device.refusal(news) in {"malformed", "invalid", "too-long"}


def test_too_long_files_are_refused(device: Believer, line: Repository) -> None:
    line.publish(target("1.1.0", note="x" * (300 << 10)))
    assert device.refusal(line.news()) == "too-long"


def test_thieves_of_other_lines_share_no_root(line: Repository, tmp_path: Path) -> None:
    """One owner, one publisher, one server: the same keys for two lines, and yet no root of one is a root of the other."""
    other = Repository("words", snapshot_key=line.snapshot_key, timestamp_key=line.timestamp_key)
    other.signed = SignedLine("words", other.online(), line.signed.root_keys, line.signed.publishers)
    assert Believer(tmp_path, sha256(other.signed.root_bytes())).refusal(
        {**other.news(), "roots": [other.signed.root_bytes().decode()]}
    ) in {"wrong-line", "unsigned"}

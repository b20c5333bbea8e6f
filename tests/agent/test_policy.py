"""The owner's rules, one row each: which activity each holds back, when it does, and when it is worth asking again."""

from dataclasses import replace

import pytest

from agent import policy
from agent.conditions import Conditions, Look
from agent.config import Policy
from agent.hours import Hours
from agent.policy import Activity, LookAt, Refused, grant_bytes, permit

ALL = frozenset(Look)
DAY, EVENING, NIGHT = 10 * 3600.0, 21.5 * 3600.0, 2 * 3600.0
MB = policy.MB

NEVER = Policy(metered_downloads="never")
AT_NIGHT = Policy(metered_downloads="night")
CAPPED = Policy(metered_mb_per_day=20)
DAILY = Policy(mb_per_day=200)
FLOOR = Policy(free_disk_mb=500)
BATTERY = Policy(battery_percent=30)
COOL = Policy(max_temperature_c=75)
QUIET = Policy(quiet_hours=(Hours.parse("07:30-12:00"), Hours.parse("23:00-01:00")))
BUSY = Policy(busy_hook=("/hook",))

# Policy, what was seen, and the rule that refuses a download, or None.
DOWNLOADS: dict[str, tuple[Policy, Conditions, str | None]] = {
    "metered, never": (NEVER, Conditions(is_metered=True), "metered-link"),
    "not metered": (NEVER, Conditions(), None),
    "metered by day": (AT_NIGHT, Conditions(is_metered=True, time_of_day_s=DAY), "metered-night"),
    "metered at night": (AT_NIGHT, Conditions(is_metered=True, time_of_day_s=NIGHT), None),
    "not metered by day": (AT_NIGHT, Conditions(time_of_day_s=DAY), None),
    "metered under a clock that was never set": (AT_NIGHT, Conditions(is_metered=True), None),
    "metered, budget spent": (CAPPED, Conditions(is_metered=True, metered_today_bytes=20 * MB), "metered-budget"),
    "metered, a little left": (CAPPED, Conditions(is_metered=True, metered_today_bytes=20 * MB - 4096), None),
    "metered, less than a request left": (
        CAPPED,
        Conditions(is_metered=True, metered_today_bytes=20 * MB - 4095),
        "metered-budget",
    ),
    "metered budget spent, other link": (CAPPED, Conditions(metered_today_bytes=30 * MB), None),
    "much over another link, metered budget untouched": (
        CAPPED,
        Conditions(is_metered=True, today_bytes=900 * MB),
        None,
    ),
    "day's budget spent": (DAILY, Conditions(today_bytes=200 * MB), "day-budget"),
    "day's budget not spent": (DAILY, Conditions(today_bytes=199 * MB), None),
    "disk would be too full": (FLOOR, Conditions(free_bytes=600 * MB, needs_bytes=101 * MB), "free-disk"),
    "disk would be just free enough": (FLOOR, Conditions(free_bytes=600 * MB, needs_bytes=100 * MB), None),
    "disk that does not say": (FLOOR, Conditions(), None),
    "low battery": (BATTERY, Conditions(battery_percent=29), "battery"),
    "enough battery": (BATTERY, Conditions(battery_percent=30), None),
    "no battery, or mains": (BATTERY, Conditions(), None),
    "hot device may fetch": (COOL, Conditions(temperature_c=99), None),
    "quiet hours may fetch": (QUIET, Conditions(time_of_day_s=DAY), None),
    "busy device may fetch": (BUSY, Conditions(busy="no"), None),
    "first rule that refuses is named": (
        replace(NEVER, battery_percent=30),
        Conditions(is_metered=True, battery_percent=3),
        "metered-link",
    ),
    "nothing configured": (Policy(), Conditions(is_metered=True, battery_percent=1, temperature_c=140), None),
    "said not to be metered": (replace(NEVER, metered=False), Conditions(is_metered=True), None),
}


def verdict(activity: Activity, rules: Policy, seen: Conditions) -> Refused | None:
    answer = permit(activity, rules, replace(seen, looked=ALL))
    assert not isinstance(answer, LookAt)
    return answer


@pytest.mark.parametrize("name", DOWNLOADS)
def test_download(name: str) -> None:
    rules, seen, expected = DOWNLOADS[name]
    answer = verdict(Activity.DOWNLOAD, rules, seen)
    assert (None if answer is None else answer.rule) == expected


# What a device does; the whole of an installation is held back by signed metadata alone.
CARRIED_OUT = set(Activity) - {Activity.INSTALL}

OTHERS: dict[str, tuple[Policy, Conditions, set[Activity]]] = {
    "metered": (NEVER, Conditions(is_metered=True), {Activity.DOWNLOAD}),
    "budget": (DAILY, Conditions(today_bytes=300 * MB), {Activity.DOWNLOAD}),
    "disk": (FLOOR, Conditions(free_bytes=0), {Activity.DOWNLOAD, Activity.APPLY}),
    "battery": (BATTERY, Conditions(battery_percent=1), CARRIED_OUT - {Activity.ACTIVATE}),
    "hot": (COOL, Conditions(temperature_c=75.1), {Activity.APPLY, Activity.TRY, Activity.BENCHMARK}),
    "quiet": (QUIET, Conditions(time_of_day_s=DAY), {Activity.ACTIVATE, Activity.BENCHMARK}),
    "quiet over midnight": (QUIET, Conditions(time_of_day_s=0), {Activity.ACTIVATE, Activity.BENCHMARK}),
    "between quiet hours": (QUIET, Conditions(time_of_day_s=EVENING), set()),
    "quiet hours under a clock that was never set": (QUIET, Conditions(), set()),
    "busy": (BUSY, Conditions(busy="no"), CARRIED_OUT - {Activity.DOWNLOAD}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_rule_holds_back_its_activities_and_no_other(name: str) -> None:
    rules, seen, held = OTHERS[name]
    assert {activity for activity in Activity if verdict(activity, rules, seen)} == held


def test_every_rule_has_a_row_above() -> None:
    answers = [verdict(Activity.DOWNLOAD, rules, seen) for rules, seen, _rule in DOWNLOADS.values()]
    answers += [verdict(activity, rules, seen) for rules, seen, _held in OTHERS.values() for activity in Activity]
    assert {answer.rule for answer in answers if answer} == {rule.slug for rule in policy.RULES}


def test_a_rule_asks_for_what_it_needs_and_the_executable_last() -> None:
    rules = replace(COOL, busy_hook=("/hook",))
    assert permit(Activity.TRY, rules, Conditions()) == LookAt(frozenset({Look.TEMPERATURE}))
    cool = Conditions(looked=frozenset({Look.TEMPERATURE}), temperature_c=20)
    assert permit(Activity.TRY, rules, cool) == LookAt(frozenset({Look.HOOK}))
    assert isinstance(permit(Activity.TRY, rules, replace(cool, temperature_c=90)), Refused), (
        "and it is not asked at all"
    )
    assert permit(Activity.TRY, Policy(), Conditions()) is None, "nothing is looked at where nothing is configured"


def test_refusal_says_when_to_ask_again() -> None:
    metered = Conditions(is_metered=True, time_of_day_s=EVENING + 1200)
    assert verdict(Activity.DOWNLOAD, AT_NIGHT, metered).look_again_s == 600  # type: ignore[union-attr]
    by_day = replace(metered, time_of_day_s=DAY)
    assert verdict(Activity.DOWNLOAD, AT_NIGHT, by_day).look_again_s == policy.LOOK_AT_CLOCK_S  # type: ignore[union-attr]
    ending = Conditions(time_of_day_s=12 * 3600 - 5.0)
    assert verdict(Activity.ACTIVATE, QUIET, ending).look_again_s == 5  # type: ignore[union-attr]
    spent = Conditions(today_bytes=300 * MB, time_of_day_s=86_400 - 30.0)
    assert verdict(Activity.DOWNLOAD, DAILY, spent).look_again_s == 30  # type: ignore[union-attr]
    assert verdict(Activity.TRY, BUSY, Conditions(busy="no")).look_again_s == policy.LOOK_AGAIN_S  # type: ignore[union-attr]


def test_detail_names_no_figure_that_changes_by_itself() -> None:
    """Each change of it is a message to the server."""
    details = {verdict(Activity.TRY, COOL, Conditions(temperature_c=at)).detail for at in (76.0, 91.5)}  # type: ignore[union-attr]
    details |= {verdict(Activity.TRY, BATTERY, Conditions(battery_percent=at)).detail for at in (3, 5)}  # type: ignore[union-attr]
    assert details == {"try waits: hotter than 75 °C", "try waits: on battery below 30 %"}


@pytest.mark.parametrize(
    ("rules", "seen", "wanted", "granted"),
    [
        (Policy(), Conditions(), 5 * MB, 5 * MB),
        (NEVER, Conditions(), 5 * MB, policy.SLICE_BYTES),
        (NEVER, Conditions(), 1000, 1000),
        (DAILY, Conditions(today_bytes=200 * MB - 10_000), 5 * MB, 10_000 - policy.HEAD_BYTES),
        (replace(CAPPED, mb_per_day=200), Conditions(is_metered=True, metered_today_bytes=20 * MB - 8000), MB, 5952),
        (replace(CAPPED, mb_per_day=200), Conditions(metered_today_bytes=20 * MB - 8000), 900_000, 900_000),
    ],
)
def test_grant(rules: Policy, seen: Conditions, wanted: int, granted: int) -> None:
    assert grant_bytes(rules, seen, wanted) == granted


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [("22:00-06:00", (22.0, 23.99, 0.0, 5.99), (6.0, 12.0, 21.99)), ("07:30-18:00", (7.5, 17.99), (7.49, 18.0, 0.0))],
)
def test_hours(text: str, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    hours = Hours.parse(text)
    assert str(hours) == text
    assert all(hours.contain(at * 3600) for at in inside)
    assert not any(hours.contain(at * 3600) for at in outside)


@pytest.mark.parametrize("text", ["", "22-06", "24:00-06:00", "22:00-22:00", "22:60-23:00", " 22:00-06:00"])
def test_hours_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Hours.parse(text)


def test_owner_beside_the_device_has_no_rules_and_a_file_has_no_link() -> None:
    rules = replace(NEVER, mb_per_day=1, quiet_hours=QUIET.quiet_hours, max_delta_wait_s=7)
    spent = Conditions(is_metered=True, today_bytes=9 * MB, time_of_day_s=DAY)
    offline = policy.without_link_rules(rules)
    assert verdict(Activity.DOWNLOAD, offline, spent) is None
    assert verdict(Activity.ACTIVATE, offline, spent) is not None
    assert policy.without_rules(rules) == Policy(max_delta_wait_s=7)

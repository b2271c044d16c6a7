"""Settings: defaults, where values come from, and what is said about wrong ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from qe_core.config import (
    LoadedSettings,
    Settings,
    configured_database_url,
    configured_team_url,
    configured_webhook_url,
    flatten,
    load_settings,
    project_home,
    settings_file,
    settings_schema,
)
from qe_core.errors import ConfigError
from qe_core.hierarchy.aggregate import ValueKind
from qe_core.hierarchy.lookup import LookupSettings
from qe_core.hierarchy.negative_transfer import HarmSettings
from qe_core.hierarchy.transfer import TransferSettings
from qe_core.learning.convergence import ConvergenceSettings
from qe_core.learning.exploration import schedule_from_state
from qe_core.learning.q_table import ConfidenceSettings
from qe_core.learning.updates import LearningRate

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no settings file."""
    monkeypatch.chdir(tmp_path)


def write(content: Any, name: str = "learning.json") -> Path:
    """Write a settings file into the working directory."""
    path = Path(name)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def origin(loaded: LoadedSettings, key: str) -> str:
    return str(loaded.origins[key])


def test_without_file_and_environment_everything_is_default() -> None:
    loaded = load_settings()
    assert loaded.values == Settings()
    assert {str(where) for where in loaded.origins.values()} == {"default"}
    assert list(loaded.origins) == list(flatten(loaded.values))


def test_the_shipped_settings_file_spells_out_exactly_the_defaults() -> None:
    shipped = json.loads((REPOSITORY / "learning.json").read_text(encoding="utf-8"))
    assert shipped == Settings().model_dump(mode="json")
    assert load_settings(REPOSITORY / "learning.json").values == Settings()


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write({"learning": {"discount": 0.9, "learning_rate_min": 0.05}})
    monkeypatch.setenv("QE_LEARNING__DISCOUNT", "0.8")
    loaded = load_settings()
    assert (loaded.values.learning.discount, loaded.values.learning.learning_rate_min) == (0.8, 0.05)
    assert loaded.values.learning.learning_rate_exponent == 0.7
    assert origin(loaded, "learning.discount") == "environment QE_LEARNING__DISCOUNT"
    assert origin(loaded, "learning.learning_rate_min") == "file learning.json"
    assert origin(loaded, "learning.learning_rate_exponent") == "default"


def test_nested_settings_can_be_overridden_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QE_REWARDS__WEIGHTS__DEFECTS_FOUND", "0.35")
    monkeypatch.setenv("QE_REWARDS__WEIGHTS__COVERAGE_GAIN", "0.2")
    monkeypatch.setenv("QE_EXPLORATION__SCHEDULE", "reward_based")
    monkeypatch.setenv("qe_pipelines__replay_training_cron", "*/5 0-6,22 * * 1-5")
    loaded = load_settings()
    assert loaded.values.rewards.weights.defects_found == 0.35
    assert loaded.values.exploration.schedule == "reward_based"
    assert loaded.values.pipelines.replay_training_cron == "*/5 0-6,22 * * 1-5"
    assert origin(loaded, "rewards.weights.coverage_gain").startswith("environment")


def test_variables_of_places_are_not_taken_for_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QE_DATABASE_URL", "postgresql://me@host/qe")
    monkeypatch.setenv("QE_HOME", "/srv/qe")
    assert load_settings().values == Settings()


def test_a_file_may_be_named_in_the_call_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    write({"replay": {"seed": 1}})
    named = write({"replay": {"seed": 2}}, "other.json")
    assert load_settings(named).values.replay.seed == 2
    monkeypatch.setenv("QE_SETTINGS", "other.json")
    assert load_settings().values.replay.seed == 2
    assert settings_file() == Path("other.json")


BAD_FILES: list[tuple[Any, str]] = [
    ("{", "is not JSON: Expecting property name .* at line 1, column 2"),
    ("[1]", r"must hold one JSON object of sections, not \[1\]"),
    ('{"learning": {"discount": 1, "discount": 0}}', "key 'discount' occurs twice in one object"),
    ('{"learning": {"discount": NaN}}', "discount = nan is not allowed; it must be a number at least 0"),
    ({"lerning": {}}, "file learning.json: lerning is not a setting; did you mean learning"),
    ({"learning": {"discout": 0.9}}, "learning.discout is not a setting; did you mean discount"),
    ({"learning": {"gamma": 0.9}}, "learning.gamma is not a setting; known: discount, "),
    ({"learning": {"discount": 1.0}}, "learning.discount = 1.0 .*must be a number at least 0 and below 1"),
    ({"learning": {"discount": "high"}}, "learning.discount = 'high' .*must be a number"),
    ({"learning": 5}, "learning = 5 must be an object with the keys discount, "),
    ({"learning": {"learning_rate_exponent": 0.5}}, "a number above 0.5 and at most 1"),
    ({"learning": {"noise_weight_targets": 0}}, "must be a number above 0"),
    ({"exploration": {"schedule": "linear"}}, "one of 'exponential', 'step', 'reward_based'"),
    ({"exploration": {"rate_min": 0.5}}, "exploration: rate_min 0.5 must not exceed rate_initial 0.2"),
    ({"replay": {"capacity_transitions": 10_000_001}}, "whole number at least 32 and at most 1e.07"),
    ({"replay": {"batch_transitions": 1.5}}, "replay.batch_transitions = 1.5 .*a whole number"),
    (
        {"replay": {"capacity_transitions": 32, "batch_transitions": 64}},
        "64 must not exceed capacity_transitions 32",
    ),
    (
        {"rewards": {"weights": {"speed": 1}}},
        "rewards.weights.speed is not a setting; did you mean execution_speed",
    ),
    (
        {"rewards": {"weights": {"coverage_gain": 0.5}}},
        "rewards.weights: the six weights must sum to 1, .* 1.2",
    ),
    ({"retention": {"experiences_days": 0}}, "a whole number at least 1 and at most 3650"),
    ({"pipelines": {"statistics_cron": "hourly"}}, "statistics_cron = 'hourly': must be five cron fields"),
    (
        {"convergence": {"maximum_windows": 5}},
        "convergence: maximum_windows 5 must not be below window_count 10",
    ),
    ({"convergence": {"min_success_rate": None}}, "min_success_rate = None is not allowed"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES, ids=[message for _, message in BAD_FILES])
def test_a_wrong_file_names_file_key_value_and_what_is_allowed(content: Any, message: str) -> None:
    write(content)
    with pytest.raises(ConfigError, match=message) as refused:
        load_settings()
    assert "learning.json" in str(refused.value)


def test_all_mistakes_are_reported_at_once() -> None:
    write({"learning": {"discount": 2, "gamma": 1}, "replay": {"seed": -1}})
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert len(str(refused.value).splitlines()) == 3


BAD_VARIABLES = [
    ("QE_LEARNING__DISCOUNT", "2", "environment QE_LEARNING__DISCOUNT: learning.discount = '2' .*below 1"),
    ("QE_LEARNING__GAMMA", "0.9", "QE_LEARNING__GAMMA: learning.gamma is not a setting; known: discount"),
    (
        "QE_LERNING__DISCOUNT",
        "0.9",
        "QE_LERNING__DISCOUNT: 'lerning' is not a section.*did you mean learning",
    ),
    ("QE_REPLAY__STRATEGY", "greedy", "QE_REPLAY__STRATEGY: .*one of 'uniform', 'prioritized'"),
    ("QE_REWARDS__WEIGHTS__PATTERN_REUSE", "0.9", "the six weights must sum to 1"),
    ("QE_REPLAY", "{nonsense", "QE_REPLAY .*is not JSON"),
]


@pytest.mark.parametrize(("variable", "value", "message"), BAD_VARIABLES)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=message):
        load_settings()


def test_a_named_file_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QE_SETTINGS", "lerning.json")
    with pytest.raises(
        ConfigError, match=r"settings file lerning.json does not exist; create it or unset QE_SETTINGS"
    ):
        load_settings()


def test_a_file_that_cannot_be_read_is_an_error() -> None:
    Path("folder.json").mkdir()
    with pytest.raises(ConfigError, match=r"settings file folder.json cannot be read"):
        load_settings(Path("folder.json"))
    Path("latin.json").write_bytes(b'{"\xe9": 1}')
    with pytest.raises(ConfigError, match=r"settings file latin.json cannot be read.*utf-8"):
        load_settings(Path("latin.json"))


def test_settings_cannot_be_changed_and_do_not_read_the_environment_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QE_LEARNING__DISCOUNT", "0.5")
    settings = Settings()
    assert settings.learning.discount == 0.95
    with pytest.raises(ValueError, match="frozen"):
        settings.learning.discount = 0.5  # type: ignore[misc]


def test_every_setting_and_section_says_what_it_is() -> None:
    def undescribed(model: type[BaseModel], prefix: str = "") -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            if not field.description:
                found.append(prefix + name)
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                found += undescribed(field.annotation, f"{prefix}{name}.")
        return found

    assert undescribed(Settings) == []
    assert settings_schema()["additionalProperties"] is False


def test_keys_are_flat_and_in_the_order_of_declaration() -> None:
    keys = list(flatten(Settings()))
    assert keys[0] == "learning.discount"
    assert "rewards.weights.coverage_gain" in keys
    assert keys[-1] == "pipelines.sensor_interval_seconds"


def test_defaults_agree_with_the_learning_core() -> None:
    settings = Settings()
    learning, exploration = settings.learning, settings.exploration
    assert LearningRate() == LearningRate(
        learning.learning_rate_initial, learning.learning_rate_min, learning.learning_rate_exponent
    )
    assert ConfidenceSettings() == ConfidenceSettings(
        learning.prior_variance_points2, learning.noise_variance_points2, learning.noise_weight_targets
    )
    convergence = settings.convergence.model_dump()
    convergence["stale_after_seconds"] = convergence.pop("stale_after_days") * 86_400
    assert ConvergenceSettings(**convergence) == ConvergenceSettings()
    hierarchy = settings.hierarchy
    factors = (hierarchy.minimum_visits, hierarchy.category_factor, hierarchy.fleet_factor)
    assert LookupSettings(*factors, ValueKind(hierarchy.shared_values)) == LookupSettings()
    transfer = settings.transfer
    assert TransferSettings(transfer.minimum_confidence, transfer.factor) == TransferSettings()
    assert HarmSettings(transfer.harm_error_rate) == HarmSettings()
    rates = {"initial": exploration.rate_initial, "final": exploration.rate_min}
    for kind, extra in (
        ("exponential", {"decay": exploration.decay_per_episode}),
        ("step", {"factor": exploration.step_factor, "every": exploration.step_episodes}),
        (
            "reward_based",
            {
                "steps": exploration.reward_steps,
                "bar": exploration.reward_bar_initial_points,
                "bar_step": exploration.reward_bar_step_points,
            },
        ),
    ):
        assert schedule_from_state({"kind": kind}) == schedule_from_state({"kind": kind, **rates, **extra})


def test_the_home_is_below_the_working_directory_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert project_home() == Path.cwd() / ".qe"
    monkeypatch.setenv("QE_HOME", "~/somewhere")
    monkeypatch.setenv("HOME", "/home/me")
    assert project_home() == Path("/home/me/somewhere")


def test_a_blank_database_url_means_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_database_url() is None
    monkeypatch.setenv("QE_DATABASE_URL", "  ")
    assert configured_database_url() is None
    monkeypatch.setenv("QE_DATABASE_URL", " postgresql://me@host/qe ")
    assert configured_database_url() == "postgresql://me@host/qe"


@pytest.mark.parametrize(
    ("variable", "configured"),
    [("QE_ALERT_WEBHOOK_URL", configured_webhook_url), ("QE_TEAM_URL", configured_team_url)],
)
def test_a_secret_address_is_named_by_the_environment_or_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, configured: Callable[[], str | None]
) -> None:
    assert configured() is None
    file = write("https://hooks.example/secret\n", "webhook")
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    assert configured() == "https://hooks.example/secret"
    monkeypatch.setenv(variable, "https://hooks.example/other")
    assert configured() == "https://hooks.example/other"
    monkeypatch.delenv(variable)
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=f"{variable}_FILE names cannot be read"):
        configured()


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"looking": ["visual-tester"]}, "must name two or more different agents"),
        ({"looking": ["visual-tester", "visual-tester"]}, "must name two or more different agents"),
        ({" ": ["visual-tester", "chaos-engineer"]}, "a similarity group needs a name"),
    ],
)
def test_similarity_groups_of_the_settings_are_checked(groups: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate({"transfer": {"groups": groups}})


def test_a_similarity_group_may_be_added_or_removed_by_settings() -> None:
    groups = {"looking": ["visual-tester", "chaos-engineer"], "security": []}
    chosen = Settings.model_validate({"transfer": {"groups": groups}}).transfer.groups
    assert chosen == {"looking": ("visual-tester", "chaos-engineer"), "security": ()}

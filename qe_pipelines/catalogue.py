"""What every asset shows in the catalogue: its stage, its owner and the columns of the table it stands for.

What belongs here: words and constants about assets. What does not: computing anything.
"""

import dagster as dg

OWNERS = ["team:qe-fleet"]


class Stage:
    """Groups of assets, named so that they sort in the order of the flow."""

    EXPERIENCES = "stage_1_experiences"
    TEAM = "stage_2_team_sync"
    Q_TABLES = "stage_3_q_tables"
    CONVERGENCE = "stage_4_convergence"
    ROLLOUT = "stage_5_rollout"
    REPORTING = "stage_6_reporting"
    MAINTENANCE = "stage_7_maintenance"
    EXPERIMENTS = "stage_8_experiments"


def table_columns(**columns: tuple[str, str]) -> dict[str, dg.TableSchemaMetadataValue]:
    """Return a table schema as metadata, from (type, description) by column name."""
    schema = dg.TableSchema(
        [dg.TableColumn(name, kind, description) for name, (kind, description) in columns.items()]
    )
    return {"dagster/column_schema": dg.MetadataValue.table_schema(schema)}


EXPERIENCE_COLUMNS = table_columns(
    experience_id=("bigint", "number in order of arrival"),
    occurred_at=("timestamptz", "when it happened"),
    agent=("text", "who acted"),
    episode=("text", "which episode, unique within agent and source"),
    step=("int", "position in the episode"),
    state=("bigint", "encoded state before the action"),
    action=("smallint", "column of the action"),
    reward=("float8", "points, -100 to 100"),
    next_state=("bigint", "encoded state after the action"),
    terminated=("boolean", "the task itself ended here"),
    truncated=("boolean", "the episode was cut off here"),
    propensity=("float8", "probability with which the action was chosen"),
    fingerprint=("text", "contract under which states and actions are encoded"),
    source=("text", "where it comes from: simulated, recorded, an import or a live agent"),
)
Q_VALUE_COLUMNS = table_columns(
    state=("bigint", "encoded state"),
    q=("float8[]", "value of each action, points"),
    visits=("bigint[]", "experiences behind each value"),
    target_mean=("float8[]", "mean learning target, points"),
    target_m2=("float8[]", "sum of squared deviations of the targets"),
    weights=("float8[]", "confidence times visits, whole multiples of 2^-20"),
)
STATISTICS_COLUMNS = table_columns(
    window_index=("int", "0 is the oldest"),
    episodes=("int", "episodes in the window"),
    mean_return=("float8", "mean undiscounted return, points"),
    success_rate=("float8", "share of successful episodes whose outcome is known"),
    mean_abs_q_change=("float8", "mean change of values relative to the reward scale"),
    bellman_residual=("float8", "largest residual against the empirical MDP, points"),
    greedy_churn=("float8", "visit-weighted share of states whose best action changed"),
    verdict=("text", "insufficient data, learning, converged, diverging or stale"),
)
POLICY_VERSION_COLUMNS = table_columns(
    number=("bigint", "unique over the fleet; what experiences carry"),
    agent=("text", "whose policy it is"),
    fingerprint=("text", "contract of the agent's own table"),
    own_snapshot=("bigint", "the agent's own table, frozen"),
    category_snapshot=("bigint", "its category's table, frozen"),
    fleet_snapshot=("bigint", "the fleet's table, frozen"),
    reason=("text", "why it was frozen"),
    created_by=("text", "who asked for it"),
    created_at=("timestamptz", "when"),
)
AB_ANALYSIS_COLUMNS = table_columns(
    experiment_id=("bigint", "the test"),
    stage=("smallint", "its stage then, percent"),
    verdict=("text", "not enough data, continue, promote, stop for harm, stop for futility or invalid"),
    analysis=("json", "effect, interval, evidence, power, counts and guardrails"),
    analysed_at=("timestamptz", "when"),
)
SERVING_COLUMNS = table_columns(
    agent=("text", "who"),
    mode=("text", "learning: follows the live table; serving: follows a frozen version"),
    stable=("bigint", "the version that serves"),
    candidate=("bigint", "the version that is tested"),
    stage=("smallint", "share of units offered the candidate, percent"),
)
ROLLBACK_COLUMNS = table_columns(
    rollback_id=("bigint", "in order"),
    agent=("text", "whose policy was taken back"),
    trigger=("text", "what fired: a rule, or a person"),
    evidence=("json", "the figures it fired on"),
    from_version=("bigint", "the live table as it was found, frozen"),
    to_version=("bigint", "what was restored"),
    served_version=("bigint", "the version that did harm; null for the live table"),
    happened_at=("timestamptz", "when"),
)
RELEASE_COLUMNS = table_columns(
    release_id=("uuid", "random, the same wherever it goes"),
    header=("jsonb", "all that leaves besides the noisy counts"),
    nano_rho=("bigint", "what it cost in privacy, billionths of rho of zCDP"),
    made_at=("timestamptz", "when it was made and debited"),
    sent_at=("timestamptz", "when the team's server had it"),
    withdrawn_at=("timestamptz", "when it was withdrawn instead"),
)
TEAM_TABLE_COLUMNS = table_columns(
    agent=("text", "whose"),
    version=("bigint", "its number on the team's server"),
    pair=("bigint[]", "state times A plus action of each pair known"),
    q=("float8[]", "their values, points"),
    visits=("bigint[]", "how many visits without noise would be as precise"),
    error=("float8[]", "standard error of the mean step, points"),
    reported=("float8[]", "noisy visits reported, all contributors together"),
)

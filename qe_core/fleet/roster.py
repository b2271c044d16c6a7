"""The roster: the 18 built-in agents in the order every list and table shows them.

What belongs here: the order. What does not: declarations (one module per category) and users' own
agents, which the registry finds by their entry points.
"""

from qe_core.fleet.advanced_testing import (
    API_CONTRACT_VALIDATOR,
    FLAKY_TEST_HUNTER,
    REGRESSION_RISK_ANALYZER,
    TEST_DATA_ARCHITECT,
)
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.core_testing import COVERAGE_ANALYZER, QUALITY_GATE, TEST_EXECUTOR
from qe_core.fleet.performance_security import PERFORMANCE_TESTER, SECURITY_SCANNER
from qe_core.fleet.specialized import CHAOS_ENGINEER, DEPLOYMENT_READINESS, VISUAL_TESTER
from qe_core.fleet.static_analysis import CODE_COMPLEXITY, QUALITY_ANALYZER
from qe_core.fleet.strategic import FLEET_COMMANDER, PRODUCTION_INTELLIGENCE, REQUIREMENTS_VALIDATOR
from qe_core.fleet.test_generation import TEST_GENERATOR

AGENTS: tuple[AgentContract, ...] = (
    TEST_GENERATOR,
    TEST_EXECUTOR,
    COVERAGE_ANALYZER,
    QUALITY_GATE,
    QUALITY_ANALYZER,
    CODE_COMPLEXITY,
    PERFORMANCE_TESTER,
    SECURITY_SCANNER,
    REGRESSION_RISK_ANALYZER,
    TEST_DATA_ARCHITECT,
    API_CONTRACT_VALIDATOR,
    FLAKY_TEST_HUNTER,
    DEPLOYMENT_READINESS,
    VISUAL_TESTER,
    CHAOS_ENGINEER,
    REQUIREMENTS_VALIDATOR,
    PRODUCTION_INTELLIGENCE,
    FLEET_COMMANDER,
)
"""The contracts of the built-in agents."""

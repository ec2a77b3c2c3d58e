"""The templates against all that checks them without an account: AWS's service models, cfn-lint, cdk-nag."""

import json
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from deploy.exports import definition
from tests.deploy.assembly import Assembly
from tests.deploy.service_requests import ServiceRequest, requests_of


@cache
def model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def faults(request: ServiceRequest) -> str:
    """What is wrong with a request for botocore: missing, unknown or wrongly typed parameters, broken limits."""
    shape = model(request.service).operation_model(request.operation).input_shape
    unknown = [f"unknown parameter {name}" for name in request.parameters if name not in shape.members]
    return "; ".join([*unknown, ParamValidator().validate(request.parameters, shape).generate_report()]).strip("; ")


def requests(assembly: Assembly) -> list[ServiceRequest]:
    """The requests for all resources except the CDK's own custom ones."""
    return [
        request
        for resource in assembly.resources()
        if not resource.type.startswith(("Custom::", "AWS::Lambda::", "AWS::CDK::"))
        for request in requests_of(resource)
    ]


def linted(template: object) -> list[Any]:
    """What cfn-lint finds in a template."""
    # All processes that run tests import this file, and few of them need what takes more than a second to import.
    from cfnlint.api import lint
    from cfnlint.config import ManualArgs

    text = template if isinstance(template, str) else json.dumps(template)
    found: list[Any] = lint(text, config=ManualArgs(regions=["us-east-1"]))
    return found


def test_the_services_take_the_requests_of_every_resource(assembly):
    by_operation = {f"{each.service} {each.operation}": faults(each) for each in requests(assembly)}
    assert len(by_operation) > 20
    assert {name: fault for name, fault in by_operation.items() if fault} == {}


@pytest.mark.parametrize(
    ("service", "operation", "change"),
    [
        ("glue", "CreateJob", {"Timeout": "60"}),
        ("glue", "CreateJob", {"WorkerKind": "G.1X"}),
        ("glue", "CreateTrigger", {"Actions": [{"Job": "x"}]}),
        ("athena", "CreateWorkGroup", {"Configuration": {"EngineVersion": "3"}}),
        ("scheduler", "CreateSchedule", {"Target": {"Arn": "x"}}),
        ("iam", "PutRolePolicy", {"PolicyDocument": {"Statement": []}}),
        ("glue", "CreateTable", {"TableInput": {"Name": "x", "Columns": []}}),
    ],
)
def test_a_request_that_a_service_would_refuse_is_seen(assemblies, service, operation, change):
    good = next(each for each in requests(assemblies["prod"]) if each[:2] == (service, operation))
    assert faults(good) == ""
    assert faults(good._replace(parameters={**good.parameters, **change})) != ""


@pytest.mark.slow
def test_cfn_lint_finds_nothing(assembly, on_next_glue):
    """For the next Glue, a stack with jobs is enough: test_stacks.py has what it changes.

    cfn-lint knows how a Glue version is written, not which ones there are.
    """
    prefix = f"catlake-{assembly.environment}"
    again = [(name, on_next_glue.templates[f"{prefix}-{name}-stack"]) for name in ("conversations", "pipeline")]
    for stack, template in (*assembly.templates.items(), *again):
        assert [f"{stack} {match.rule.id} {match.message}" for match in linted(template)] == []


def test_the_state_machine_has_the_form_of_the_states_language() -> None:
    """cfn-lint has its schema; in the templates the definition is a text that CloudFormation puts together."""

    def found(states: Any) -> list[str]:
        machine = {"Type": "AWS::StepFunctions::StateMachine"}
        machine["Properties"] = {"Definition": states, "RoleArn": "arn:aws:iam::123456789012:role/exports"}
        return [match.message for match in linted({"Resources": {"Machine": machine}})]

    assert found(definition()) == []
    wrong = definition()
    wrong["States"]["Is one under way"]["Type"] = "Choise"
    assert found(wrong) != []


def test_cfn_lint_sees_what_it_is_asked_for(assemblies):
    text = json.dumps(assemblies["test"].templates["catlake-test-storage-stack"])
    wrong = text.replace('{"Status": "Enabled"}', '{"Status": "On"}')
    assert wrong != text
    assert {match.rule.id for match in linted(wrong)} == {"E3030"}


def test_cdk_nag_finds_nothing_that_is_not_explained(assembly, on_next_glue):
    for synthesized in (assembly, on_next_glue):
        (report,) = synthesized.report["pluginReports"]
        assert (report["pluginName"], report["conclusion"], report["violations"]) == ("AwsSolutions", "success", [])
        for explained in report["suppressedViolations"]:
            assert len(explained["reason"].split()) >= 5, explained


def test_cdk_nags_explanations_are_of_findings_by_name_not_of_whole_rules(assembly):
    (report,) = assembly.report["pluginReports"]
    for explained in report["suppressedViolations"]:
        if "IAM5" in explained["ruleName"]:
            assert explained["acknowledgedId"].endswith("]"), explained["acknowledgedId"]

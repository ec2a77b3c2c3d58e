"""The API calls that create a resource of a template.

Most properties have the same name in CloudFormation and in the API, and pass as they are; botocore finds the others.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.deploy.assembly import ACCOUNT, Resource

Properties = dict[str, Any]


class ServiceRequest(NamedTuple):
    """A call of an API, as botocore names it."""

    service: str
    operation: str
    parameters: Properties


def requests_of(resource: Resource) -> list[ServiceRequest]:
    """The calls that make a resource. Raises KeyError for a type that is not known here."""
    return list(_KINDS[resource.type](dict(resource.properties)))


def _same(service: str, operation: str) -> Callable[[Properties], Iterator[ServiceRequest]]:
    def made(given: Properties) -> Iterator[ServiceRequest]:
        yield ServiceRequest(service, operation, given)

    return made


def _work_group(given: Properties) -> Iterator[ServiceRequest]:
    given["Configuration"] = given.pop("WorkGroupConfiguration")
    given.pop("RecursiveDeleteOption", None)  # of DeleteWorkGroup
    yield ServiceRequest("athena", "CreateWorkGroup", given)


def _role(given: Properties) -> Iterator[ServiceRequest]:
    name = given.setdefault("RoleName", "generated")
    for policy in given.pop("Policies", []):
        # Which IAM counts without white space.
        document = json.dumps(policy["PolicyDocument"], separators=(",", ":"))
        assert len(document) <= 10_240, f"a role's inline policies have at most 10,240 characters: {len(document)}"
        yield ServiceRequest(
            "iam", "PutRolePolicy", {"RoleName": name, "PolicyName": policy["PolicyName"], "PolicyDocument": document}
        )
    for arn in given.pop("ManagedPolicyArns", []):
        yield ServiceRequest("iam", "AttachRolePolicy", {"RoleName": name, "PolicyArn": arn})
    given["AssumeRolePolicyDocument"] = json.dumps(given["AssumeRolePolicyDocument"])
    yield ServiceRequest("iam", "CreateRole", given)


def _policy(given: Properties) -> Iterator[ServiceRequest]:
    document = json.dumps(given["PolicyDocument"])
    for role in given["Roles"]:
        yield ServiceRequest(
            "iam", "PutRolePolicy", {"RoleName": role, "PolicyName": given["PolicyName"], "PolicyDocument": document}
        )


def _dashboard(given: Properties) -> Iterator[ServiceRequest]:
    # Glue's botocore is older than the tags of dashboards.
    del given["Tags"]
    yield ServiceRequest("cloudwatch", "PutDashboard", given)


def _stream(given: Properties) -> Iterator[ServiceRequest]:
    name = given["Name"]
    created = {"StreamName": name, "Tags": {tag["Key"]: tag["Value"] for tag in given["Tags"]}}
    yield ServiceRequest(
        "kinesis",
        "CreateStream",
        created | {key: given[key] for key in ("ShardCount", "StreamModeDetails") if key in given},
    )
    if hours := given.get("RetentionPeriodHours"):
        yield ServiceRequest(
            "kinesis", "IncreaseStreamRetentionPeriod", {"StreamName": name, "RetentionPeriodHours": hours}
        )
    if encryption := given.get("StreamEncryption"):
        yield ServiceRequest("kinesis", "StartStreamEncryption", {"StreamName": name, **encryption})


def _rule(given: Properties) -> Iterator[ServiceRequest]:
    targets = given.pop("Targets")
    given["EventPattern"] = json.dumps(given["EventPattern"])
    given.setdefault("Name", "generated")
    yield ServiceRequest("events", "PutRule", given)
    yield ServiceRequest("events", "PutTargets", {"Rule": given["Name"], "Targets": targets})


def _log_group(given: Properties) -> Iterator[ServiceRequest]:
    name = given["LogGroupName"]
    yield ServiceRequest(
        "logs",
        "CreateLogGroup",
        {
            "logGroupName": name,
            **({"kmsKeyId": given["KmsKeyId"]} if "KmsKeyId" in given else {}),
            "tags": {tag["Key"]: tag["Value"] for tag in given["Tags"]},
        },
    )
    yield ServiceRequest(
        "logs", "PutRetentionPolicy", {"logGroupName": name, "retentionInDays": given["RetentionInDays"]}
    )


def _state_machine(given: Properties) -> Iterator[ServiceRequest]:
    tags = [{"key": tag["Key"], "value": tag["Value"]} for tag in given["Tags"]]
    name = given.get("StateMachineName", "generated")
    created = {"name": name, "definition": given["DefinitionString"], "roleArn": given["RoleArn"], "tags": tags}
    yield ServiceRequest("stepfunctions", "CreateStateMachine", created)


def _topic(given: Properties) -> Iterator[ServiceRequest]:
    name = given.pop("TopicName")
    tags = given.pop("Tags")
    yield ServiceRequest("sns", "CreateTopic", {"Name": name, "Tags": tags, "Attributes": given})


def _key(given: Properties) -> Iterator[ServiceRequest]:
    assert given.pop("EnableKeyRotation") is True
    tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in given.pop("Tags")]
    policy = json.dumps(given.pop("KeyPolicy"))
    yield ServiceRequest("kms", "CreateKey", {**given, "Tags": tags, "Policy": policy})


def _bucket(given: Properties) -> Iterator[ServiceRequest]:
    # CloudFormation appends what makes the name regional; the header for it is newer than Glue's botocore.
    name = given.get("BucketName") or f"{given['BucketNamePrefix']}-123456789012-us-east-1-an"
    yield ServiceRequest("s3", "CreateBucket", {"Bucket": name})
    yield ServiceRequest(
        "s3",
        "PutPublicAccessBlock",
        {"Bucket": name, "PublicAccessBlockConfiguration": given["PublicAccessBlockConfiguration"]},
    )
    encryption = {"Rules": given["BucketEncryption"]["ServerSideEncryptionConfiguration"]}
    # The API has a longer name for the same.
    for rule in encryption["Rules"]:
        rule["ApplyServerSideEncryptionByDefault"] = rule.pop("ServerSideEncryptionByDefault")
    yield ServiceRequest("s3", "PutBucketEncryption", {"Bucket": name, "ServerSideEncryptionConfiguration": encryption})
    if versioning := given.get("VersioningConfiguration"):
        yield ServiceRequest("s3", "PutBucketVersioning", {"Bucket": name, "VersioningConfiguration": versioning})
    if "NotificationConfiguration" in given:
        # In the API an empty object turns it on.
        assert given["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
        turned_on: Properties = {"EventBridgeConfiguration": {}}
        yield ServiceRequest(
            "s3", "PutBucketNotificationConfiguration", {"Bucket": name, "NotificationConfiguration": turned_on}
        )
    rules = [_lifecycle(rule) for rule in given["LifecycleConfiguration"]["Rules"]]
    yield ServiceRequest(
        "s3", "PutBucketLifecycleConfiguration", {"Bucket": name, "LifecycleConfiguration": {"Rules": rules}}
    )


def _lifecycle(rule: Properties) -> Properties:
    """CloudFormation flattens what the API nests."""
    rule = dict(rule)
    rule["Filter"] = {"Prefix": rule.pop("Prefix", "")}
    if days := rule.pop("ExpirationInDays", None):
        rule["Expiration"] = {"Days": days}
    if marker := rule.pop("ExpiredObjectDeleteMarker", None):
        rule["Expiration"] = {"ExpiredObjectDeleteMarker": marker}
    return rule


def _bucket_policy(given: Properties) -> Iterator[ServiceRequest]:
    yield ServiceRequest(
        "s3", "PutBucketPolicy", {"Bucket": given["Bucket"], "Policy": json.dumps(given["PolicyDocument"])}
    )


def _resource_policy(given: Properties) -> Iterator[ServiceRequest]:
    yield ServiceRequest(
        "logs",
        "PutResourcePolicy",
        {"policyName": given["PolicyName"], "policyDocument": given["PolicyDocument"]},
    )


def _topic_policy(given: Properties) -> Iterator[ServiceRequest]:
    for topic in given["Topics"]:
        yield ServiceRequest(
            "sns",
            "SetTopicAttributes",
            {"TopicArn": topic, "AttributeName": "Policy", "AttributeValue": json.dumps(given["PolicyDocument"])},
        )


def _budget(given: Properties) -> Iterator[ServiceRequest]:
    # The API takes the amount as text, and the account beside the budget.
    limit = given["Budget"]["BudgetLimit"]
    budget = {**given["Budget"], "BudgetLimit": {**limit, "Amount": str(limit["Amount"])}}
    yield ServiceRequest("budgets", "CreateBudget", {**given, "Budget": budget, "AccountId": ACCOUNT})


def _queue(given: Properties) -> Iterator[ServiceRequest]:
    tags = {tag["Key"]: tag["Value"] for tag in given.pop("Tags")}
    name = given.pop("QueueName")
    attributes = {key: str(value).lower() for key, value in given.items()}
    yield ServiceRequest("sqs", "CreateQueue", {"QueueName": name, "Attributes": attributes, "tags": tags})


def _queue_policy(given: Properties) -> Iterator[ServiceRequest]:
    for queue in given["Queues"]:
        policy = {"Policy": json.dumps(given["PolicyDocument"])}
        yield ServiceRequest("sqs", "SetQueueAttributes", {"QueueUrl": queue, "Attributes": policy})


def _parameter(given: Properties) -> Iterator[ServiceRequest]:
    tags = [{"Key": key, "Value": value} for key, value in given.pop("Tags").items()]
    yield ServiceRequest("ssm", "PutParameter", {**given, "Tags": tags})


def _subscription(given: Properties) -> Iterator[ServiceRequest]:
    attributes = {"RedrivePolicy": json.dumps(given.pop("RedrivePolicy"))}
    yield ServiceRequest("sns", "Subscribe", {**given, "Attributes": attributes})


_KINDS: dict[str, Callable[[Properties], Iterator[ServiceRequest]]] = {
    "AWS::Budgets::Budget": _budget,
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::SSM::Parameter": _parameter,
    "AWS::Athena::NamedQuery": _same("athena", "CreateNamedQuery"),
    "AWS::Athena::WorkGroup": _work_group,
    "AWS::CloudWatch::Alarm": _same("cloudwatch", "PutMetricAlarm"),
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::Events::Rule": _rule,
    "AWS::Glue::Crawler": _same("glue", "CreateCrawler"),
    "AWS::Glue::Database": _same("glue", "CreateDatabase"),
    "AWS::Glue::Job": _same("glue", "CreateJob"),
    "AWS::Glue::Table": _same("glue", "CreateTable"),
    "AWS::Glue::Trigger": _same("glue", "CreateTrigger"),
    "AWS::Glue::Workflow": _same("glue", "CreateWorkflow"),
    "AWS::IAM::Policy": _policy,
    "AWS::IAM::Role": _role,
    "AWS::KMS::Alias": _same("kms", "CreateAlias"),
    "AWS::KMS::Key": _key,
    "AWS::Kinesis::Stream": _stream,
    "AWS::LakeFormation::PrincipalPermissions": _same("lakeformation", "GrantPermissions"),
    "AWS::Logs::LogGroup": _log_group,
    "AWS::Logs::ResourcePolicy": _resource_policy,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::Topic": _topic,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::StepFunctions::StateMachine": _state_machine,
    "AWS::Scheduler::Schedule": _same("scheduler", "CreateSchedule"),
    "AWS::Scheduler::ScheduleGroup": _same("scheduler", "CreateScheduleGroup"),
}

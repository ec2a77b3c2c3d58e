"""The monthly budget of an environment, by the tag `Project` that all its resources have."""

from aws_cdk import Aws
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_sns as sns
from constructs import Construct

from catlake.runtime.environment import Environment

ALARMS = (("ACTUAL", 80), ("FORECASTED", 100))
"""By kind of cost, the percentage of the budget above which the topic gets a message."""


def add_budget(scope: Construct, env: Environment, topic: sns.ITopic) -> None:
    """Adds the budget and its alarms, where the environment has one."""
    if env.monthly_budget is None:
        return
    projects = sorted({env.tags(component)["Project"] for component in env.tag_values if component != "common"})
    budgets.CfnBudget(
        scope,
        "Budget",
        budget=budgets.CfnBudget.BudgetDataProperty(
            # As with dashboards: the names are those of the account.
            budget_name=f"{env.resource('catlake')}-{Aws.REGION}",
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=budgets.CfnBudget.SpendProperty(amount=env.monthly_budget, unit=env.bill_currency),
            # Each resource has one of these; together they cover this environment and no other. The same environment in
            # another region has a budget of its own.
            cost_filters={
                "TagKeyValue": [f"user:Project${project}" for project in projects],
                "Region": [Aws.REGION],
            },
        ),
        notifications_with_subscribers=[
            budgets.CfnBudget.NotificationWithSubscribersProperty(
                notification=budgets.CfnBudget.NotificationProperty(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=percentage,
                    threshold_type="PERCENTAGE",
                ),
                subscribers=[budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)],
            )
            for kind, percentage in ALARMS
        ],
    )

"""Storage: the buckets, the catalog's databases and tables, the Athena work group and its queries."""

import re
from collections.abc import Mapping

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from catlake.lake.lake import QUARANTINE
from catlake.lake.staging import STAGING
from catlake.pages import FOLDER as PAGES
from catlake.runtime.environment import Environment
from deploy.access import QUERY_RESULTS
from deploy.athena import named_queries
from deploy.catalog_tables import table_input
from deploy.catalog_views import current_purchases_view
from deploy.deployment import Deployment
from deploy.environment_rules import access_logs_bucket
from deploy.stacks.resources import KEPT, publish_names, tag_stack

ACCOUNT_REGIONAL = re.compile(r"-[0-9]{12}-[a-z]{2}(-[a-z]+)+-[0-9]-an")
"""The suffix of buckets whose names nobody but this account can take, in this region."""

REWRITTEN_DAYS = 1
"""How long a replaced file of a checkpoint stays: nobody goes back to it, and each batch replaces some."""


class StorageStack(Stack):
    """What outlives every job. Only queries, tables and the work group are deleted with the stack."""

    def __init__(self, scope: Construct, deployment: Deployment) -> None:
        env = deployment.env
        super().__init__(
            scope,
            deployment.stack("storage"),
            description=f"catlake {env.name}: storage",
            termination_protection=env.nightly is not None,
        )
        self._deployment = deployment
        tag_stack(self, env.tags("STORAGE"))
        self._buckets()
        self._catalog()
        self._queries()
        names = {
            "bucket": env.bucket,
            "purchases-bucket": env.purchases_bucket,
            "database": env.database,
            "purchases-database": env.purchases_database,
            "work-group": env.work_group,
        }
        for key, value in names.items():
            CfnOutput(self, f"{key.title().replace('-', '')}Name", value=value)
        publish_names(self, env, names)

    def _buckets(self) -> None:
        deployment, env = self._deployment, self._deployment.env
        if not deployment.made_buckets:
            return
        rules = [s3.LifecycleRule(expiration=Duration.days(env.access_log_days))]
        access_logs = self._private_bucket("AccessLogs", access_logs_bucket(env), rules)
        for name in deployment.made_buckets:
            drafts = dict.fromkeys([f"{STAGING}/", f"{PAGES}/{STAGING}/"], env.abandoned_upload_days)
            temporary = {**drafts, f"{QUARANTINE}/": env.quarantine_days}
            if name == env.bucket:
                temporary |= {QUERY_RESULTS: env.old_version_days}
                temporary |= {f"{folder}/": env.export_days for folder in deployment.export_folders}
            replaced = dict.fromkeys(deployment.rewritten_folders(name), REWRITTEN_DAYS)
            replaced |= deployment.retained_folders(name)
            rules = _rules(env, temporary, replaced)
            self._private_bucket(f"Bucket-{name}", name, rules, access_logs)

    def _private_bucket(
        self, id: str, name: str, rules: list[s3.LifecycleRule], access_logs: s3.Bucket | None = None
    ) -> s3.Bucket:
        """A private bucket; with access logs it keeps old versions too."""
        env = self._deployment.env
        key_arn, regional = env.bucket_keys.get(name), ACCOUNT_REGIONAL.fullmatch(env.bucket_suffix)
        created = s3.Bucket(
            self,
            id,
            bucket_name=None if regional else name,
            # CloudFormation appends the suffix itself.
            bucket_name_prefix=name.removesuffix(env.bucket_suffix) if regional else None,
            bucket_namespace=s3.BucketNamespace.ACCOUNT_REGIONAL if regional else None,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.KMS if key_arn else s3.BucketEncryption.S3_MANAGED,
            encryption_key=kms.Key.from_key_arn(self, f"Key-{name}", key_arn) if key_arn else None,
            # One call of KMS for many objects.
            bucket_key_enabled=True if key_arn else None,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            removal_policy=KEPT,
            versioned=True if access_logs else None,
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix=f"{name}/" if access_logs else None,
            lifecycle_rules=rules,
        )
        if any(export.arrival.bucket == name for export in self._deployment.exports):
            resource = created.node.default_child
            assert isinstance(resource, s3.CfnBucket)
            # The construct's own option adds a function for what is one property.
            resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
                event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
            )
        return created

    def _catalog(self) -> None:
        deployment = self._deployment
        databases = {name: self._database(name) for name in filter(deployment.makes, deployment.databases)}
        tables = [
            (table.database, table_input(table.contract, f"s3://{table.bucket}"))
            for table in deployment.tables.values()
            # Iceberg makes its tables itself: their first commit is a file.
            if not table.contract.is_kept_up
        ]
        purchases = deployment.env.purchases_database
        for database, table in [*tables, (purchases, current_purchases_view(purchases))]:
            if deployment.makes(table["Name"]):
                created = glue.CfnTable(
                    self,
                    f"Table-{table['Name']}",
                    catalog_id=Aws.ACCOUNT_ID,
                    database_name=database,
                    table_input=glue.CfnTable.TableInputProperty(),
                )
                # CloudFormation and Glue's API name every part of a table alike.
                created.add_property_override("TableInput", table)
                if table["PartitionKeys"]:
                    # Its job registers its partitions, and only once: a table that is made anew would have none.
                    created.apply_removal_policy(KEPT)
                if database in databases:
                    created.add_resource_dependency(databases[database])

    def _database(self, name: str) -> glue.CfnDatabase:
        created = glue.CfnDatabase(
            self,
            f"Database-{name}",
            catalog_id=Aws.ACCOUNT_ID,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=name, description=f"Datasets of {self._deployment.env.name}, made by catlake's jobs"
            ),
        )
        created.apply_removal_policy(KEPT)
        return created

    def _queries(self) -> None:
        env = self._deployment.env
        group = self._work_group() if self._deployment.makes(env.work_group) else None
        for query in named_queries(env):
            created = athena.CfnNamedQuery(
                self,
                f"Query-{query.name}",
                name=query.name,
                description=query.description,
                database=query.database,
                work_group=env.work_group,
                query_string=query.statement,
            )
            if group:
                created.add_resource_dependency(group)

    def _work_group(self) -> athena.CfnWorkGroup:
        key = self._deployment.env.bucket_key
        configuration = athena.CfnWorkGroup.WorkGroupConfigurationProperty(
            enforce_work_group_configuration=True,
            publish_cloud_watch_metrics_enabled=True,
            bytes_scanned_cutoff_per_query=self._deployment.env.scan_limit_gb * 10**9,
            engine_version=athena.CfnWorkGroup.EngineVersionProperty(selected_engine_version="Athena engine version 3"),
            result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                output_location=f"s3://{self._deployment.env.bucket}/{QUERY_RESULTS}",
                encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                    encryption_option="SSE_KMS" if key else "SSE_S3", kms_key=key
                ),
                expected_bucket_owner=Aws.ACCOUNT_ID,
            ),
        )
        return athena.CfnWorkGroup(
            self,
            "WorkGroup",
            name=self._deployment.env.work_group,
            description="Queries of the analytics database and of the jobs",
            work_group_configuration=configuration,
            # A group with a single past query could not be deleted otherwise.
            recursive_delete_option=True,
        )


def _rules(env: Environment, temporary: Mapping[str, int], replaced: Mapping[str, int]) -> list[s3.LifecycleRule]:
    """Rules that delete old versions (in some folders after their own time), and objects of the temporary folders."""
    return [
        s3.LifecycleRule(
            noncurrent_version_expiration=Duration.days(env.old_version_days),
            abort_incomplete_multipart_upload_after=Duration.days(env.abandoned_upload_days),
        ),
        # The marker that remains of a deleted object once its versions are gone: it makes listings slow.
        s3.LifecycleRule(expired_object_delete_marker=True),
        *(s3.LifecycleRule(prefix=prefix, expiration=Duration.days(days)) for prefix, days in temporary.items()),
        # Where two rules meet, S3 takes the shorter time.
        *(
            s3.LifecycleRule(prefix=prefix, noncurrent_version_expiration=Duration.days(days))
            for prefix, days in replaced.items()
        ),
    ]

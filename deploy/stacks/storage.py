"""Storage: the lake's bucket, the catalog's database and tables, the Athena work group and its queries."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_s3 as s3
from constructs import Construct

from deploy.athena import RESULTS, named_queries, work_group
from deploy.catalog_tables import table_input
from deploy.deployment import Deployment
from deploy.stacks.resources import KEPT, made, tagged

OLD_VERSIONS = Duration.days(30)
ACCESS_LOGS = Duration.days(90)
ABANDONED = Duration.days(7)
EXPORTS_KEPT = Duration.days(35)
"""A night's export is read once; a month of them shows what a table was."""


class StorageStack(Stack):
    """What outlives every job. Nothing of it is deleted with the stack but queries, tables and the work group."""

    def __init__(self, scope: Construct, at: Deployment) -> None:
        super().__init__(
            scope,
            at.stack("storage"),
            description=f"catlake {at.env.name}: storage",
            termination_protection=at.env.schedule is not None,
        )
        tagged(self, at.env.tags("STORAGE"))
        if at.made_buckets:
            logs = self._access_logs(at)
            passing = {"_staging/": ABANDONED}
            analytics = {RESULTS: OLD_VERSIONS, **{f"{each.prefix}/": EXPORTS_KEPT for each in at.exports}}
            for name in at.made_buckets:
                self._bucket(name, logs, passing | (analytics if name == at.env.bucket else {}))
        self._catalog(at)
        self._queries(at)
        outputs = {
            "BucketName": at.bucket,
            "PurchasesBucketName": at.purchases_bucket,
            "DatabaseName": at.env.database,
            "PurchasesDatabaseName": at.env.purchases_database,
            "WorkGroupName": at.env.work_group,
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)

    def _access_logs(self, at: Deployment) -> s3.Bucket:
        return s3.Bucket(
            self,
            "AccessLogs",
            bucket_name=at.env.resource("access-logs"),
            **_PRIVATE,
            lifecycle_rules=[s3.LifecycleRule(expiration=ACCESS_LOGS)],
        )

    def _bucket(self, name: str, logs: s3.Bucket, passing: Mapping[str, Duration]) -> None:
        """A bucket of which nothing goes by itself but old versions, and what lies in the `passing` folders."""
        s3.Bucket(
            self,
            f"Bucket-{name}",
            bucket_name=name,
            **_PRIVATE,
            versioned=True,
            server_access_logs_bucket=logs,
            server_access_logs_prefix=f"{name}/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=OLD_VERSIONS, abort_incomplete_multipart_upload_after=ABANDONED
                ),
                # What an object leaves when it is deleted, once no version is left: listings slow down by it.
                s3.LifecycleRule(expired_object_delete_marker=True),
                *(s3.LifecycleRule(prefix=prefix, expiration=kept) for prefix, kept in passing.items()),
            ],
        )

    def _catalog(self, at: Deployment) -> None:
        databases = {}
        for name in filter(at.makes, at.databases):
            described = {"Name": name, "Description": f"Datasets of {at.env.name}, made by catlake's jobs"}
            request = {"CatalogId": Aws.ACCOUNT_ID, "DatabaseInput": described}
            databases[name] = made(glue.CfnDatabase, self, f"Database-{name}", request)
            databases[name].apply_removal_policy(KEPT)
        for name, table in at.tables.items():
            if at.makes(name):
                request = {
                    "CatalogId": Aws.ACCOUNT_ID,
                    "DatabaseName": table.database,
                    "TableInput": table_input(table.contract, f"s3://{table.bucket}"),
                }
                resource = made(glue.CfnTable, self, f"Table-{name}", request)
                if table.database in databases:
                    resource.add_resource_dependency(databases[table.database])

    def _queries(self, at: Deployment) -> None:
        group = None
        if at.makes(at.env.work_group):
            request = work_group(at.env, at.bucket, Aws.ACCOUNT_ID)
            request["WorkGroupConfiguration"] = request.pop("Configuration")
            # Else a group with a single query behind it could not be deleted.
            request["RecursiveDeleteOption"] = True
            group = made(athena.CfnWorkGroup, self, "WorkGroup", request)
        for request in named_queries(at.env):
            query = made(athena.CfnNamedQuery, self, f"Query-{request['Name']}", request)
            if group:
                query.add_resource_dependency(group)


_PRIVATE = {
    "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
    "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    "encryption": s3.BucketEncryption.S3_MANAGED,
    "enforce_ssl": True,
    "minimum_tls_version": 1.2,
    "removal_policy": KEPT,
}

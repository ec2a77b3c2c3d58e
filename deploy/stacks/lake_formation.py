"""Grants of Lake Formation: where it governs the catalog, rights in IAM are not enough."""

from collections.abc import Iterable

from aws_cdk import Aws, Stack
from aws_cdk.aws_lakeformation import CfnPrincipalPermissions

from deploy.access import CatalogGrant


def add_catalog_grants(stack: Stack, name: str, role_arn: str, grants: Iterable[CatalogGrant]) -> None:
    """Gives a role its rights in the catalog. `name` is that of the job or crawler."""
    for number, grant in enumerate(grants, 1):
        CfnPrincipalPermissions(
            stack,
            f"Catalog-{name}-{number}",
            principal=CfnPrincipalPermissions.DataLakePrincipalProperty(data_lake_principal_identifier=role_arn),
            resource=_resource(grant),
            permissions=list(grant.permissions),
            permissions_with_grant_option=[],
        )


def _resource(grant: CatalogGrant) -> CfnPrincipalPermissions.ResourceProperty:
    catalog = Aws.ACCOUNT_ID
    if grant.table is None:
        database = CfnPrincipalPermissions.DatabaseResourceProperty(catalog_id=catalog, name=grant.database)
        return CfnPrincipalPermissions.ResourceProperty(database=database)
    is_named = grant.table != "*"
    table = CfnPrincipalPermissions.TableResourceProperty(
        catalog_id=catalog,
        database_name=grant.database,
        name=grant.table if is_named else None,
        table_wildcard=None if is_named else {},
    )
    return CfnPrincipalPermissions.ResourceProperty(table=table)

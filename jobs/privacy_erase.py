"""Erases a person from the datasets, tables, pages, rejected records and summaries of a lake."""

from catlake.job import run_job
from catlake.privacy.erase import erase
from catlake.privacy.person import person
from catlake.privacy.places import domain_names, domains
from catlake.runtime.arguments import Argument, FromEnvironment, flag, name

ARGUMENTS = (
    Argument("user_id", person, is_personal=True),
    Argument("dry_run", flag, False),
    Argument("domains", domains, domain_names),
    Argument("database", name, FromEnvironment("database")),
)

if __name__ == "__main__":
    run_job(erase, ARGUMENTS)

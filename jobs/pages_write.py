"""Pages: a page of the conversations, the costs or the purchases, from their datasets, and the index of all pages."""

from catlake.job import run_job
from catlake.report_pages import PAGES, write_page
from catlake.runtime.arguments import Argument, FromEnvironment, choice, flag, uri

ARGUMENTS = (
    Argument("page", choice(*PAGES)),
    Argument("pages_uri", uri, None),
    Argument("anonymous", flag, False),
    Argument("language", str, FromEnvironment("language")),
)

if __name__ == "__main__":
    run_job(write_page, ARGUMENTS, has_python_steps=False)

"""Applications as YARN describes, names and tags them."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..errors import ConfigurationError
from ..states import ApplicationState, FinalStatus
from . import diagnosis
from .base import ApplicationReport
from .resource_manager import Json

APPLICATION_ID = re.compile(r"application_[0-9]+_[0-9]+\Z")
#: ``org.apache.hadoop.yarn.api.records.ApplicationSubmissionContext`` and Spark's docs.
MOST_TAGS, LONGEST_TAG = 10, 100


def report_from(application: Json) -> ApplicationReport:
    """A report from the ResourceManager's description of an application."""
    node = str(application.get("amHostHttpAddress") or "")
    return ApplicationReport(
        application_id=str(application["id"]),
        state=ApplicationState(application["state"]),
        final_status=FinalStatus(application.get("finalStatus", "UNDEFINED")),
        diagnostics=diagnosis.tidy(str(application.get("diagnostics") or "")),
        tracking_url=str(application.get("trackingUrl") or ""),
        queue=str(application.get("queue") or ""),
        host=node.rpartition(":")[0] or node,
        user=str(application.get("user") or ""),
        tags=tuple(str(application.get("applicationTags") or "").split(",")),
    )


def check_tags(tags: Collection[str]) -> None:
    """Refuse tags that YARN would refuse.

    Raises
    ------
    ConfigurationError
    """
    wrong = [tag for tag in tags if not tag.isascii() or not 0 < len(tag) <= LONGEST_TAG or "," in tag]
    if wrong or len(tags) > MOST_TAGS:
        raise ConfigurationError(
            "YARN does not take the application's tags: at most 10, each of up to 100 ASCII characters."
        )


def sequence(application_id: str) -> tuple[int, ...]:
    """What orders ids by age."""
    return tuple(int(part) for part in application_id.split("_")[1:])

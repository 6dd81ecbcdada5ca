"""HTTPS to the cluster: whose certificates are believed, and what to do about one that is not."""

from __future__ import annotations

import ssl
from typing import Any, NamedTuple

import requests

from ..errors import ConfigurationError

#: ``X509_V_ERR_*`` of OpenSSL's ``x509_vfy.h``, with the step to take.
NOT_YET, EXPIRED = 9, 10
WRONG_NAMES = (62, 64)
NAME_HINT = (
    "The addresses in yarn-site.xml and hdfs-site.xml must be names that the certificates were made for."
)
DATE_HINT = "Look at the certificate's dates and at this host's clock."
AUTHORITY_HINT = (
    "Set ca_file (c.SparkProvisioner.ca_file) to a PEM file with the authority that signed the cluster's"
    " certificates."
)


class Refused(NamedTuple):
    """Why a certificate is not believed.

    Attributes
    ----------
    reason : str
        OpenSSL's words.
    hint : str
        The step to take.
    """

    reason: str
    hint: str


class AuthoritySession(requests.Session):
    """Believes one file of authorities; by itself requests would prefer what REQUESTS_CA_BUNDLE names.

    Parameters
    ----------
    ca_file : str

    Raises
    ------
    ConfigurationError
    """

    def __init__(self, ca_file: str) -> None:
        super().__init__()
        check_ca_file(ca_file)
        self._ca_file = ca_file

    def merge_environment_settings(self, *settings: Any, **named: Any) -> Any:
        """Called by requests for each request, with what it was given and what the environment says."""
        return {**super().merge_environment_settings(*settings, **named), "verify": self._ca_file}


def check_ca_file(ca_file: str) -> None:
    """Refuse a file that holds no authority: requests would fail with words that name none of our settings.

    Raises
    ------
    ConfigurationError
    """
    hint = "Correct the setting ca_file."
    try:
        ssl.create_default_context(cafile=ca_file)
    except FileNotFoundError as error:
        raise ConfigurationError(f"There is no ca_file {ca_file}.", hint=hint) from error
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"The ca_file {ca_file} holds no certificate of an authority.",
            diagnostics=str(error),
            hint=f"{hint} It must be in PEM format: BEGIN CERTIFICATE.",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"The ca_file {ca_file} can't be read: {error.strerror}.", hint=hint
        ) from error


def refused_certificate(error: BaseException) -> Refused | None:
    """What is wrong with the certificate that a request failed for, None when it failed otherwise."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, ssl.SSLCertVerificationError):
        causes = [getattr(inner, "reason", None), *inner.args]
        inner = next((cause for cause in causes if isinstance(cause, BaseException)), None)
    if inner is None:
        return None
    hint = AUTHORITY_HINT
    if inner.verify_code in WRONG_NAMES:
        hint = NAME_HINT
    elif inner.verify_code in (NOT_YET, EXPIRED):
        hint = DATE_HINT
    return Refused(inner.verify_message.rstrip("."), hint)

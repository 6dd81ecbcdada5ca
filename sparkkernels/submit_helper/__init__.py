"""The privileged end of submits on hosts where every person has a Jupyter server of their own.

No person may read the service's keytab, so each server asks this program, through ``sudo`` as the service's
account, to submit, report and kill on behalf of whoever called: ``SUDO_USER``, and nobody else whatever a
request says. ``spark-conf/sudoers.snippet`` is the rule, ``spark-conf/helper.json`` the settings.

    caller.py          who called
    configuration.py   the administrator's file, and whether it can be trusted
    requests.py        what may be asked, read strictly; messages.py what both ends write
    service.py         the operations, on the cluster as the caller
    session.py         one conversation: lines in, lines out, and the end of what was begun
    ticket.py          the service's Kerberos ticket, shared by all that run at the same time
"""

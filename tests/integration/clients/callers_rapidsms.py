"""Sends a message as RapidSMS does with its backend for Kannel.

Usage: python callers_rapidsms.py SENDSMS_URL REPORT_URL
"""

import sys

import django
from django.conf import settings
from django.urls import path

#: Where RapidSMS has its page for delivery reports.
urlpatterns = [path("reports/", lambda request: None, name="kannel-delivery-report")]

settings.configure(ROOT_URLCONF=__name__, INSTALLED_APPS=[], SECRET_KEY="no secret")
django.setup()

from rapidsms.backends.kannel.outgoing import KannelBackend  # noqa: E402 (needs the settings)

backend = KannelBackend(
    None,
    "kannel",
    sendsms_url=sys.argv[1],
    sendsms_params={"smsc": "", "from": "RELAY", "username": "acme", "password": "key"},
    delivery_report_url=sys.argv[2],
)
backend.send("message-7", "Hello", ["447700900123", "447700900124"])

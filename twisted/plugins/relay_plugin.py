"""Makes `twistd relay` and `twist relay` known to Twisted."""

from twisted.application.service import ServiceMaker

relay = ServiceMaker("relay", "relay.tap", "An SMS relay whose delivery receipts come home.", "relay")

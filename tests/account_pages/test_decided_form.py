"""A message from the form of My Account about which a decision service is asked."""

from tests.account_pages.test_account_site import SiteTestCase
from tests.decisions.deciding import service_in_hand


class DecidedFormTests(SiteTestCase):
    def test_a_message_that_the_service_refuses_is_not_accepted_and_the_page_shows_the_reason(self) -> None:
        self.site.log_in()
        driver = self.site.driver
        driver.flow.decisions, hand = service_in_hand(driver.clock)
        form = {"csrf": self.site.token(), "to": "447700900123", "from": "RELAY", "text": "Hello"}
        connection = self.site.connect("POST", "/my/send", form)
        hand.answer(lambda message: {"refuse": "The number has opted out."})
        reply = connection.reply()
        self.assertEqual((reply.status, driver.flow.accepted), (422, []))
        self.assertIn("The number has opted out.", reply.body.decode())

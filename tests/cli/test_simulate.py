"""The command line of `python -m relay simulate`."""

import contextlib
import io

from twisted.trial.unittest import SynchronousTestCase

from relay.cli.simulate import parse_arguments
from relay.config.carrier_config import Simulator


class CommandLine(SynchronousTestCase):
    def refusal(self, *arguments: str) -> str:
        """The last line on standard error of a command that ends with status 2."""
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), self.assertRaises(SystemExit) as caught:
            parse_arguments(arguments)
        self.assertEqual(caught.exception.code, 2)
        return errors.getvalue().strip().splitlines()[-1].partition("error: ")[2]

    def test_without_options_it_does_what_the_configuration_would_do_by_default(self) -> None:
        self.assertEqual(parse_arguments([]).settings, Simulator(listen="tcp:2776:interface=127.0.0.1"))

    def test_every_setting_of_the_configuration_has_its_option(self) -> None:
        command = (
            "--listen tcp:0 --seed 7 --receipt-delay-seconds 0.1 --states DELIVRD=0.9,UNDELIV=0.1 --response-id decimal"
            " --receipt-id hex --throttle-share 0.1 --reject-share 0.2 --tlv-only --receipt-first --duplicate-share 0.3"
            " --drop-share 0.4 --silent-share 0.5 --intermediate"
        )
        settings = parse_arguments(command.split()).settings
        expected = Simulator(
            listen="tcp:0",
            seed=7,
            receipt_delay_seconds=0.1,
            states={"DELIVRD": 0.9, "UNDELIV": 0.1},
            response_id="decimal",
            receipt_id="hex",
            throttle_share=0.1,
            reject_share=0.2,
            tlv_only=True,
            receipt_first=True,
            duplicate_share=0.3,
            drop_share=0.4,
            silent_share=0.5,
            intermediate=True,
        )
        self.assertEqual(settings, expected)

    def test_wrong_values_are_refused_with_the_name_of_their_option(self) -> None:
        self.assertEqual(self.refusal("--throttle-share", "3"), "--throttle-share: Expected float <= 1.0")
        self.assertIn(
            "--states: DELIVERED: not a final state; there are DELIVRD", self.refusal("--states", "DELIVERED=1")
        )
        self.assertIn("expected STATE=SHARE", self.refusal("--states", "DELIVRD=much"))
        self.assertIn("--receipt-id", self.refusal("--receipt-id", "octal"))

    def test_an_http_api_is_played_on_request_and_has_no_settings_of_smpp(self) -> None:
        simulated = parse_arguments(["--api", "twilio", "--states", "DELIVRD=0.9,UNDELIV=0.1"])
        self.assertEqual(("twilio", {"DELIVRD": 0.9, "UNDELIV": 0.1}), (simulated.api, simulated.settings.states))
        self.assertIsNone(parse_arguments([]).api)
        self.assertEqual(
            "--response-id: it is for SMPP only; leave it out", self.refusal("--api", "twilio", "--response-id", "hex")
        )
        self.assertIn("--states: twilio can't say EXPIRED", self.refusal("--api", "twilio", "--states", "EXPIRED=1"))
        self.assertIn("--api", self.refusal("--api", "nobody"))

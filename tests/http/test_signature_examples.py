"""The examples of `/docs` that verify a signature accept the relay's requests and refuse all others.

An example whose language is not installed on this machine is skipped.
"""

import base64
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.signing import new_secret, secret_key
from relay.http.signature_examples import SIGNATURE_EXAMPLES
from relay.webhooks.request import signed_headers
from tests import HUNG_SECONDS

SECRET = new_secret(lambda count: bytes(range(count)))
OTHER = new_secret(lambda count: b"o" * count)
BODY = '{"url":"https://yoursite.com/\u00fc","status":"DELIVRD"}'.encode()


class Case(NamedTuple):
    """What an example gets, and what it must answer."""

    name: str
    valid: bool
    secret: str
    webhook_id: str
    timestamp: str
    signatures: str
    body: bytes


def signed(name: str, valid: bool, *, by: Sequence[str] = (SECRET,), age_seconds: float = 0.0) -> Case:
    """A request as the relay signs it."""
    keys = [secret_key(secret) for secret in by]
    headers = signed_headers(b"id_DELIVRD", b"application/json", BODY, 1, keys, time.time() - age_seconds)
    timestamp, signatures = (headers[each][0].decode() for each in (b"Webhook-Timestamp", b"Webhook-Signature"))
    return Case(name, valid, SECRET, "id_DELIVRD", timestamp, signatures, BODY)


def cases() -> list[Case]:
    good = signed("as the relay sends it", True)
    return [
        good,
        signed("signed with the old and the new secret", True, by=(OTHER, SECRET)),
        good._replace(name="a secret without padding", secret=SECRET.rstrip("=")),
        good._replace(name="a secret without its prefix", secret=SECRET.removeprefix("whsec_")),
        signed("signed with another secret", False, by=(OTHER,)),
        signed("sent ten minutes ago", False, age_seconds=600.0),
        signed("sent in ten minutes", False, age_seconds=-600.0),
        good._replace(name="another body", valid=False, body=BODY.replace(b"DELIVRD", b"UNDELIV")),
        good._replace(name="another id", valid=False, webhook_id="id_UNDELIV"),
        good._replace(name="another time", valid=False, timestamp=str(int(good.timestamp) + 1)),
        good._replace(name="a time that is no number", valid=False, timestamp="soon"),
        good._replace(name="no time", valid=False, timestamp=""),
        good._replace(name="no signature", valid=False, signatures=""),
        good._replace(name="half a signature", valid=False, signatures=good.signatures[:20]),
        good._replace(name="another version", valid=False, signatures=good.signatures.replace("v1,", "v2,")),
        good._replace(name="a text that is no signature", valid=False, signatures="v1 \u00fc"),
    ]


#: After the example: it checks each five arguments (the body as base64), and prints a line for each.
PYTHON = """
import sys
given = sys.argv[1:]
while given:
    print("true" if verify(*given[:4], base64.b64decode(given[4])) else "false")
    given = given[5:]
"""
NODE = """
for (let given = process.argv.slice(2); given.length; given = given.slice(5))
  console.log(verify(...given.slice(0, 4), Buffer.from(given[4], "base64")));
"""
PHP = r"""
foreach (array_chunk(array_slice($argv, 1), 5) as $given) {
    $given[4] = base64_decode($given[4]);
    echo verify(...$given) ? "true\n" : "false\n";
}
"""
JAVA = """
final class Main {
    public static void main(String[] given) throws Exception {
        for (int i = 0; i < given.length; i += 5) {
            byte[] body = java.util.Base64.getDecoder().decode(given[i + 4]);
            System.out.println(Signature.verify(given[i], given[i + 1], given[i + 2], given[i + 3], body));
        }
    }
}
"""
GO = """package main

import (
	"encoding/base64"
	"fmt"
	"os"
)

func main() {
	for given := os.Args[1:]; len(given) > 0; given = given[5:] {
		body, _ := base64.StdEncoding.DecodeString(given[4])
		fmt.Println(verify(given[0], given[1], given[2], given[3], body))
	}
}
"""
RUBY = """
ARGV.each_slice(5) { |given| puts verify(*given[0, 4], given[4].unpack1("m")) }
"""
CSHARP = """
static class Program
{
    static void Main(string[] given)
    {
        for (var i = 0; i < given.Length; i += 5)
        {
            var body = System.Convert.FromBase64String(given[i + 4]);
            var valid = Signature.Verify(given[i], given[i + 1], given[i + 2], given[i + 3], body);
            System.Console.WriteLine(valid ? "true" : "false");
        }
    }
}
"""
PROJECT = """<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net8.0</TargetFramework></PropertyGroup>
</Project>
"""


class SignatureExampleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="relay-signature-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def check(self, files: dict[str, str], *commands: Sequence[str]) -> None:
        """Writes the files, runs the commands, and compares what the last one says about each case."""
        for program, *_ in commands:
            if not program.startswith("./") and shutil.which(program) is None:
                self.skipTest(f"{program} is not installed")
        for name, text in files.items():
            (self.directory / name).write_text(text, encoding="utf-8")
        arguments: list[str] = []
        for case in cases():
            arguments += case[2:6]
            arguments.append(base64.b64encode(case.body).decode())
        for command in commands:
            done = subprocess.run(
                [*command, *(arguments if command is commands[-1] else ())],
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=HUNG_SECONDS,
                check=False,
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        answers = zip((case.name for case in cases()), done.stdout.split(), strict=True)
        self.assertEqual(dict(answers), {case.name: "true" if case.valid else "false" for case in cases()})

    def test_python(self) -> None:
        self.check({"verify.py": SIGNATURE_EXAMPLES["Python"] + PYTHON}, (sys.executable, "verify.py"))

    def test_node(self) -> None:
        self.check({"verify.js": SIGNATURE_EXAMPLES["Node"] + NODE}, ("node", "verify.js"))

    def test_php(self) -> None:
        self.check({"verify.php": SIGNATURE_EXAMPLES["PHP"] + PHP}, ("php", "verify.php"))

    def test_java(self) -> None:
        files = {"Signature.java": SIGNATURE_EXAMPLES["Java"], "Main.java": JAVA}
        self.check(files, ("javac", "-d", ".", *files), ("java", "-cp", ".", "Main"))

    def test_go(self) -> None:
        files = {"verify.go": SIGNATURE_EXAMPLES["Go"], "main.go": GO, "go.mod": "module verify\n"}
        self.check(files, ("go", "build", "-o", "verify"), ("./verify",))

    def test_ruby(self) -> None:
        self.check({"verify.rb": SIGNATURE_EXAMPLES["Ruby"] + RUBY}, ("ruby", "verify.rb"))

    def test_csharp(self) -> None:
        files = {"Signature.cs": SIGNATURE_EXAMPLES["C#"], "Program.cs": CSHARP, "verify.csproj": PROJECT}
        self.check(files, ("dotnet", "build", "-o", "out"), ("dotnet", "out/verify.dll"))

    def test_a_language_is_on_the_page_only_if_it_has_a_test(self) -> None:
        tested = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")}
        self.assertEqual({name.lower().replace("#", "sharp") for name in SIGNATURE_EXAMPLES} - tested, set())

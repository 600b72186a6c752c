"""Examples for `/docs`: functions in several languages that verify the signature of a notification.

Each function takes the account's secret, the three headers and the body. It needs only the language's own library.
tests/http/test_signature_examples.py runs those whose language is installed.
"""

from typing import Final

PYTHON: Final = """import base64
import hashlib
import hmac
import time


def verify(secret: str, webhook_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False
    text = secret.removeprefix("whsec_")
    key = base64.b64decode(text + "=" * (-len(text) % 4))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    return any(hmac.compare_digest(expected, each.encode()) for each in signatures.split())
"""

NODE: Final = """const crypto = require("node:crypto");

// body is a Buffer, not a parsed object. With Express: express.raw({type: "*/*"}).
function verify(secret, webhookId, timestamp, signatures, body) {
  if (!/^[0-9]+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const hmac = crypto.createHmac("sha256", key).update(`${webhookId}.${timestamp}.`).update(body);
  const expected = Buffer.from("v1," + hmac.digest("base64"));
  return signatures.split(" ").some((text) => {
    const each = Buffer.from(text);
    return each.length === expected.length && crypto.timingSafeEqual(each, expected);
  });
}
"""

PHP: Final = """<?php
// $body is file_get_contents('php://input'); the headers are $_SERVER['HTTP_WEBHOOK_ID'] and so on.
function verify(string $secret, string $webhookId, string $timestamp, string $signatures, string $body): bool
{
    if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > 300) {
        return false;
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$webhookId.$timestamp.$body", $key, true));
    foreach (explode(' ', $signatures) as $each) {
        if (hash_equals($expected, $each)) {
            return true;
        }
    }
    return false;
}
"""

JAVA: Final = """import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

final class Signature {
    static boolean verify(String secret, String webhookId, String timestamp, String signatures, byte[] body)
            throws GeneralSecurityException {
        if (!timestamp.matches("[0-9]{1,15}")
                || Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(timestamp)) > 300) {
            return false;
        }
        byte[] key = Base64.getDecoder().decode(secret.replaceFirst("^whsec_", ""));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((webhookId + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
        String text = "v1," + Base64.getEncoder().encodeToString(mac.doFinal(body));
        byte[] expected = text.getBytes(StandardCharsets.UTF_8);
        for (String each : signatures.split(" ")) {
            if (MessageDigest.isEqual(expected, each.getBytes(StandardCharsets.UTF_8))) {
                return true;
            }
        }
        return false;
    }
}
"""

GO: Final = """package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

func verify(secret, webhookID, timestamp, signatures string, body []byte) bool {
	sent, err := strconv.ParseInt(timestamp, 10, 64)
	age := time.Now().Unix() - sent
	if err != nil || age > 300 || age < -300 {
		return false
	}
	text := strings.TrimRight(strings.TrimPrefix(secret, "whsec_"), "=")
	key, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(webhookID + "." + timestamp + "."))
	mac.Write(body)
	expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, each := range strings.Fields(signatures) {
		if hmac.Equal([]byte(each), []byte(expected)) {
			return true
		}
	}
	return false
}
"""

RUBY: Final = """require "openssl"

# In Rails, body is request.raw_post.
def verify(secret, webhook_id, timestamp, signatures, body)
  return false unless timestamp.match?(/\\A[0-9]+\\z/) && (Time.now.to_i - timestamp.to_i).abs <= 300

  key = secret.delete_prefix("whsec_").unpack1("m")
  signed = "#{webhook_id}.#{timestamp}.".b + body.b
  expected = "v1," + [OpenSSL::HMAC.digest("SHA256", key, signed)].pack("m0")
  signatures.split.any? { |each| OpenSSL.secure_compare(each, expected) }
end
"""

CSHARP: Final = """using System;
using System.Linq;
using System.Security.Cryptography;
using System.Text;

static class Signature
{
    public static bool Verify(string secret, string webhookId, string timestamp, string signatures, byte[] body)
    {
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        if (!uint.TryParse(timestamp, out var sent) || Math.Abs(now - (long)sent) > 300)
            return false;
        var text = secret.StartsWith("whsec_") ? secret.Substring(6) : secret;
        var key = Convert.FromBase64String(text.PadRight((text.Length + 3) / 4 * 4, '='));
        var signed = Encoding.UTF8.GetBytes($"{webhookId}.{timestamp}.").Concat(body).ToArray();
        using var hmac = new HMACSHA256(key);
        var expected = Encoding.UTF8.GetBytes("v1," + Convert.ToBase64String(hmac.ComputeHash(signed)));
        return signatures.Split(' ').Any(
            each => CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(each), expected));
    }
}
"""

#: By the language's name.
SIGNATURE_EXAMPLES: Final = {
    "Python": PYTHON,
    "Node": NODE,
    "PHP": PHP,
    "Java": JAVA,
    "Go": GO,
    "Ruby": RUBY,
    "C#": CSHARP,
}

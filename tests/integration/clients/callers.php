<?php
// Sends to Kannel's and Jasmin's interfaces as PHP programs do, and prints the answers as JSON.
// Usage: php callers.php PORT
$port = (int) $argv[1];
$base = "http://127.0.0.1:$port";
$login = ["username" => "acme", "password" => "key", "to" => "447700900123"];
$kannel = http_build_query($login + ["from" => "RELAY", "text" => "Hello", "mclass" => "0", "dlr-mask" => ""]);
$results = [];

function ask(string $url, ?string $type = null, ?string $body = null): array
{
    $http = ["ignore_errors" => true];
    if ($body !== null) {
        $http += ["method" => "POST", "header" => "Content-Type: $type", "content" => $body];
    }
    $text = file_get_contents($url, false, stream_context_create(["http" => $http]));
    return [(int) explode(" ", $http_response_header[0])[1], $text];
}

$results[] = ask("$base/cgi-bin/sendsms?$kannel");

// HTTP/1.0 without a header: the last line must be the answer alone.
$socket = fsockopen("127.0.0.1", $port);
fwrite($socket, "GET /cgi-bin/sendsms?$kannel HTTP/1.0\r\n\r\n");
$lines = [];
while (($line = fgets($socket)) !== false) {
    $lines[] = $line;
}
fclose($socket);
$results[] = [(int) explode(" ", $lines[0])[1], end($lines)];

$arabic = iconv("UTF-8", "UCS-2BE", "مرحبا");
$results[] = ask("$base/send?" . http_build_query($login + ["content" => $arabic, "coding" => 8]));
$results[] = ask("$base/send", "application/x-www-form-urlencoded", http_build_query($login + ["content" => "Hello"]));
// curl with an array sends this.
$parts = "";
foreach ($login + ["content" => "Hello"] as $name => $value) {
    $parts .= "--------x\r\nContent-Disposition: form-data; name=\"$name\"\r\n\r\n$value\r\n";
}
$results[] = ask("$base/send", "multipart/form-data; boundary=------x", "$parts--------x--\r\n");

echo json_encode($results), "\n";

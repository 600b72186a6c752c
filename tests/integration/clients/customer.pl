# A customer on Net::SMPP: submits messages one by one, waits for their receipts, prints both as JSON.
# Usage: perl customer.pl PORT SYSTEM_ID PASSWORD COUNT
use strict;
use warnings;
use Net::SMPP;

my ($port, $system_id, $password, $count) = @ARGV;
my ($smpp, $bound) = Net::SMPP->new_transceiver(
    '127.0.0.1', port => $port, system_id => $system_id, password => $password, timeout => 60
) or die "connect: $!";
die 'bind: ' . $bound->explain_status() if $bound->status;

my (@ids, @receipts);
for my $n (0 .. $count - 1) {
    $smpp->submit_sm(
        source_addr => 'RELAY', destination_addr => sprintf('4477009%05d', $n), short_message => "number $n",
        registered_delivery => 1, async => 1,
    ) or die "submit_sm: $!";
}
while (@ids < $count || @receipts < $count) {
    my $pdu = $smpp->read_pdu() or die 'the connection ended';
    if ($pdu->cmd == Net::SMPP::CMD_submit_sm_resp) {
        die 'submit_sm: ' . $pdu->explain_status() if $pdu->status;
        push @ids, $pdu->{message_id};
    } elsif ($pdu->cmd == Net::SMPP::CMD_deliver_sm) {
        $smpp->deliver_sm_resp(seq => $pdu->seq, message_id => '') or die "deliver_sm_resp: $!";
        push @receipts, [$pdu->{short_message} =~ /id:(\S+).*stat:(\S+)/];
    } elsif ($pdu->cmd == Net::SMPP::CMD_enquire_link) {
        $smpp->enquire_link_resp(seq => $pdu->seq);
    }
}
print '{"ids": [', join(', ', map { qq("$_") } @ids), '], "receipts": [',
    join(', ', map { qq(["$_->[0]", "$_->[1]"]) } @receipts), "]}\n";
